//! The way back: the whole stack to its last good revision, or, when there is none, to nothing.

use std::time::Duration;

use proto::event::{ContainerState, EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind, FaultReason};
use proto::id::StackName;
use tokio::time::{Instant, timeout};

use super::layout::{self, Conflicts};
use super::unsteady::unsteady;
use super::{COMPOSE_DEADLINE, Job, Point, Stopped, point, restore, room, tidy, verify};
use crate::engine::{Container, EngineError};
use crate::stage::compose_project;
use crate::store::Revision;

/// A restarting engine, or a host that boots, is back by then.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// There is no event to wait for while the engine is away.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// An engine that goes away in the middle of it is waited for this often, a Compose that is killed is run again.
const TRIES: usize = 3;

impl Job {
    /// Waits until the engine answers.
    pub(super) async fn wait_for_engine(&self) -> Result<(), Stopped> {
        let end = Instant::now() + ENGINE_PATIENCE;
        loop {
            let Err(error) = self.engine.facts().await else {
                return Ok(());
            };
            if Instant::now() >= end {
                return Err(error.into());
            }
            // Not `cancel`: an operator who cancels wants the stack back, and that needs the engine.
            if timeout(ASK_AGAIN, self.stopping.cancelled()).await.is_ok() {
                return Err(EngineError::Cancelled.into());
            }
        }
    }

    /// Undoes a deploy that has changed something. `None` when the agent stops first.
    pub(super) async fn go_back(
        &self,
        stopped: Stopped,
        stack: &StackName,
        point: &Point,
    ) -> Result<Option<EventKind>, Stopped> {
        let mut stopped = stopped.told(false);
        stopped.fault = self.journal.mask(stopped.fault);
        // Where there was room for everything but the end, there is some for it.
        self.store.reserve().release();
        if let Err(error) = point::save_reason(&self.folder(), &stopped) {
            // Only an agent that has to go on with this one would have asked; it tries forward again.
            tracing::error!(deploy = %self.deploy, %error, "why it goes back is not on the disk");
        }
        // Going back cannot be cancelled, only interrupted.
        let job = Self {
            cancel: self.stopping.clone(),
            ..self.clone()
        };
        job.warn(format!("{}; going back", stopped.fault));
        job.enter(State::RollingBack);
        let (base, done) = match job.store.current(stack) {
            Ok(Some(base)) => {
                let done = job.persist(|| job.restore(&base, point)).await;
                (Some(base), done)
            }
            Ok(None) => (None, job.persist(|| job.remove_made(stack, point)).await),
            Err(error) => (None, Err(error.into())),
        };
        if done.is_err() && job.stopping.is_cancelled() {
            return Ok(None);
        }
        Ok(Some(ending(stopped, base.as_ref(), done)).inspect(|last| {
            if let EventKind::Finished {
                state: State::RolledBack,
                ..
            } = last
            {
                job.enter(State::RolledBack);
            }
        }))
    }

    /// Does what brings the stack back, once more where that may help.
    async fn persist<F>(&self, bring: impl Fn() -> F) -> Result<(), Stopped>
    where
        F: Future<Output = Result<(), Stopped>>,
    {
        let mut tries = 1;
        loop {
            self.wait_for_engine().await?;
            let Err(stopped) = bring().await else {
                return Ok(());
            };
            let again = stopped.again || self.engine.facts().await.is_err();
            if !again || tries == TRIES || self.stopping.is_cancelled() {
                return Err(stopped);
            }
            tries += 1;
        }
    }

    async fn restore(&self, base: &Revision, point: &Point) -> Result<(), Stopped> {
        restore::check(self, base).await?;
        let done = self.bring_back(base, point).await;
        let Err(stopped) = done else {
            return Ok(());
        };
        // The next try replaces them, so this ends.
        let now = self.engine.containers(&base.spec.project).await;
        let again = now.is_ok_and(|now| !unsteady(&point.before, &now).is_empty());
        Err(Stopped {
            again: stopped.again || again,
            ..stopped
        })
    }

    async fn bring_back(&self, base: &Revision, point: &Point) -> Result<(), Stopped> {
        let changed = Instant::now();
        let project = &base.spec.project;
        let now = self.engine.containers(project).await?;
        self.make_room_for(base, point, &now).await?;
        let old = self.to_replace(base, point, &now);
        // Where only the end of the commit has failed, the revision is this deploy's own.
        let other = base.deploy != self.deploy;
        if let Some(applied) = self.store.applied(&base.spec.stack)?.filter(|_| other) {
            layout::put_back(self, applied, Some(&base.spec.files), &base.directory)?;
        }
        let mut brought = restore::bring(self, base, &old, Conflicts::Stay).await;
        let mut waits = false;
        if let Err(stopped) = &brought
            && stopped.outcome == Outcome::Failed
            && !stopped.again
        {
            // Compose starts nothing that waits for a container that is failing, as it may have been before.
            waits = self.start_what_waits(base, point).await?;
        }
        // Whatever became of the rest: what had given way ran before.
        let again = room::start_again(self, project, &point.before, Some(&base.resolved)).await;
        if brought.is_ok() {
            brought = again;
        }
        if brought.is_err() && !waits {
            return brought;
        }
        let target = verify::Target::as_it_was(base);
        let judged = verify::verify(self, &target, &point.before, changed);
        let containers = match (self.unless_cancelled(judged).await, brought) {
            (Ok(containers), _) => containers,
            (Err(_), Err(first)) => return Err(first),
            (Err(stopped), Ok(())) => return Err(stopped),
        };
        self.tell_renewed(&containers, &point.before);
        Ok(())
    }

