//! One deploy from `Received` to its end, step by step; every step has a deadline and an outcome.
//!
//! Until its [`Point`] is on disk a deploy has changed nothing, and ends where it is. From then on it goes forward to a
//! judged state or all the way back, through as many agents as it takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::event::{EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind, FaultReason};
use proto::id::{DeployId, OperatorName, RevisionId, StackName};
use proto::registry::RegistryAuth;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::engine::{Container, Engine, EngineError, Run};
use crate::journal::Journal;
use crate::store::Store;

mod adopt;
mod apply;
mod back;
mod commit;
mod confirm;
mod down;
pub(crate) mod hooks;
pub(crate) mod keep;
mod layout;
mod pace;
mod point;
mod pull;
mod restore;
mod room;
mod stopped;
mod tidy;
mod unsteady;
mod up;
mod verify;
mod work;

pub use confirm::Confirmation;
pub(crate) use confirm::seconds;
pub(crate) use layout::known;
/// Whether a hook of the deploy whose folder it is was begun and its end not noticed; one that cannot be read counts.
pub(crate) fn has_traces(folder: &std::path::Path) -> bool {
    !matches!(Trace::load(folder), Ok(None))
}

use hooks::traces::Trace;
pub(crate) use hooks::{is_saved, saved_file};
use layout::Conflicts;
pub use point::Point;
use stopped::Stopped;
pub use work::Work;
use work::{Goal, no_such};

/// Compose has this long for one run; it waits for dependencies to be healthy inside it.
const COMPOSE_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Lines of Compose under way to the journal. When full, Compose waits for the disk.
const LINE_QUEUE: usize = 256;

/// A server that shuts down without systemd ends every program at once; the agent has heard of it by then.
const ENDED_TOGETHER: Duration = Duration::from_secs(2);

/// What a deploy works with.
#[derive(Clone)]
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
    /// Where an operator confirms what it has brought.
    pub confirmation: Confirmation,
    /// Logins for registries, held in memory alone.
    pub auths: Vec<RegistryAuth>,
}

/// Runs a deploy, or goes on with one that an earlier agent began. Answers its last event, `Finished`, which the owner
/// tells once the stack is free; `None` when the agent stops first and the next one has to go on.
pub async fn run(job: &Job, work: &Work) -> Option<EventKind> {
    let ended = match Point::load(&job.folder()) {
        Ok(point) => job.work(work, point).await,
        Err(error) => Err(point::unknown(error.into())),
    };
    match ended {
        Ok(last) => last,
        Err(stopped) => Some(job.failed(stopped, work.stack())),
    }
}

/// The end of a deploy that an agent left before anything was changed.
fn interrupted() -> Stopped {
    let what = "the agent stopped in the middle of this deploy";
    let fault = Fault::new(FaultKind::Failed, what)
        .hint("nothing had been changed yet; run the same command again");
    Stopped::new(Outcome::Interrupted, fault)
}

/// Whether a deploy that ended like this has left a stack that may be neither revision.
pub(crate) fn neither(fault: &Fault) -> bool {
    match fault.reason {
        Some(FaultReason::ProgressUnknown | FaultReason::NotRestored) => true,
        None => neither_in_words(fault),
    }
}

/// Agents up to 0.1 journaled no reason: what they wrote is still read, and must stay as they wrote it.
fn neither_in_words(fault: &Fault) -> bool {
    fault.what == "how far this deploy came is unknown; nothing more was touched"
        || fault
            .what
            .ends_with(", and the stack could not be brought back")
}

impl Job {
    fn folder(&self) -> PathBuf {
        self.store.work_folder(&self.deploy)
    }

