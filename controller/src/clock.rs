//! The wall clock of the controller, read here and nowhere else: certificates need dates, deadlines do not.

use time::OffsetDateTime;

/// The current date and time.
#[must_use]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// The present in unix nanoseconds, for `--since 10m`.
#[must_use]
pub fn unix_nanos() -> i64 {
    i64::try_from(now().unix_timestamp_nanos()).unwrap_or(i64::MAX)
}
