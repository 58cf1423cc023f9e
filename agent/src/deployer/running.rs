//! A deploy that was taken: holds its stack, runs to its end in a task of the agent, is recorded and told.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use proto::audit::Ended;
use proto::event::{EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, StackName};

use super::{Active, Deployer, Inner};
use crate::audit::Audit;
use crate::deploy::{self, Confirmation, Job, Work};
use crate::journal::Journal;
use crate::witness;

impl Deployer {
    /// Notes that the stack has a deploy now.
    pub(super) fn hold(
        &self,
        inner: &mut Inner,
        deploy: DeployId,
        operator: OperatorName,
        since_millis: u64,
        journal: Journal,
        work: &Work,
    ) -> Job {
        let cancel = self.stop.child_token();
        let confirmation = Confirmation::default();
        let active = Active {
            deploy,
            operator: operator.clone(),
            since_millis,
            journal: journal.clone(),
            cancel: cancel.clone(),
            confirmation: confirmation.clone(),
        };
        inner.active.insert(work.stack().clone(), active);
        Job {
            store: self.store.clone(),
            engine: self.engine.clone(),
            journal,
            deploy,
            operator,
            cancel,
            stopping: self.stop.clone(),
            confirmation,
            auths: work.auths().to_vec(),
        }
    }

    /// Runs it to its end, or until the agent stops.
    pub(super) fn start(&self, job: Job, work: Work) {
        let sweeper = self.sweeper.clone();
        self.tasks.spawn(async move {
            let working = sweeper.working.read().await;
            let last = run_to_the_end(&job, &work).await;
            drop(working);
            if end(&sweeper.inner, &job, &work, last) {
                sweeper.sweep().await;
            }
        });
    }
}

/// Told and freed in one step: who sees the end finds the stack free. Answers whether it has ended.
fn end(inner: &Mutex<Inner>, job: &Job, work: &Work, last: Option<EventKind>) -> bool {
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    inner.active.remove(work.stack());
    let Some(last) = last else {
        tracing::info!(deploy = %job.deploy, "goes on when the agent is back");
        return false;
    };
    // Before anybody is told: whoever sees the end finds it recorded.
    record_end(
        job.store.audit(),
        job.deploy,
        work.stack(),
        Some(&job.operator),
        &last,
    );
    job.journal.push(last);
    match job.journal.settled() {
        Ok(()) => forget(&job.store.work_folder(&job.deploy)),
        Err(error) => {
            tracing::error!(deploy = %job.deploy, %error, "the next agent has to end it again");
        }
    }
    true
}

/// Puts a deploy's last event into the audit record.
pub(super) fn record_end(
    audit: &Audit,
    deploy: DeployId,
    stack: &StackName,
    operator: Option<&OperatorName>,
    last: &EventKind,
) {
    if let EventKind::Finished {
        outcome,
        state,
        revision,
        fault,
    } = last
    {
        audit.ended(Ended {
            operator: operator.cloned(),
            stack: stack.clone(),
            deploy,
            outcome: *outcome,
            state: *state,
            revision: *revision,
            fault: fault.as_ref().map(|fault| fault.kind),
        });
    }
}

/// Removes what only an unfinished deploy needs.
pub(super) fn forget(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %folder.display(), %error, "stays until the next start");
        }
        _ => witness::changed(folder),
    }
}

async fn run_to_the_end(job: &Job, work: &Work) -> Option<EventKind> {
    let deploy = job.deploy;
    // A defect in one deploy must not take the agent, or leave watchers without an end.
    let ended = std::panic::AssertUnwindSafe(deploy::run(job, work))
        .catch_unwind()
        .await;
    ended.unwrap_or_else(|_| {
        tracing::error!(%deploy, "a deploy panicked");
        Some(EventKind::Finished {
            outcome: Outcome::Failed,
            state: State::Failed,
            revision: None,
            fault: Some(
                Fault::new(
                    FaultKind::Internal,
                    "the agent failed in the middle of this deploy",
                )
                .hint("this is a defect in longshore; the agent's log on the host has the details"),
            ),
        })
    })
}