    async fn work(&self, work: &Work, point: Option<Point>) -> Result<Option<EventKind>, Stopped> {
        if let Work::Down { stack, volumes } = work {
            return self.down(stack, *volumes).await;
        }
        let resumed = point.is_some();
        if let Some(point) = &point
            && let Some(id) = self.committed(work.stack())?
        {
            self.clear_traces().await;
            room::remove_leaving(self, point).await;
            return Ok(self.after(work, id).await);
        }
        if !resumed && Trace::load(&self.folder())?.is_some() {
            self.clear_traces().await;
            return Err(interrupted());
        }
        let (goal, point) = match point {
            Some(point) => (self.goal(work)?, point),
            None => self.prepare(work).await?,
        };
        if resumed {
            self.warn(
                "the agent was restarted in the middle of this deploy; it goes on".to_owned(),
            );
            self.wait_for_engine().await?;
        }
        let forward = match point::reason(&self.folder())? {
            Some(stopped) => Err(stopped),
            None if resumed => self.forward_again(&goal, &point).await,
            None => self.forward(&goal, &point).await,
        };
        match forward {
            Ok(id) => Ok(self.after(work, id).await),
            Err(stopped) if self.is_ended_with(&stopped).await => Ok(None),
            Err(stopped) => self.go_back(stopped, work.stack(), &point).await,
        }
    }

    /// Everything that changes nothing, ending with the record after which going back is owed.
    async fn prepare(&self, work: &Work) -> Result<(Goal, Point), Stopped> {
        self.enter(State::Staged);
        self.enter(State::Planned);
        let goal = self.goal(work)?;
        let images = match (&goal, work) {
            (Goal::Stage { stage, plan, .. }, Work::Deploy { force, .. }) => {
                self.before(stage, *force).await?;
                pull::pull(self, stage, plan).await?
            }
            (Goal::Revision(revision), _) => {
                restore::check(self, revision).await?;
                revision.images.clone()
            }
            (Goal::Stage { .. }, _) => return Err(point::unknown(no_such("work"))),
        };
        keep::keep(self, work.stack(), images.values()).await?;
        self.enter(State::Pulled);
        self.check_cancelled()?;
        let before = tidy::tidy(self, goal.project()).await?;
        if let Work::Deploy {
            found: Some(found), ..
        } = work
        {
            adopt::adopt(self, found, &before).await?;
        }
        self.note_files(&goal)?;
        let (stale, leaving) = match &goal {
            Goal::Stage {
                plan,
                remove_orphans,
                ..
            } => {
                let leaving = room::leaving_with_plan(plan, *remove_orphans, &before);
                (Vec::new(), leaving)
            }
            Goal::Revision(revision) => {
                let current = self.store.current(work.stack())?;
                let leaving = room::leaving_with_rollback(current.as_ref(), revision, &before);
                (restore::stale(self, revision, &before)?, leaving)
            }
        };
        let point = Point {
            images,
            before,
            stale,
            leaving,
        };
        point.save(&self.folder())?;
        Ok((goal, point))
    }

    /// Nothing that is about to be replaced is lost, whatever happens from here on.
    fn note_files(&self, goal: &Goal) -> Result<(), Stopped> {
        match goal {
            Goal::Stage {
                stage, overwrite, ..
            } => {
                let conflicts = Conflicts::Refused(overwrite);
                layout::note(self, &stage.spec, &stage.directory, conflicts)
            }
            Goal::Revision(revision) => {
                let conflicts = Conflicts::Replaced;
                layout::note(self, &revision.spec, &revision.directory, conflicts)
            }
        }
    }

    /// A Compose that was ended in the middle leaves containers whose passing names are in the way of the next one.
    async fn forward_again(&self, goal: &Goal, point: &Point) -> Result<RevisionId, Stopped> {
        tidy::tidy(self, goal.project()).await?;
        self.forward(goal, point).await
    }

    async fn forward(&self, goal: &Goal, point: &Point) -> Result<RevisionId, Stopped> {
        self.enter(State::Applying);
        let changed = Instant::now();
        let revision = match goal {
            Goal::Stage {
                stage,
                plan,
                forced,
                overwrite,
                confirm_within,
                ..
            } => {
                let agreed = apply::Agreed {
                    plan,
                    forced,
                    overwrite,
                };
                apply::apply(self, stage, agreed, point).await?;
                self.enter(State::Verifying);
                let base = self.store.current(&plan.stack)?;
                let images = &point.images;
                let target = verify::Target::of_stage(stage, plan, images, base.as_ref());
                let judged = verify::verify(self, &target, &point.before, changed);
                let containers = self.unless_cancelled(judged).await?;
                self.tell_renewed(&containers, &point.before);
                if let Some(within) = confirm_within {
                    self.wait_for_confirmation(*within).await?;
                }
                commit::of_stage(self, stage, plan, &point.images, &containers).await?
            }
            Goal::Revision(revision) => {
                let wanted: Vec<_> = revision.resolved.services.iter().collect();
                let project = &revision.spec.project;
                room::make_room(self, project, &wanted, &point.leaving).await?;
                let conflicts = Conflicts::Replaced;
                restore::bring(self, revision, &point.stale, conflicts).await?;
                self.enter(State::Verifying);
                let target = verify::Target::of_revision(revision);
                let judged = verify::verify(self, &target, &point.before, changed);
                let containers = self.unless_cancelled(judged).await?;
                self.tell_renewed(&containers, &point.before);
                commit::of_revision(self, revision, &containers)?
            }
        };
        self.store.commit(&revision)?;
        self.enter(State::Committed);
        room::remove_leaving(self, point).await;
        Ok(revision.id)
    }

