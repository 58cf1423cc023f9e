//! What a stack wants done before and after a deploy: run in order, and each told of.
//!
//! Before: nothing has been changed, and a hook that fails is the end. After: the new revision is committed and stays
//! whatever a hook does.

use std::time::Duration;

use proto::event::{EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::hook::{Hook, When};
use proto::id::RevisionId;
use proto::stack::StackSpec;
use tokio::sync::mpsc;

use super::{Job, Stopped, Work};
use crate::engine::{Attach, EngineError};
use crate::store::Stage;

mod gate;
mod lines;
mod output;
mod place;
mod scene;
mod told;
pub(super) mod traces;

use output::Output;
use scene::{Scene, Spot};
use told::Told;
use traces::Trace;

pub(crate) use output::{is_saved, saved_file};

/// Pieces of output on their way to the disk. When full, the command waits.
const PIECES: usize = 16;

fn of_side(spec: &StackSpec, when: When) -> Vec<(u32, &Hook)> {
    let all = (0..).zip(&spec.hooks);
    all.filter(|(_, hook)| hook.when == when).collect()
}

impl Job {
    /// Everything that is to be done before anything is changed. Gates that refuse are passed when `force` is set.
    pub(super) async fn before(&self, stage: &Stage, force: bool) -> Result<(), Stopped> {
        let hooks = of_side(&stage.spec, When::Before);
        if hooks.is_empty() {
            return Ok(());
        }
        self.enter(State::Hooks);
        let scene = Scene::now(self, &stage.spec)?;
        for (index, hook) in hooks {
            self.check_cancelled()?;
            let Err(stopped) = self.hook(&scene, index, hook).await else {
                continue;
            };
            self.check_cancelled()?;
            if hook.gate.is_none() {
                return Err(hinted(stopped, "nothing was changed"));
            }
            if !force {
                let stopped = hinted(stopped, "nothing was changed");
                return Err(hinted(stopped, "to pass it all the same: deploy --force"));
            }
            self.warn(format!("{}; passed, as asked for", stopped.fault));
        }
        Ok(())
    }

    /// Everything that is to be done with the new revision in place; the deploy's last event. `None` when the agent
    /// stops first.
    pub(super) async fn after(&self, work: &Work, revision: RevisionId) -> Option<EventKind> {
        let done = match work {
            Work::Deploy { .. } => self.all_after(work).await,
            Work::Rollback { .. } | Work::Down { .. } => Ok(()),
        };
        let Err(stopped) = done else {
            return Some(self.succeeded(revision));
        };
        if self.stopping.is_cancelled() {
            return None;
        }
        let Stopped { fault, .. } = stopped.told(false);
        let stays = format!(
            "revision {} is committed and stays; only what comes after it failed",
            revision.short()
        );
        Some(EventKind::Finished {
            outcome: Outcome::Failed,
            state: State::Committed,
            revision: Some(revision),
            fault: Some(fault.hint(stays)),
        })
    }

    async fn all_after(&self, work: &Work) -> Result<(), Stopped> {
        let Some(revision) = self.store.current(work.stack())? else {
            return Ok(());
        };
        let hooks = of_side(&revision.spec, When::After);
        if hooks.is_empty() {
            return Ok(());
        }
        let scene = Scene::now(self, &revision.spec)?;
        let mut first = Ok(());
        for (index, hook) in hooks {
            match self.journal.hook(index) {
                Some(Some(Outcome::Succeeded | Outcome::Skipped)) => {}
                Some(Some(outcome)) => return Err(told::before(hook, outcome)),
                // How it ended nobody knows; those behind it are not its concern.
                Some(None) => {
                    self.clear_traces().await;
                    let interrupted = told::interrupted();
                    self.journal.push(interrupted.event(index));
                    first = first.and(interrupted.result(hook));
                }
                None => {
                    if let Err(stopped) = self.hook(&scene, index, hook).await {
                        return first.and(Err(stopped));
                    }
                }
            }
        }
        first
    }

    /// Runs one, and tells of it.
    async fn hook(&self, scene: &Scene, index: u32, hook: &Hook) -> Result<(), Stopped> {
        self.journal.push(EventKind::HookStarted {
            hook: index,
            when: hook.when,
            service: hook.service.clone(),
            command: hook.command(),
        });
        let told = match scene.spot(self, index, hook).await {
            Ok(Ok(spot)) => self.run(&spot, index, hook).await,
            Ok(Err(note)) => Told::skipped(note),
            Err(stopped) => Told::stopped(stopped),
        };
        if self.stopping.is_cancelled() {
            // The next agent tells of it.
            return Err(EngineError::Cancelled.into());
        }
        self.journal.push(told.event(index));
        Trace::forget(&self.folder())?;
        told.result(hook)
    }

    async fn run(&self, spot: &Spot, index: u32, hook: &Hook) -> Told {
        match self.try_run(spot, index, hook).await {
            Ok(told) => told,
            Err(stopped) => Told::stopped(stopped),
        }
    }

    async fn try_run(&self, spot: &Spot, index: u32, hook: &Hook) -> Result<Told, Stopped> {
        let trace = self.trace(spot, hook).await?;
        trace.save(&self.folder())?;
        let mut output = Output::open(self, index, hook, spot)?;
        let (sender, mut pieces) = mpsc::channel(PIECES);
        let stop = self.cancel.child_token();
        let attach = Attach {
            output: sender,
            deadline: Duration::from_secs(hook.timeout_seconds.into()),
            stop: stop.clone(),
        };
        let take = async {
            while let Some(piece) = pieces.recv().await {
                if output.take(self, piece).is_err() {
                    // Told of below.
                    stop.cancel();
                }
            }
        };
        let (ended, ()) = tokio::join!(self.start(spot, trace, attach), take);
        Ok(output.end(self, spot, hook, ended))
    }

    /// What would be left of it if this agent died.
    async fn trace(&self, spot: &Spot, hook: &Hook) -> Result<Trace, Stopped> {
        Ok(match spot {
            Spot::Running { container, .. } => {
                let exec = self.engine.prepare_exec(container, &hook.run).await?;
                Trace::Exec(exec)
            }
            Spot::New { once, .. } => Trace::Container(once.name.clone()),
        })
    }

    async fn start(&self, spot: &Spot, trace: Trace, attach: Attach) -> Result<i64, EngineError> {
        match (spot, trace) {
            (Spot::New { once, project, .. }, _) => {
                self.engine.run_once(project, once, attach).await
            }
            (Spot::Running { .. }, Trace::Exec(exec)) => self.engine.run_exec(&exec, attach).await,
            (Spot::Running { .. }, Trace::Container(_)) => Err(EngineError::Cancelled),
        }
    }
}

fn hinted(stopped: Stopped, hint: &str) -> Stopped {
    Stopped {
        fault: stopped.fault.hint(hint),
        ..stopped
    }
}

/// A hook that has no good end.
fn failed(hook: &Hook, why: &str) -> Fault {
    let what = match (hook.gate, hook.when) {
        (Some(_), _) => format!("the gate in {} refuses the deploy: {why}", hook.service),
        (None, when) => format!(
            "the hook {when} the deploy in {} failed: {why}",
            hook.service
        ),
    };
    let kind = if hook.gate.is_some() {
        FaultKind::Refused
    } else {
        FaultKind::Failed
    };
    Fault::new(kind, what).cause(format!("it ran {}", hook.command()))
}
