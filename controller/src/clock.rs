//! The wall clock of the controller, read here and nowhere else: certificates need dates, deadlines do not.

use time::OffsetDateTime;

/// The current date and time.
#[must_use]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
