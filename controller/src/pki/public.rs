//! `ca.pem`: the two authorities' public certificates, as every workstation and host of a fleet knows them.

use std::fmt;

use proto::id::FleetName;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

use super::{AuthorityKind, PkiError, blocks, encode, hex};

const WHAT: &str = "ca.pem";

/// Names a fleet's pair of authorities: the folder its identities are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public halves of both authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetCa {
    fleet: FleetName,
    hosts: CertificateDer<'static>,
    operators: CertificateDer<'static>,
}

impl FleetCa {
    /// Reads `ca.pem`; the certificates may be in any order, their subjects tell them apart.
    ///
    /// # Errors
    /// When it does not hold exactly one authority of each kind for one fleet.
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let (mut hosts, mut operators) = (None, None);
        for der in blocks(WHAT, text, "CERTIFICATE")? {
            let (fleet, kind) = describe(&der)?;
            let slot = match kind {
                AuthorityKind::Hosts => &mut hosts,
                AuthorityKind::Operators => &mut operators,
            };
            if slot.replace((fleet, CertificateDer::from(der))).is_some() {
                let twice = format!("it holds {} twice", kind.title());
                return Err(PkiError::unreadable(WHAT, twice));
            }
        }
        let missing = |kind: AuthorityKind| {
            PkiError::unreadable(WHAT, format!("{} is missing", kind.title()))
        };
        let (fleet, hosts) = hosts.ok_or_else(|| missing(AuthorityKind::Hosts))?;
        let (other, operators) = operators.ok_or_else(|| missing(AuthorityKind::Operators))?;
        if fleet != other {
            return Err(PkiError::unreadable(
                WHAT,
                "its authorities are of two fleets",
            ));
        }
        Ok(Self {
            fleet,
            hosts,
            operators,
        })
    }

    /// The text of `ca.pem`.
    #[must_use]
    pub fn to_pem(&self) -> String {
        format!(
            "# The authorities of fleet {}: public, keep it in git beside fleet.toml.\n\
             # {}\n{}# {}\n{}",
            self.fleet,
            AuthorityKind::Hosts.common_name(),
            encode("CERTIFICATE", &self.hosts),
            AuthorityKind::Operators.common_name(),
            encode("CERTIFICATE", &self.operators),
        )
    }

    /// The fleet the authorities are for.
    #[must_use]
    pub fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    /// The certificate that agents' certificates chain to.
    #[must_use]
    pub fn hosts(&self) -> &CertificateDer<'static> {
        &self.hosts
    }

    /// The certificate that operators' certificates chain to.
    #[must_use]
    pub fn operators(&self) -> &CertificateDer<'static> {
        &self.operators
    }

    /// Names this pair of authorities.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        digest.update(Sha256::digest(&self.hosts));
        digest.update(Sha256::digest(&self.operators));
        Fingerprint(hex(&digest.finalize()[..16]))
    }
}

fn describe(der: &[u8]) -> Result<(FleetName, AuthorityKind), PkiError> {
    let foreign =
        || PkiError::unreadable(WHAT, "it holds a certificate that is no authority of ours");
    let (_, certificate) =
        parse_x509_certificate(der).map_err(|error| PkiError::unreadable(WHAT, error))?;
    if !certificate.is_ca() {
        return Err(foreign());
    }
    let (organization, common) = names(&certificate).ok_or_else(foreign)?;
    let kind = [AuthorityKind::Hosts, AuthorityKind::Operators]
        .into_iter()
        .find(|kind| kind.common_name() == common)
        .ok_or_else(foreign)?;
    let fleet = organization.parse();
    Ok((
        fleet.map_err(|error| PkiError::unreadable(WHAT, error))?,
        kind,
    ))
}

fn names<'a>(certificate: &'a X509Certificate<'_>) -> Option<(&'a str, &'a str)> {
    let subject = certificate.subject();
    let organization = subject.iter_organization().next()?.as_str().ok()?;
    let common = subject.iter_common_name().next()?.as_str().ok()?;
    Some((organization, common))
}
