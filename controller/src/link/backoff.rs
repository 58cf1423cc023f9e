//! How long and how often to try again: waits that double up to a bound, each with jitter, until time is up.

use std::time::Duration;

use tokio::time::Instant;

/// When to give up, and how to wait before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the first failure to giving up.
    pub total: Duration,
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

impl Patience {
    /// For following something that goes on without us.
    pub const FOLLOW: Self = Self {
        total: Duration::from_secs(5 * 60),
        first: Duration::from_millis(250),
        most: Duration::from_secs(10),
    };

    /// For handing over a deploy while somebody waits.
    pub const SUBMIT: Self = Self {
        total: Duration::from_secs(20),
        first: Duration::from_millis(250),
        most: Duration::from_secs(4),
    };

    pub(super) fn start(self) -> Backoff {
        Backoff {
            patience: self,
            next: self.first,
            since: None,
        }
    }
}

/// One run of failures.
pub(super) struct Backoff {
    patience: Patience,
    next: Duration,
    since: Option<Instant>,
}

impl Backoff {
    /// Waits before the next attempt; `false` when time is up.
    pub(super) async fn wait(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() + self.next > self.patience.total {
            return false;
        }
        tokio::time::sleep(jittered(self.next)).await;
        self.next = (self.next * 2).min(self.patience.most);
        true
    }

    /// Whether a failure has not been made good yet.
    pub(super) fn is_running(&self) -> bool {
        self.since.is_some()
    }

    /// It works again.
    pub(super) fn reset(&mut self) {
        *self = self.patience.start();
    }

    pub(super) fn total(&self) -> Duration {
        self.patience.total
    }
}

/// Half of the wait, plus up to another half by chance: a restarted agent is not met by everyone at once.
fn jittered(wait: Duration) -> Duration {
    let chance = getrandom::u32().unwrap_or(u32::MAX / 2);
    wait / 2 + wait.mul_f64(f64::from(chance) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_end_when_time_is_up() {
        let patience = Patience {
            total: Duration::from_millis(40),
            first: Duration::from_millis(4),
            most: Duration::from_millis(8),
        };
        let mut backoff = patience.start();
        let began = Instant::now();
        let mut attempts = 0;
        while backoff.wait().await {
            attempts += 1;
        }
        assert!((4..=20).contains(&attempts), "{attempts}");
        assert!(began.elapsed() <= patience.total);
        backoff.reset();
        assert!(!backoff.is_running() && backoff.wait().await);
    }

    #[test]
    fn jitter_stays_within_the_wait() {
        let wait = Duration::from_secs(2);
        for _ in 0..100 {
            assert!((wait / 2..=wait).contains(&jittered(wait)));
        }
    }
}
