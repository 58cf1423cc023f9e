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

/// A point in time in UTC, as a person compares it with a clock: `2026-03-01 12:00:00`.
#[must_use]
pub fn written(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    let (hour, minute, second) = time.as_hms();
    format!("{date} {hour:02}:{minute:02}:{second:02}")
}

/// The same of unix milliseconds.
#[must_use]
pub fn millis_written(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).unwrap_or_default();
    written(OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH))
}
