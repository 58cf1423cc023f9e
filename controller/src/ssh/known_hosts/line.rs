//! One line of a known_hosts file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::HostKey;
use crate::ssh::pattern;

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// It is the host's.
    Plain,
    /// It signs hosts' certificates.
    Authority,
    /// Nobody may use it.
    Revoked,
}

/// A line that names hosts and a key.
pub(super) struct Line<'a> {
    pub(super) marker: Marker,
    hosts: &'a [u8],
    pub(super) key: HostKey,
}

impl<'a> Line<'a> {
    /// Reads a line; `None` for a comment, an empty line and whatever OpenSSH would not understand either.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        // OpenSSH reads lines as C strings.
        let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
        let line = line.trim_ascii_end();
        let (mut first, mut rest) = word(line);
        if first.starts_with(b"#") {
            return None;
        }
        let marker = match first {
            b"@cert-authority" => Marker::Authority,
            b"@revoked" => Marker::Revoked,
            other if other.starts_with(b"@") => return None,
            _ => Marker::Plain,
        };
        if marker != Marker::Plain {
            (first, rest) = word(rest);
            if first.starts_with(b"@") {
                return None;
            }
        }
        let (algorithm, rest) = word(rest);
        let (blob, _comment) = word(rest);
        let key = HostKey {
            algorithm: str::from_utf8(algorithm).ok()?.to_owned(),
            blob: STANDARD.decode(blob).ok()?,
        };
        (!first.is_empty() && key.is_sound()).then_some(Self {
            marker,
            hosts: first,
            key,
        })
    }

    /// Whether the line speaks of `name`, which is in lower case.
    pub(super) fn names(&self, name: &str) -> bool {
        if let Some(hashed) = self.hosts.strip_prefix(b"|1|") {
            return is_hash_of(hashed, name).unwrap_or(false);
        }
        let hosts = self.hosts.to_ascii_lowercase();
        pattern::fits_any(hosts.split(|&byte| byte == b','), name.as_bytes())
    }
}

/// The next word and what comes after it.
fn word(line: &[u8]) -> (&[u8], &[u8]) {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = line.iter().position(|byte| !blank(byte));
    let line = line.get(start.unwrap_or(line.len())..).unwrap_or_default();
    let end = line.iter().position(blank).unwrap_or(line.len());
    line.split_at(end)
}

/// `salt|hash`, both in base64: HMAC-SHA1 of the name under the salt.
fn is_hash_of(hashed: &[u8], name: &str) -> Option<bool> {
    let bar = hashed.iter().position(|&byte| byte == b'|')?;
    let (salt, hash) = hashed.split_at(bar);
    let salt = STANDARD.decode(salt).ok()?;
    let hash = STANDARD.decode(hash.get(1..)?).ok()?;
    // OpenSSH takes salts of the digest's length alone.
    Some(salt.len() == hash.len() && hash_of(&salt, name) == hash)
}

fn hash_of(salt: &[u8], name: &str) -> Vec<u8> {
    // A key of any length will do for HMAC.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else {
        return Vec::new();
    };
    mac.update(name.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `|1|salt|hash`, so that who steals the file does not learn where one goes.
pub(super) fn hashed(name: &str) -> std::io::Result<String> {
    let mut salt = [0; 20];
    getrandom::fill(&mut salt).map_err(std::io::Error::other)?;
    let hash = hash_of(&salt, name);
    Ok(format!(
        "|1|{}|{}",
        STANDARD.encode(salt),
        STANDARD.encode(hash)
    ))
}
