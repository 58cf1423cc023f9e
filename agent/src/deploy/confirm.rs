//! The dead-man switch: what a deploy has brought is kept only if an operator says so in time.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::event::{EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::id::OperatorName;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Job, Stopped};
use crate::audit::Caller;
use crate::clock;
use crate::files::FileError;
use crate::record;

/// Where a deploy and whoever confirms it meet.
#[derive(Clone, Default)]
pub struct Confirmation {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    phase: Mutex<Phase>,
    given: Notify,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    /// There is nothing to keep yet, or nobody has to be asked.
    #[default]
    Unasked,
    Asked {
        until: Instant,
    },
    Given,
    TooLate,
}

impl Confirmation {
    /// Keeps what the deploy whose folder it is has brought. Once this returns, no restart of the agent forgets it.
    ///
    /// # Errors
    /// When it does not wait for that, or not any more, or the disk refuses.
    pub fn give(&self, folder: &Path, caller: &Caller) -> Result<(), Fault> {
        let mut phase = self.phase();
        let refused = |what: &str| Err(Fault::new(FaultKind::Refused, what));
        match *phase {
            // A call that comes again because its answer was lost.
            Phase::Given => Ok(()),
            Phase::Unasked => refused("this deploy does not wait for a confirmation"),
            Phase::TooLate => refused("it is too late to confirm: the stack is going back"),
            Phase::Asked { .. } => {
                caller.let_in()?;
                record::write(&confirmed(folder), caller.operator())?;
                *phase = Phase::Given;
                self.shared.given.notify_one();
                Ok(())
            }
        }
    }

    /// How long it can still be given, while it is wanted.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        match *self.phase() {
            Phase::Asked { until } => Some(until.saturating_duration_since(Instant::now())),
            _ => None,
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        let phase = self.shared.phase.lock();
        phase.unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, until: Instant) {
        *self.phase() = Phase::Asked { until };
    }

    /// From here on it is refused. Answers whether it was given before.
    fn close(&self) -> bool {
        let mut phase = self.phase();
        if matches!(*phase, Phase::Given) {
            return true;
        }
        *phase = Phase::TooLate;
        false
    }
}

fn confirmed(folder: &Path) -> std::path::PathBuf {
    folder.join("confirmed.json")
}

impl Job {
    /// Waits until an operator confirms; without that the deploy has to go back.
    pub(super) async fn wait_for_confirmation(&self, within: Duration) -> Result<(), Stopped> {
        let folder = self.folder();
        if record::read::<OperatorName>(&confirmed(&folder))?.is_none() {
            let left = left(&folder, within)?;
            self.ask_and_wait(left, within).await?;
        }
        if let Some(operator) = record::read(&confirmed(&folder))? {
            self.journal.push(EventKind::Confirmed { operator });
        }
        Ok(())
    }

    async fn ask_and_wait(&self, left: Duration, within: Duration) -> Result<(), Stopped> {
        let until = Instant::now() + left;
        self.confirmation.ask(until);
        self.enter(State::AwaitingConfirm);
        self.journal.push(EventKind::ConfirmWanted {
            seconds: seconds(left),
        });
        let waited = tokio::select! {
            () = self.cancel.cancelled() => Err(crate::engine::EngineError::Cancelled.into()),
            in_time = timeout_at(until, self.confirmation.shared.given.notified()) => in_time.map_err(|_| too_late(within)),
        };
        // Whoever was first: a confirmation that was answered with "kept" counts.
        if self.confirmation.close() {
            return Ok(());
        }
        waited
    }
}

/// How much of the time is left. A restart of the agent gives nobody more of it; the wall clock, which alone goes on
/// across one, is believed only within the bounds.
fn left(folder: &Path, within: Duration) -> Result<Duration, FileError> {
    let path = folder.join("asked.json");
    let now = clock::unix_millis();
    let whole = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    if let Some(until) = record::read::<u64>(&path)? {
        return Ok(Duration::from_millis(until.saturating_sub(now).min(whole)));
    }
    record::write(&path, &now.saturating_add(whole))?;
    Ok(within)
}

/// Whole seconds, for people: what is left is never shown as nothing.
pub(crate) fn seconds(left: Duration) -> u32 {
    u32::try_from(left.as_millis().div_ceil(1000))
        .unwrap_or(u32::MAX)
        .max(1)
}

fn too_late(within: Duration) -> Stopped {
    let what = format!("nobody confirmed it within {} s", within.as_secs());
    let fault = Fault::new(FaultKind::Failed, what)
        .hint("it was judged good; to keep it, deploy again and run: controller confirm");
    Stopped::new(Outcome::TimedOut, fault)
}