    /// What this deploy has made for services that the revision does not have goes, what had given way to it has its own
    /// name again, and what else is in the revision's way gives way.
    async fn make_room_for(
        &self,
        base: &Revision,
        point: &Point,
        now: &[Container],
    ) -> Result<(), Stopped> {
        for container in made_since(&point.before, now) {
            if base.resolved.service(&container.service).is_none() {
                self.engine.remove_container(&container.id).await?;
            }
        }
        tidy::tidy(self, &base.spec.project).await?;
        let wanted: Vec<_> = base.resolved.services.iter().collect();
        room::make_room(self, &base.spec.project, &wanted, &[]).await
    }

    /// By id: what this deploy has made, what the engine has not kept up since, and what fails now and did not before.
    fn to_replace(&self, base: &Revision, point: &Point, now: &[Container]) -> Vec<String> {
        let unsteady = unsteady(&point.before, now);
        for container in &unsteady {
            let name = &container.name;
            self.warn(format!(
                "the engine starts {name} again and again; it is made anew"
            ));
        }
        let well = |one: &Container| {
            let old = point.before.iter().find(|old| old.id == one.id);
            old.is_some_and(|old| !old.is_failing())
        };
        let waited_for = |one: &Container| {
            let mut services = base.resolved.services.iter();
            services.any(|it| it.depends_on.contains(&one.service))
        };
        let failing = now
            .iter()
            .filter(|one| !one.one_off && one.is_failing() && (well(one) || waited_for(one)));
        let all = made_since(&point.before, now).into_iter();
        let all = all.chain(unsteady).chain(failing);
        all.map(|container| container.id.clone()).collect()
    }

    /// Starts the containers of the revision that Compose has left down, in spite of what they depend on. Answers
    /// whether there were any.
    async fn start_what_waits(&self, base: &Revision, point: &Point) -> Result<bool, Stopped> {
        let mut any = false;
        for container in self.engine.containers(&base.spec.project).await? {
            let was_up = |old: &Container| old.id == container.id && old.is_up();
            let left = match container.state {
                ContainerState::Created => true,
                ContainerState::Exited => point.before.iter().any(was_up),
                _ => false,
            };
            if !left || container.one_off || base.resolved.service(&container.service).is_none() {
                continue;
            }
            any = true;
            if let Err(error) = self.engine.start_container(&container.id).await {
                self.warn(format!("{} could not be started: {error}", container.name));
            }
        }
        Ok(any)
    }

    /// A first deploy has nothing to go back to: what it made goes, and volumes stay.
    async fn remove_made(&self, stack: &StackName, point: &Point) -> Result<(), Stopped> {
        let Some(applied) = self.store.applied(stack)? else {
            return Ok(());
        };
        let directory = self.store.directory_of(&applied.spec);
        if point.before.iter().all(|it| it.one_off) {
            let project = compose_project(&applied.spec, &directory);
            self.with_lines(COMPOSE_DEADLINE, |run| {
                self.engine.down(&project, false, run)
            })
            .await?;
            return layout::put_back(self, applied, None, &directory);
        }
        let project = &applied.spec.project;
        for container in self.engine.containers(project).await? {
            let known = point.before.iter().any(|old| old.id == container.id);
            if !known && !container.one_off {
                self.engine.remove_container(&container.id).await?;
            }
        }
        tidy::tidy(self, project).await?;
        room::start_again(self, project, &point.before, None).await?;
        layout::put_back(self, applied, None, &directory)
    }
}

/// The containers that this deploy has made so far.
fn made_since<'a>(before: &[Container], now: &'a [Container]) -> Vec<&'a Container> {
    let known = |one: &Container| before.iter().any(|old| old.id == one.id);
    now.iter()
        .filter(|one| !one.one_off && !known(one))
        .collect()
}

fn ending(stopped: Stopped, base: Option<&Revision>, done: Result<(), Stopped>) -> EventKind {
    let Stopped { outcome, fault, .. } = stopped;
    let revision = base.map(|base| base.id);
    let found = base.is_some_and(|base| base.found.is_some());
    let (state, fault) = match (done, revision) {
        (Ok(()), Some(revision)) => {
            let back = if found {
                "as it was found: revision"
            } else {
                "at revision"
            };
            let hint = format!("the stack is back {back} {}", revision.short());
            (State::RolledBack, fault.hint(hint))
        }
        (Ok(()), None) => {
            let hint = "what this first deploy had made was removed again; volumes stay";
            (State::Failed, fault.hint(hint))
        }
        (Err(again), _) => (State::Failed, stuck(fault, again.fault)),
    };
    EventKind::Finished {
        outcome: if outcome == Outcome::Succeeded {
            Outcome::Failed
        } else {
            outcome
        },
        state,
        revision,
        fault: Some(fault),
    }
}

/// Both reasons count: why the deploy failed, and why the stack could not be brought back.
fn stuck(first: Fault, second: Fault) -> Fault {
    let what = format!("{}, and the stack could not be brought back", first.what);
    let mut fault = Fault::new(FaultKind::Failed, what).reason(FaultReason::NotRestored);
    fault.causes = first.causes;
    fault.causes.push(format!("going back: {second}"));
    fault.causes.extend(second.causes);
    fault.output = first.output;
    fault.output.extend(second.output);
    fault.hints = second.hints;
    fault.hint("what runs now is neither revision; what mends it: controller doctor")
}
