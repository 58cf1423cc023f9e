//! The host's wall clock, for people, certificates and the age of files; nothing is ordered or timed by it.
#![allow(
    clippy::disallowed_types,
    reason = "the one place that reads the wall clock"
)]

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use time::OffsetDateTime;

/// Unix time in milliseconds.
#[must_use]
pub fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The present in UTC, as part of a file's name: `20261121T101937Z`.
#[must_use]
pub fn utc_stamp() -> String {
    let seconds = i64::try_from(unix_millis() / 1000).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// Marks a file as used now.
///
/// # Errors
/// When it is not there or not ours.
pub fn mark_used(path: &Path) -> io::Result<()> {
    File::open(path)?.set_modified(SystemTime::now())
}

/// How long ago a file was written or marked; nothing when the clock went back since.
///
/// # Errors
/// When it is not there.
pub fn unused_for(path: &Path) -> io::Result<Duration> {
    let modified = std::fs::metadata(path)?.modified()?;
    Ok(SystemTime::now()
        .duration_since(modified)
        .unwrap_or_default())
}

/// The current time, as certificates are checked against it.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::now()
}