    /// What a deploy has committed whose end an earlier agent did not live to tell.
    fn committed(&self, stack: &StackName) -> Result<Option<RevisionId>, Stopped> {
        let current = self.store.current(stack)?;
        let ours = current.filter(|revision| revision.deploy == self.deploy);
        Ok(ours.map(|revision| {
            self.enter(State::Committed);
            revision.id
        }))
    }

    fn succeeded(&self, revision: RevisionId) -> EventKind {
        EventKind::Finished {
            outcome: Outcome::Succeeded,
            state: State::Committed,
            revision: Some(revision),
            fault: None,
        }
    }

    /// Whether the agent ends too, so that the next one has to go on. What ends both at once may reach Compose first.
    async fn is_ended_with(&self, stopped: &Stopped) -> bool {
        if stopped.again {
            let _late = timeout(ENDED_TOGETHER, self.stopping.cancelled()).await;
        }
        self.stopping.is_cancelled()
    }

    fn enter(&self, state: State) {
        self.journal.push(EventKind::StateEntered { state });
    }

    fn warn(&self, text: String) {
        self.journal.push(EventKind::Warning { text });
    }

    /// Which of the judged containers were not there before.
    fn tell_renewed(&self, containers: &[Container], before: &[Container]) {
        let known = |one: &Container| before.iter().any(|old| old.id == one.id);
        let renewed = containers.iter().filter(|one| !one.one_off && !known(one));
        let mut containers: Vec<String> = renewed.map(|one| one.name.clone()).collect();
        containers.sort_unstable();
        if !containers.is_empty() {
            self.journal.push(EventKind::Renewed { containers });
        }
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
    async fn with_lines<F>(
        &self,
        deadline: Duration,
        start: impl FnOnce(Run) -> F,
    ) -> Result<(), Stopped>
    where
        F: Future<Output = Result<(), EngineError>>,
    {
        let (lines, mut received) = mpsc::channel(LINE_QUEUE);
        let run = Run {
            lines,
            deadline,
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

    /// The end of a deploy that has changed nothing, or whose state is not known.
    fn failed(&self, stopped: Stopped, stack: &StackName) -> EventKind {
        let Stopped { outcome, fault, .. } = stopped.told(self.stopping.is_cancelled());
        let current = self.store.current(stack).ok().flatten();
        EventKind::Finished {
            outcome,
            state: State::Failed,
            revision: current.map(|revision| revision.id),
            fault: Some(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(journaled: &str) -> Fault {
        serde_json::from_str(journaled).unwrap()
    }

    #[test]
    fn what_is_neither_revision_is_known_by_its_reason_alone() {
        for reason in [FaultReason::ProgressUnknown, FaultReason::NotRestored] {
            let fault = Fault::new(FaultKind::Failed, "any words").reason(reason);
            assert!(neither(&fault), "{fault:?}");
            let text = serde_json::to_string(&fault).unwrap();
            assert!(neither(&read(&text)), "{text}");
        }
        assert!(neither(&point::unknown(no_such("revision")).fault));
        let text = r#"{"kind":"failed","what":"web did not start"}"#;
        assert!(!neither(&read(text)));
    }

    #[test]
    fn journals_without_a_reason_are_known_by_their_words() {
        for what in [
            "how far this deploy came is unknown; nothing more was touched",
            "web did not start, and the stack could not be brought back",
        ] {
            let text = format!(r#"{{"kind":"failed","what":"{what}"}}"#);
            assert!(neither(&read(&text)), "{text}");
        }
    }
}
