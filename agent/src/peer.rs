//! Who is calling: taken from the verified certificate, and from nothing that a caller can write.

use std::net::SocketAddr;

use proto::id::{FleetName, HostName, OperatorName};
use proto::identity::{Identity, InvalidNames, Names};
use proto::role::Role;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;
use x509_parser::parse_x509_certificate;

/// An operator whose certificate has been verified; handlers find it in their request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub operator: OperatorName,
    /// What they may do.
    pub role: Role,
    /// Their fleet, which is this host's.
    pub fleet: FleetName,
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// Unix seconds at which the certificate ends.
    pub expires: u64,
    pub(crate) serial: Vec<u8>,
    /// The name of the authority that signed it, as certificates hold names.
    pub(crate) issuer: Vec<u8>,
}

/// A certificate that names no operator of this fleet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not readable as a certificate.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// No name, or more than one.
    #[error("the certificate does not carry exactly one name")]
    Names,
    /// A name, but not an operator's of this fleet.
    #[error("{0} is no operator of this fleet")]
    Foreign(String),
    /// An operator who is limited to other hosts.
    #[error("operator {0} is limited to other hosts")]
    Elsewhere(OperatorName),
}

impl Peer {
    /// Reads a certificate whose chain has been verified already.
    ///
    /// # Errors
    /// When it does not name exactly one operator of `fleet` who may work on `host`.
    pub fn from_certificate(
        der: &CertificateDer<'_>,
        fleet: &FleetName,
        host: &HostName,
        address: SocketAddr,
    ) -> Result<Self, PeerError> {
        let (_, parsed) = parse_x509_certificate(der).map_err(|_| PeerError::Unreadable)?;
        let certificate = EndEntityCert::try_from(der).map_err(|_| PeerError::Unreadable)?;
        let (name, role) = operator(&certificate, fleet, host)?;
        let ends = parsed.validity().not_after.timestamp();
        Ok(Self {
            operator: name,
            role,
            fleet: fleet.clone(),
            address,
            expires: u64::try_from(ends).unwrap_or_default(),
            serial: certificate.serial().to_vec(),
            issuer: certificate.issuer().to_vec(),
        })
    }

    /// The certificate's serial number in hexadecimal, as the audit log shows it.
    #[must_use]
    pub fn serial(&self) -> String {
        self.serial
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    pub(crate) fn is_expired(&self, now: UnixTime) -> bool {
        self.expires <= now.as_secs()
    }
}

/// The operator that a certificate names, if it is one of `fleet` who may work on `host`.
pub(crate) fn operator(
    certificate: &EndEntityCert<'_>,
    fleet: &FleetName,
    host: &HostName,
) -> Result<(OperatorName, Role), PeerError> {
    let foreign = |uri: String| PeerError::Foreign(uri.chars().take(200).collect());
    let names = Names::read(certificate.valid_uri_names()).map_err(|error| match error {
        InvalidNames::Count | InvalidNames::Limit => PeerError::Names,
        InvalidNames::Foreign(_) => {
            let uri = certificate.valid_uri_names().next();
            foreign(uri.unwrap_or_default().to_owned())
        }
    })?;
    let allowed = names.allows(host);
    match names.identity {
        Identity::Operator {
            fleet: theirs,
            role,
            name,
        } if theirs == *fleet => match allowed {
            true => Ok((name, role)),
            false => Err(PeerError::Elsewhere(name)),
        },
        other => Err(foreign(other.to_string())),
    }
}
