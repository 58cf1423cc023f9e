//! Takes over from an agent that did not live to end its deploys.

use std::sync::{MutexGuard, PoisonError};

use proto::event::{EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, StackName};

use super::running::{forget, record_end};
use super::{Deployer, Request};
use crate::deploy::{self, Job, Point, Work};
use crate::files::FileError;
use crate::journal::Journal;

impl Deployer {
    /// Finds the deploys without an end. Those past their point hold their stacks from here on.
    pub(super) fn find_unfinished(&mut self) -> Result<(), Fault> {
        for deploy in self.store.deploys()? {
            let folder = self.store.deploy_folder(&deploy);
            let found = match Request::load(&self.store, &deploy) {
                // Never taken: its sender was never answered. Its work may hold secrets, and goes first.
                Ok(None) => {
                    forget(&self.store.work_folder(&deploy));
                    std::fs::remove_dir_all(&folder)
                        .map_err(|error| FileError::new("remove", &folder, error).into())
                }
                Ok(Some(request)) => self.take_over(deploy, request),
                Err(error) => Err(error.into()),
            };
            if let Err(fault) = found {
                // One deploy whose records are lost must not keep the agent from all others.
                tracing::error!(%deploy, %fault, causes = ?fault.causes, "nothing is known of a deploy");
            }
        }
        Ok(())
    }

    fn take_over(&self, deploy: DeployId, request: Request) -> Result<(), Fault> {
        let folder = self.store.work_folder(&deploy);
        if self.journal_of(&deploy)?.is_over() {
            forget(&folder);
            return Ok(());
        }
        let Request {
            stack,
            operator,
            since_millis,
            ..
        } = request;
        let (Some(work), Some(operator)) = (Work::load(&folder)?, &operator) else {
            return self.interrupt(deploy, &stack, operator.as_ref());
        };
        // A damaged point is for the deploy itself to tell of.
        let untouched = matches!(Point::load(&folder), Ok(None));
        let traces = deploy::has_traces(&folder);
        if untouched && !traces && !matches!(work, Work::Down { .. }) {
            return self.interrupt(deploy, &stack, Some(operator));
        }
        let operator = operator.clone();
        let journal = Journal::create(&self.store.deploy_folder(&deploy), self.redactor(&work)?)?;
        let mut inner = self.inner();
        let job = self.hold(&mut inner, deploy, operator, since_millis, journal, &work);
        drop(inner);
        self.unfinished().push((job, work));
        Ok(())
    }

    fn interrupt(
        &self,
        deploy: DeployId,
        stack: &StackName,
        operator: Option<&OperatorName>,
    ) -> Result<(), Fault> {
        let current = self.store.current(stack)?;
        let ours = current.as_ref().is_some_and(|it| it.deploy == deploy);
        let what = "the agent stopped in the middle of this deploy";
        let fault = Fault::new(FaultKind::Failed, what)
            .hint("nothing had been changed yet; run the same command again");
        let (outcome, state, fault) = if ours {
            // Only the end of its journal was lost.
            (Outcome::Succeeded, State::Committed, None)
        } else {
            (Outcome::Interrupted, State::Failed, Some(fault))
        };
        let last = EventKind::Finished {
            outcome,
            state,
            revision: current.map(|revision| revision.id),
            fault,
        };
        record_end(self.store.audit(), deploy, stack, operator, &last);
        let journal = self.journal_of(&deploy)?;
        journal.push(last);
        journal.settled()?;
        forget(&self.store.work_folder(&deploy));
        Ok(())
    }

    /// Ends what an earlier agent's children are still doing, then goes on with its deploys. Once, before anything
    /// else is asked of the engine.
    pub async fn recover(&self) {
        if self.store.newer().is_some() {
            return;
        }
        if let Err(error) = self.engine.end_leftovers().await {
            tracing::error!(%error, "cannot look for children of an earlier agent");
        }
        let unfinished = std::mem::take(&mut *self.unfinished());
        for (job, work) in unfinished {
            tracing::warn!(deploy = %job.deploy, stack = %work.stack(), "going on with what an earlier agent began");
            self.start(job, work);
        }
        let sweeper = self.sweeper.clone();
        self.tasks.spawn(async move { sweeper.sweep().await });
    }

    fn unfinished(&self) -> MutexGuard<'_, Vec<(Job, Work)>> {
        let unfinished = self.unfinished.lock();
        unfinished.unwrap_or_else(PoisonError::into_inner)
    }
}
