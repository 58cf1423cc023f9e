//! What `agent identity` tells: whom this host's certificate speaks for, and until when.

use std::fmt;
use std::path::Path;

use proto::id::{FleetName, HostName};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::enroll::{self, EnrollError};

/// An installed identity, without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// This host.
    pub host: HostName,
    /// Its fleet.
    pub fleet: FleetName,
    /// Names the two authorities, as the folder of a workstation's identities is named.
    pub authorities: String,
    /// Unix seconds at which the certificate ends.
    pub expires: u64,
    /// Number of the list of revoked operators.
    pub revocations: u128,
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = i64::try_from(self.expires).unwrap_or(i64::MAX);
        let until = OffsetDateTime::from_unix_timestamp(until);
        let until = until.map_or_else(|_| "for ever".to_owned(), |at| at.date().to_string());
        writeln!(f, "host         {}", self.host)?;
        writeln!(f, "fleet        {}", self.fleet)?;
        writeln!(f, "authorities  {}", self.authorities)?;
        writeln!(f, "until        {until}")?;
        writeln!(f, "revocations  {}", self.revocations)
    }
}

/// Reads the identity in `folder`; `None` before the first `accept`. One that has expired is still read.
///
/// # Errors
/// When it is damaged, or others can read it.
pub fn installed(folder: &Path) -> Result<Option<Installed>, EnrollError> {
    let installed = enroll::installed(folder)?;
    Ok(installed.map(|(_, grant)| {
        let mut digest = Sha256::new();
        digest.update(Sha256::digest(&grant.hosts));
        digest.update(Sha256::digest(&grant.operators));
        let digest = digest.finalize();
        Installed {
            authorities: digest
                .iter()
                .take(16)
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            host: grant.host,
            fleet: grant.fleet,
            expires: grant.expires,
            revocations: grant.list.number,
        }
    }))
}
