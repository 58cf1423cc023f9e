//! A deadline that stands still while a person is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How much time is left, and whether it runs.
#[derive(Debug, Clone, Copy)]
enum Clock {
    Runs { until: Instant },
    Stands { left: Duration },
}

/// A deadline of one piece of work.
#[derive(Debug)]
pub(super) struct Deadline(watch::Sender<Clock>);

impl Deadline {
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        let until = Instant::now() + limit;
        Arc::new(Self(watch::Sender::new(Clock::Runs { until })))
    }

    /// Waits until it has passed.
    pub(super) async fn passed(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let clock = *changes.borrow_and_update();
            match clock {
                Clock::Runs { until } => tokio::select! {
                    () = sleep_until(until) => return,
                    // The sender is ours, so it is there.
                    _ = changes.changed() => {}
                },
                Clock::Stands { .. } => drop(changes.changed().await),
            }
        }
    }

    /// Lets it stand still until the guard is dropped.
    pub(super) fn pause(self: &Arc<Self>) -> Paused {
        self.0.send_modify(|clock| {
            if let Clock::Runs { until } = *clock {
                let left = until.saturating_duration_since(Instant::now());
                *clock = Clock::Stands { left };
            }
        });
        Paused(Arc::clone(self))
    }
}

/// Time stands still while this lives.
#[derive(Debug)]
pub(super) struct Paused(Arc<Deadline>);

impl Drop for Paused {
    fn drop(&mut self) {
        self.0.0.send_modify(|clock| {
            if let Clock::Stands { left } = *clock {
                *clock = Clock::Runs {
                    until: Instant::now() + left,
                };
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_does_not_pass_while_a_person_is_asked() {
        let start = Instant::now();
        let deadline = Deadline::new(Duration::from_secs(10));
        let asked = Arc::clone(&deadline);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let pause = asked.pause();
            tokio::time::sleep(Duration::from_secs(60)).await;
            drop(pause);
        });
        deadline.passed().await;
        assert_eq!(start.elapsed(), Duration::from_secs(70));
    }
}
