//! One authority: its key, its certificate, and the rules both must keep.

use proto::id::FleetName;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::parse_x509_certificate;

use super::{PkiError, random};

const LIFE: Duration = Duration::days(3650);
/// A machine whose clock is a little behind must accept what was signed just now.
pub(super) const BACKDATED: Duration = Duration::hours(1);

/// Which of a fleet's two authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorityKind {
    /// Signs agents; controllers trust only this one for servers.
    Hosts,
    /// Signs operators and the revocation list; agents trust only this one for clients.
    Operators,
}

impl AuthorityKind {
    /// Its certificate's common name, by which it is told apart in `ca.pem`.
    #[must_use]
    pub const fn common_name(self) -> &'static str {
        match self {
            Self::Hosts => "longshore hosts",
            Self::Operators => "longshore operators",
        }
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Hosts => "the hosts' authority",
            Self::Operators => "the operators' authority",
        }
    }
}

/// An authority that can sign.
pub(super) struct Authority {
    pub(super) kind: AuthorityKind,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) expires: OffsetDateTime,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn generate(
        kind: AuthorityKind,
        fleet: &FleetName,
        now: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(|error| PkiError::make("a key", error))?;
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, fleet.as_str());
        name.push(DnType::CommonName, kind.common_name());
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.not_before = now - BACKDATED;
        params.not_after = now + LIFE;
        params.serial_number = Some(serial()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let made = params.self_signed(&key);
        let certificate = made.map_err(|error| PkiError::make("a certificate", error))?;
        Self::from_parts(kind, certificate.der().clone(), key, now)
    }

    /// Puts a stored authority together again; a library would sign with any two halves, so they are compared here.
    pub(super) fn from_parts(
        kind: AuthorityKind,
        certificate: CertificateDer<'static>,
        key: KeyPair,
        now: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let title = kind.title();
        let (_, parsed) = parse_x509_certificate(&certificate)
            .map_err(|error| PkiError::unreadable(title, error))?;
        if parsed.public_key().raw != key.subject_public_key_info().as_slice() {
            return Err(PkiError::KeyMismatch(title));
        }
        let usage = parsed.key_usage().ok().flatten();
        let signs =
            usage.is_some_and(|usage| usage.value.key_cert_sign() && usage.value.crl_sign());
        if !parsed.is_ca() || !signs {
            return Err(PkiError::unreadable(title, "it may not sign certificates"));
        }
        let expires = parsed.validity().not_after.to_datetime();
        if expires <= now {
            return Err(PkiError::AuthorityExpired(title));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| PkiError::unreadable(title, error))?;
        Ok(Self {
            kind,
            certificate,
            expires,
            issuer,
        })
    }
}

/// 126 random bits; always 16 bytes and positive, so that it reads the same in every tool.
pub(super) fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = random::<16>()?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
