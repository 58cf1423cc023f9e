//! One deploy from `Received` to its end, step by step; every step has a deadline and an outcome.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::event::{EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, RevisionId};
use proto::plan::Plan;
use proto::registry::RegistryAuth;
use proto::stack::StackSpec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, EngineError, Run};
use crate::journal::Journal;
use crate::stage::compose_project;
use crate::store::{Stage, Store};

mod apply;
mod commit;
mod pull;
mod verify;

/// Compose has this long for one run; it waits for dependencies to be healthy inside it.
const COMPOSE_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Lines of Compose under way to the journal. When full, Compose waits for the disk.
const LINE_QUEUE: usize = 256;

/// What a deploy works with.
pub struct Job {
    /// State directory.
    pub store: Arc<Store>,
    /// What runs containers.
    pub engine: Arc<dyn Engine>,
    /// Where events go.
    pub journal: Journal,
    /// Its id.
    pub deploy: DeployId,
    /// Who asked.
    pub operator: OperatorName,
    /// An operator's wish to stop, or the agent's.
    pub cancel: CancellationToken,
    /// The agent's alone: tells `Interrupted` from `Cancelled`.
    pub stopping: CancellationToken,
}

/// What a deploy is to do.
pub enum Work {
    /// Bring the host to a staged stack.
    Deploy {
        /// What is wanted.
        stage: Box<Stage>,
        /// What the operator agreed to.
        plan: Box<Plan>,
        /// Logins for the pulls.
        auths: Vec<RegistryAuth>,
        /// Whether the plan's orphans go.
        remove_orphans: bool,
    },
    /// Take a stack down.
    Down {
        /// How Compose reads it.
        spec: Box<StackSpec>,
        /// Where it lives.
        directory: PathBuf,
        /// Its named volumes too: their data is lost.
        volumes: bool,
    },
}

/// Why a deploy did not get to its end.
struct Stopped {
    outcome: Outcome,
    fault: Fault,
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self {
            outcome: Outcome::Failed,
            fault,
        }
    }
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        let outcome = match error {
            EngineError::Cancelled => Outcome::Cancelled,
            EngineError::TimedOut { .. } => Outcome::TimedOut,
            _ => Outcome::Failed,
        };
        Self {
            outcome,
            fault: error.into(),
        }
    }
}

impl From<crate::files::FileError> for Stopped {
    fn from(error: crate::files::FileError) -> Self {
        Fault::from(error).into()
    }
}

/// Runs a deploy and answers its last event, `Finished`, which the owner tells once the stack is free.
pub async fn run(job: Job, work: Work) -> EventKind {
    let stack = match &work {
        Work::Deploy { stage, .. } => stage.spec.stack.clone(),
        Work::Down { spec, .. } => spec.stack.clone(),
    };
    let result = match work {
        Work::Deploy {
            stage,
            plan,
            auths,
            remove_orphans,
        } => job
            .deploy(&stage, &plan, &auths, remove_orphans)
            .await
            .map(|id| (State::Committed, Some(id))),
        Work::Down {
            spec,
            directory,
            volumes,
        } => job
            .down(&spec, &directory, volumes)
            .await
            .map(|()| (State::Removed, None)),
    };
    match result {
        Ok((state, revision)) => EventKind::Finished {
            outcome: Outcome::Succeeded,
            state,
            revision,
            fault: None,
        },
        Err(stopped) => {
            let current = job.store.current(&stack).ok().flatten();
            job.failed(stopped, current.map(|revision| revision.id))
        }
    }
}

impl Job {
    async fn deploy(
        &self,
        stage: &Stage,
        plan: &Plan,
        auths: &[RegistryAuth],
        remove_orphans: bool,
    ) -> Result<RevisionId, Stopped> {
        self.enter(State::Staged);
        self.enter(State::Planned);
        let images = pull::pull(self, stage, plan, auths).await?;
        self.enter(State::Pulled);
        self.check_cancelled()?;
        self.enter(State::Applying);
        let before = self.engine.containers(&stage.spec.project).await?;
        apply::apply(self, stage, plan, &before, remove_orphans).await?;
        self.enter(State::Verifying);
        let containers = self
            .unless_cancelled(verify::verify(self, stage, plan, &images, &before))
            .await?;
        let id = commit::commit(self, stage, plan, images, &containers).await?;
        self.enter(State::Committed);
        Ok(id)
    }

    async fn down(
        &self,
        spec: &StackSpec,
        directory: &std::path::Path,
        volumes: bool,
    ) -> Result<(), Stopped> {
        self.enter(State::Applying);
        let project = compose_project(spec, directory);
        self.with_lines(|run| self.engine.down(&project, volumes, run))
            .await?;
        self.store.forget_current(&spec.stack)?;
        self.enter(State::Removed);
        Ok(())
    }

    fn enter(&self, state: State) {
        self.journal.push(EventKind::StateEntered { state });
    }

    fn warn(&self, text: String) {
        self.journal.push(EventKind::Warning { text });
    }

    fn check_cancelled(&self) -> Result<(), Stopped> {
        if self.cancel.is_cancelled() {
            Err(EngineError::Cancelled.into())
        } else {
            Ok(())
        }
    }

    /// Whatever the step waits for, a cancel ends it.
    async fn unless_cancelled<T>(
        &self,
        step: impl Future<Output = Result<T, Stopped>>,
    ) -> Result<T, Stopped> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(EngineError::Cancelled.into()),
            done = step => done,
        }
    }

    /// Runs Compose with its lines going to the journal.
    async fn with_lines<F>(&self, start: impl FnOnce(Run) -> F) -> Result<(), Stopped>
    where
        F: Future<Output = Result<(), EngineError>>,
    {
        let (lines, mut received) = mpsc::channel(LINE_QUEUE);
        let run = Run {
            lines,
            deadline: COMPOSE_DEADLINE,
            stop: self.cancel.clone(),
        };
        let copy = async {
            while let Some(text) = received.recv().await {
                self.journal.push(EventKind::ComposeLine { text });
            }
        };
        let (result, ()) = tokio::join!(start(run), copy);
        Ok(result?)
    }

    fn failed(&self, stopped: Stopped, revision: Option<RevisionId>) -> EventKind {
        let Stopped {
            mut outcome,
            mut fault,
        } = stopped;
        if outcome == Outcome::Cancelled {
            fault = if self.stopping.is_cancelled() {
                outcome = Outcome::Interrupted;
                Fault::new(
                    FaultKind::Failed,
                    "the agent was stopped in the middle of this deploy",
                )
            } else {
                Fault::new(FaultKind::Failed, "the deploy was cancelled")
            };
        }
        EventKind::Finished {
            outcome,
            state: State::Failed,
            revision,
            fault: Some(fault),
        }
    }
}
