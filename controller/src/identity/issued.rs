//! `issued.jsonl`: what the authorities have signed here, one line for each. Without it nothing could be revoked by name.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use proto::id::HostName;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::IdentityError;
use crate::home::FleetFolder;
use crate::pki::{Issued, hex};
use crate::private::{self, FileError};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// In hexadecimal.
    pub(super) serial: String,
    /// As the certificate names it.
    pub(super) identity: String,
    /// The hosts that an operator is limited to; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) only: Vec<HostName>,
    /// Unix seconds; missing in lines that older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) issued: Option<i64>,
    /// Unix seconds.
    pub(super) expires: i64,
    /// The key that it is for, in hexadecimal, as certificates hold it; missing in lines that older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// Of the authority that has signed it.
    #[serde(default = "first")]
    pub(super) generation: u32,
}

fn first() -> u32 {
    1
}

impl Entry {
    pub(super) fn expires(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.expires).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// Notes what was signed, before anybody is given it.
pub(super) fn record(folder: &FleetFolder, issued: &Issued) -> Result<(), IdentityError> {
    let path = folder.issued();
    let entry = Entry {
        serial: issued.serial.clone(),
        identity: issued.identity.to_string(),
        only: issued.only.clone(),
        issued: Some(issued.issued.unix_timestamp()),
        expires: issued.expires.unix_timestamp(),
        key: Some(hex(&issued.public_key)),
        generation: issued.generation,
    };
    let write = || {
        let mut line = serde_json::to_string(&entry)?;
        line.push('\n');
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).mode(0o600).open(&path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| {
        let (verb, path) = ("write", path.clone());
        FileError::Io { verb, path, source }.into()
    })
}

/// All that was signed here, the oldest first. A line that a full disk cut short names nobody and is passed over.
pub(super) fn read(folder: &FleetFolder) -> Result<Vec<Entry>, IdentityError> {
    let text = match private::read_long(&folder.issued()) {
        Err(error) if error.is_missing() => return Err(IdentityError::NoAuthorities),
        other => other?,
    };
    let entries = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    Ok(entries.collect())
}
