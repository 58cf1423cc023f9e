//! What a healthcheck is made of, and what follows: how long a change may take to show, how old a result may be.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A slow start is no failure, and a busy host no reason to doubt.
const GRACE: Duration = Duration::from_secs(10);
/// More tries than this are not waited for.
const MOST_RETRIES: u32 = 100;

/// How the engine checks a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// From the end of one check to the next.
    pub interval: Duration,
    /// What one check may take.
    pub timeout: Duration,
    /// Failures do not count for so long after a start.
    pub start_period: Duration,
    /// Failures in a row that mean "unhealthy".
    pub retries: u32,
}

impl Default for Healthcheck {
    /// Docker's own defaults.
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            start_period: Duration::ZERO,
            retries: 3,
        }
    }
}

impl Healthcheck {
    /// From what was written down; nothing, like zero, means Docker's default.
    #[must_use]
    pub fn of(
        interval: Option<Duration>,
        timeout: Option<Duration>,
        start_period: Option<Duration>,
        retries: Option<u64>,
    ) -> Self {
        let default = Self::default();
        let or = |value: Option<Duration>, default| {
            value.filter(|value| !value.is_zero()).unwrap_or(default)
        };
        let retries = retries.filter(|retries| *retries > 0);
        Self {
            interval: or(interval, default.interval),
            timeout: or(timeout, default.timeout),
            start_period: or(start_period, default.start_period),
            retries: retries.map_or(default.retries, |retries| {
                u32::try_from(retries).map_or(MOST_RETRIES, |retries| retries.min(MOST_RETRIES))
            }),
        }
    }

    /// How long a change may take to show: twice what the check needs to say "unhealthy", and a little.
    #[must_use]
    pub fn patience(&self) -> Duration {
        // A check usually answers at once; its timeout counts once, not on each try.
        self.start_period + self.timeout + self.interval * self.retries * 2 + GRACE
    }

    /// How old the newest result may be: at least one comes in this time while the engine checks.
    #[must_use]
    pub fn freshness(&self) -> Duration {
        (self.interval + self.timeout) * 2 + GRACE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_zero_mean_dockers_defaults() {
        let zero = Some(Duration::ZERO);
        let check = Healthcheck::of(zero, None, zero, Some(0));
        assert_eq!(check, Healthcheck::default());
        assert_eq!(check.patience(), Duration::from_secs(30 + 30 * 3 * 2 + 10));
        assert_eq!(check.freshness(), Duration::from_secs(130));
    }

    #[test]
    fn tries_without_end_are_not_waited_for() {
        let check = Healthcheck::of(None, None, None, Some(u64::MAX));
        assert_eq!(check.retries, 100);
    }
}
