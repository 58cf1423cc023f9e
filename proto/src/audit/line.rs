//! An entry as it is kept: one line of JSON whose last member is the SHA-256 of the object without it.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Entry, Fact};
use crate::id::AuditHash;

const SEAL: &str = ",\"hash\":\"";
const SEAL_END: &[u8] = b"\"}";
const DIGITS: usize = 64;

/// A line that is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Not an entry at all.
    #[error("cannot be read")]
    Unreadable,
    /// An entry with another content.
    #[error("was changed: its content does not fit its hash")]
    Changed,
}

/// An entry whose hash fits its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What it says.
    pub entry: Entry,
    /// Its hash.
    pub hash: AuditHash,
}

/// What every entry has, whatever it tells.
#[derive(Deserialize)]
struct Frame {
    number: u64,
    at_millis: u64,
    previous: AuditHash,
}

/// The line of an entry, without its newline, and its hash.
///
/// # Errors
/// Never in practice; an entry has a JSON form.
pub fn seal(entry: &Entry) -> Result<(String, AuditHash), serde_json::Error> {
    let mut line = serde_json::to_string(entry)?;
    let hash = digest(line.as_bytes());
    line.truncate(line.len() - 1);
    line.push_str(SEAL);
    line.push_str(&hash.to_string());
    line.push_str("\"}");
    Ok((line, hash))
}

/// Reads a line without its newline, and checks its hash.
///
/// # Errors
/// When it is not what was written.
pub fn open(line: &[u8]) -> Result<Sealed, BadLine> {
    let (body, hash) = split(line).ok_or(BadLine::Unreadable)?;
    if digest(&body) != hash {
        return Err(BadLine::Changed);
    }
    let frame: Frame = serde_json::from_slice(&body).map_err(|_| BadLine::Unreadable)?;
    // What a newer agent tells is as much a part of the chain as what is understood here.
    let fact = serde_json::from_slice(&body).unwrap_or(Fact::Other);
    let Frame {
        number,
        at_millis,
        previous,
    } = frame;
    let entry = Entry {
        number,
        at_millis,
        fact,
        previous,
    };
    Ok(Sealed { entry, hash })
}

/// The number that a line claims, whatever else is wrong with it.
#[must_use]
pub fn number_of(line: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Frame>(line)
        .ok()
        .map(|frame| frame.number)
}

/// The object without its last member, and what that says.
fn split(line: &[u8]) -> Option<(Vec<u8>, AuditHash)> {
    let line = line.strip_suffix(SEAL_END)?;
    let (line, digits) = line.split_at_checked(line.len().checked_sub(DIGITS)?)?;
    let body = line.strip_suffix(SEAL.as_bytes())?;
    let hash = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let mut body = body.to_vec();
    body.push(b'}');
    Some((body, hash))
}

fn digest(body: &[u8]) -> AuditHash {
    AuditHash::from_bytes(Sha256::digest(body).into())
}
