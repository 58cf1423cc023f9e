//! Waits until no deploy holds a stack: a second operator may queue instead of giving up.

use std::time::Duration;

use proto::event::EventKind;
use proto::fault::{Fault, FaultKind};
use proto::id::DeployId;
use tokio::time::{Instant, timeout_at};

use crate::event::{Own, Place};
use crate::fleet_run::Reporter;
use crate::link::{Link, Patience, Seen, Subject};

/// How long to wait for held stacks; all of one command wait inside the same time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lock {
    until: Option<(Instant, Duration)>,
    patience: Patience,
}

impl Lock {
    pub(super) fn new(wait: Option<Duration>, patience: Patience) -> Self {
        Self {
            until: wait.map(|wait| (Instant::now() + wait, wait)),
            patience,
        }
    }

    /// Whether a held stack is waited for at all.
    pub(super) fn waits(&self) -> bool {
        self.until.is_some()
    }

    /// Waits for whatever holds the stack. At once when nothing does, or nobody asked to wait.
    pub(super) async fn free(&self, link: &Link, reporter: &Reporter) -> Result<(), Fault> {
        let Some((until, wait)) = self.until else {
            return Ok(());
        };
        let place = reporter.place();
        // Another one may take it between the end of the first and our turn.
        while let Some(deploy) = holder(link, place).await? {
            let ended = self.ended(link, deploy, reporter);
            timeout_at(until, ended)
                .await
                .map_err(|_| still_held(place, deploy, wait))??;
        }
        Ok(())
    }

    /// Follows a deploy to its end, and tells whose it is.
    async fn ended(&self, link: &Link, deploy: DeployId, reporter: &Reporter) -> Result<(), Fault> {
        let mut watch = link.watch(Subject::Deploy(deploy), 0, self.patience);
        while let Some(seen) = watch.next().await {
            match seen? {
                Seen::Event(event) => {
                    if let EventKind::Received { operator, .. } = event.kind {
                        reporter.own(Own::Waiting { deploy, operator }).await;
                    }
                }
                Seen::Lost(why) => reporter.own(Own::LinkLost { why }).await,
                Seen::Restored => reporter.own(Own::LinkRestored).await,
            }
        }
        Ok(())
    }
}

async fn holder(link: &Link, place: &Place) -> Result<Option<DeployId>, Fault> {
    let stacks = link.status().await?;
    let mut stacks = stacks.into_iter();
    let ours = stacks.find(|status| status.stack == place.stack);
    Ok(ours.and_then(|status| status.deploy))
}

/// What was agreed to is not what would happen any more.
pub(super) fn moved_on(place: &Place) -> Fault {
    let what = format!(
        "stack {} was changed by the deploy that held it",
        place.stack
    );
    Fault::new(FaultKind::Stale, what)
        .cause("what was agreed to is not what would happen now")
        .hint("run the same command again")
}

fn still_held(place: &Place, deploy: DeployId, wait: Duration) -> Fault {
    let what = format!(
        "another deploy still holds stack {} after {} s",
        place.stack,
        wait.as_secs()
    );
    Fault::new(FaultKind::Busy, what)
        .cause(format!("it is deploy {}", deploy.short()))
        .hint(format!("watch it: controller attach {place}"))
}
