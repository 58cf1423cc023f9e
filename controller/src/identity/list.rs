//! Who was ever let into the fleet, and who still is.

use std::path::Path;

use proto::id::{HostName, OperatorName};
use proto::identity::Identity;
use proto::role::Role;
use serde::{Serialize, Serializer};
use time::OffsetDateTime;

use super::{IdentityError, current_operator, issued, read_ca, read_list};
use crate::clock;
use crate::home::Home;

/// What listing operators needs to know.
#[derive(Debug)]
pub struct OperatorListParams<'a> {
    /// Where identities live.
    pub home: &'a Home,
    /// `ca.pem`.
    pub ca: &'a Path,
    /// `revoked.crl`.
    pub crl: &'a Path,
}

/// One certificate of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorEntry {
    /// Whose.
    pub name: OperatorName,
    /// What they may do.
    pub role: Role,
    /// The hosts that they are limited to; empty for all.
    pub only: Vec<HostName>,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// When it ends, in unix seconds.
    #[serde(serialize_with = "unix")]
    pub until: OffsetDateTime,
    /// Since when it does not count any more, in unix seconds.
    #[serde(serialize_with = "unix_if_any")]
    pub revoked: Option<OffsetDateTime>,
}

/// Every certificate of an operator that was signed on this machine, the oldest first.
///
/// # Errors
/// When nothing was signed here, or the list of revoked ones cannot be used.
pub fn operator_list(params: &OperatorListParams<'_>) -> Result<Vec<OperatorEntry>, IdentityError> {
    let ca = read_ca(params.ca)?;
    let list = read_list(params.crl, &ca)?;
    let list = list.ok_or_else(|| IdentityError::NoList(params.crl.to_owned()))?;
    let entries = issued::read(&params.home.fleet(ca.id()))?;
    let oldest = ca.generations().into_iter().min();
    let believed = |entry: &issued::Entry| Some(entry.generation) >= oldest;
    let operator = |entry: issued::Entry| match entry.identity.parse() {
        Ok(Identity::Operator { role, name, .. }) => Some(OperatorEntry {
            name,
            role,
            until: entry.expires(),
            revoked: list.since(&entry.serial),
            only: entry.only,
            serial: entry.serial,
        }),
        _ => None,
    };
    Ok(entries
        .into_iter()
        .filter(believed)
        .filter_map(operator)
        .collect())
}

/// The certificates that `who`, an operator's name or a serial number, means and that still count. A name does not
/// mean the one that this workstation uses itself.
///
/// # Errors
/// When there is nobody of that name and no such number, or nothing that still counts.
pub fn to_revoke(
    params: &OperatorListParams<'_>,
    who: &str,
) -> Result<Vec<OperatorEntry>, IdentityError> {
    let ca = read_ca(params.ca)?;
    let own = current_operator(params.home, &ca, params.ca).ok();
    let own = own.map(|own| own.leaf().serial.clone());
    let entries = operator_list(params)?;
    let named = entries.iter().any(|entry| entry.name.as_str() == who);
    let meant = |entry: &OperatorEntry| match named {
        true => entry.name.as_str() == who,
        false => entry.serial == who.to_lowercase(),
    };
    let meant: Vec<OperatorEntry> = entries.into_iter().filter(meant).collect();
    if meant.is_empty() {
        return Err(IdentityError::NobodySuch(who.to_owned()));
    }
    let now = clock::now();
    let counts = |entry: &OperatorEntry| entry.revoked.is_none() && entry.until > now;
    let counting: Vec<OperatorEntry> = meant.into_iter().filter(counts).collect();
    let is_own = |entry: &OperatorEntry| own.as_ref() == Some(&entry.serial);
    let (ours, others): (Vec<_>, Vec<_>) = counting.into_iter().partition(is_own);
    match (others.is_empty(), ours.first()) {
        (false, _) => Ok(others),
        (true, Some(own)) => Err(IdentityError::OwnCertificate(own.serial.clone())),
        (true, None) => Err(IdentityError::NothingToRevoke(who.to_owned())),
    }
}

fn unix<S: Serializer>(at: &OffsetDateTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(at.unix_timestamp())
}

fn unix_if_any<S: Serializer>(at: &Option<OffsetDateTime>, to: S) -> Result<S::Ok, S::Error> {
    at.map(OffsetDateTime::unix_timestamp).serialize(to)
}
