//! The host's wall clock, for people to read and for certificates; nothing is ordered or timed by it.
#![allow(
    clippy::disallowed_types,
    reason = "the one place that reads the wall clock"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;

/// Unix time in milliseconds.
#[must_use]
pub fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The current time, as certificates are checked against it.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::now()
}
