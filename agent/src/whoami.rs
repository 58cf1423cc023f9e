//! What `agent identity` tells: whom this host's certificate speaks for, and until when.

use std::fmt;
use std::path::Path;

use proto::id::{FleetName, HostName};
use serde::Serialize;
use time::OffsetDateTime;

use crate::enroll::{self, EnrollError};

/// An installed identity, without its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Installed {
    /// This host.
    pub host: HostName,
    /// Its fleet.
    pub fleet: FleetName,
    /// Names all authorities that it believes.
    pub authorities: String,
    /// Names the fleet, whatever its authorities are now.
    pub fleet_id: String,
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
    Ok(installed.map(|(_, grant)| Installed {
        authorities: grant.authorities(),
        fleet_id: grant.fleet_id(),
        revocations: grant.list_number(),
        host: grant.host,
        fleet: grant.fleet,
        expires: grant.expires,
    }))
}
