//! One authority: its key, its certificate, and the rules both must keep.

use proto::id::FleetName;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::parse_x509_certificate;

use super::{Fingerprint, PkiError, random};

const LIFE: Duration = Duration::days(3650);
/// How long an authority's word for its successor is good.
const WORD: Duration = Duration::days(90);
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
    /// The common name of a fleet's first one, by which it is told apart in `ca.pem`.
    #[must_use]
    pub const fn common_name(self) -> &'static str {
        match self {
            Self::Hosts => "longshore hosts",
            Self::Operators => "longshore operators",
        }
    }

    /// The common name of each: lists and certificates tell their authority by it, so no two of a fleet share one.
    #[must_use]
    pub fn name(self, generation: u32) -> String {
        match generation {
            1 => self.common_name().to_owned(),
            later => format!("{} {later}", self.common_name()),
        }
    }

    /// The kind and the generation that a common name says.
    pub(super) fn read(name: &str) -> Option<(Self, u32)> {
        let kinds = [Self::Hosts, Self::Operators].into_iter();
        let said = |kind: Self| {
            let generation = match name.strip_prefix(kind.common_name())? {
                "" => 1,
                later => later.strip_prefix(' ')?.parse().ok()?,
            };
            (kind.name(generation) == name && generation > 0).then_some((kind, generation))
        };
        kinds.filter_map(said).next()
    }

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Hosts => "the hosts' authority",
            Self::Operators => "the operators' authority",
        }
    }
}

/// What an authority is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Naming<'a> {
    pub(super) fleet: &'a FleetName,
    /// Counts the fleet's authorities of a kind from 1.
    pub(super) generation: u32,
    /// What names the fleet on workstations ever since its first authorities; those do not hold it themselves.
    pub(super) id: Option<&'a Fingerprint>,
}

/// An authority that can sign.
pub(super) struct Authority {
    pub(super) kind: AuthorityKind,
    pub(super) generation: u32,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) expires: OffsetDateTime,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn generate(
        kind: AuthorityKind,
        naming: Naming<'_>,
        now: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(|error| PkiError::make("a key", error))?;
        let params = params(kind, naming, now, now + LIFE)?;
        let made = params.self_signed(&key);
        let certificate = made.map_err(|error| PkiError::make("a certificate", error))?;
        Self::from_parts(kind, naming.generation, certificate.der().clone(), key, now)
    }

    /// The successor's name and key in a certificate that this one signs: who believes this one may believe that one
    /// (`newWithOld` in RFC 4210, section 4.4).
    pub(super) fn vouch_for(
        &self,
        successor: &Self,
        naming: Naming<'_>,
        now: OffsetDateTime,
    ) -> Result<CertificateDer<'static>, PkiError> {
        let mut params = params(successor.kind, naming, now, self.expires.min(now + WORD))?;
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(successor.issuer.key(), &self.issuer);
        let signed = signed.map_err(|error| PkiError::make("a certificate", error))?;
        Ok(signed.der().clone())
    }

    /// Puts a stored authority together again; a library would sign with any two halves, so they are compared here.
    pub(super) fn from_parts(
        kind: AuthorityKind,
        generation: u32,
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
            generation,
            certificate,
            expires,
            issuer,
        })
    }
}

fn params(
    kind: AuthorityKind,
    naming: Naming<'_>,
    now: OffsetDateTime,
    until: OffsetDateTime,
) -> Result<CertificateParams, PkiError> {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, naming.fleet.as_str());
    if let Some(id) = naming.id {
        name.push(DnType::OrganizationalUnitName, id.as_str());
    }
    name.push(DnType::CommonName, kind.name(naming.generation));
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = now - BACKDATED;
    params.not_after = until;
    params.serial_number = Some(serial()?);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// 126 random bits; always 16 bytes and positive, so that it reads the same in every tool.
pub(super) fn serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = random::<16>()?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
