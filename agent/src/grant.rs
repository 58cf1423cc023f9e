//! What a fleet grants a host: its certificate, whom it obeys, who no longer counts, and who signed it.

use proto::fault::{Fault, FaultKind};
use proto::id::{FleetName, HostName};
use proto::identity::Identity;
use proto::trust::{self, MOST};
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use webpki::{BorrowedCertRevocationList, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{
    ASN1Time, CertificateRevocationList, FromDer as _, X509Certificate, X509Extension,
};

/// The DER of id-kp-serverAuth; webpki's own constant accepts certificates that name no usage at all.
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

/// id-ce-issuingDistributionPoint: what says that a list is not about everything.
const PARTIAL: &str = "2.5.29.28";

/// A grant whose parts belong together.
#[derive(Debug, Clone)]
pub struct Grant {
    /// This host's fleet.
    pub fleet: FleetName,
    /// This host's name.
    pub host: HostName,
    /// Unix seconds at which the host's certificate begins.
    pub begins: u64,
    /// Unix seconds at which the host's certificate ends.
    pub expires: u64,
    /// The host's certificate.
    pub certificate: CertificateDer<'static>,
    /// Who signs operators: one authority, or two while one takes the other's place.
    pub operators: Vec<Operators>,
    /// Who signs hosts: as many; the first has signed this one.
    pub hosts: Vec<CertificateDer<'static>>,
    public_key: Vec<u8>,
}

/// One of the authorities that sign operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operators {
    /// Its certificate.
    pub authority: CertificateDer<'static>,
    /// Those of its operators that no longer count.
    pub list: RevocationList,
}

/// A revocation list whose signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    /// As signed.
    pub der: CertificateRevocationListDer<'static>,
    /// Counts up with every list.
    pub number: u128,
    /// Unix seconds by which there should be a newer one.
    pub next: u64,
}

/// A grant that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not the text that an approval prints.
    #[error("the grant cannot be read: {0}")]
    Unreadable(String),
    /// A part is missing or there twice.
    #[error("the grant must hold {0}")]
    Parts(&'static str),
    /// The host's certificate is not good.
    #[error("the host's certificate is refused: {0}")]
    Certificate(String),
    /// The revocation list is not the operators' authority's.
    #[error("the revocation list is not signed by the operators' authority")]
    List,
}

impl From<GrantError> for Fault {
    fn from(error: GrantError) -> Self {
        Self::new(FaultKind::Refused, error.to_string())
            .hint("the grant is everything that `controller host approve` prints")
    }
}

impl Grant {
    /// Reads a grant and proves that its parts belong together and are valid at `now`.
    ///
    /// # Errors
    /// When a part is missing, foreign or expired.
    pub fn from_pem(text: &str, now: UnixTime) -> Result<Self, GrantError> {
        let grant = Self::read(text)?;
        let refuse = |error: webpki::Error| GrantError::Certificate(reason(&error));
        let anchor = anchor_from_trusted_cert(grant.signer()).map_err(refuse)?;
        EndEntityCert::try_from(&grant.certificate)
            .and_then(|leaf| {
                let usage = KeyUsage::required(SERVER_AUTH);
                let algorithms = webpki::ALL_VERIFICATION_ALGS;
                leaf.verify_for_usage(algorithms, &[anchor], &[], now, usage, None, None)
                    .map(|_| ())
            })
            .map_err(refuse)?;
        Ok(grant)
    }

    /// As [`from_pem`](Self::from_pem), whatever the date: an agent whose certificate has run out still says so itself.
    pub(crate) fn read(text: &str) -> Result<Self, GrantError> {
        let unreadable = |error: &dyn ToString| GrantError::Unreadable(error.to_string());
        let (mut leaves, mut authorities, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        for block in pem::parse_many(text).map_err(|error| unreadable(&error))? {
            let (tag, der) = (block.tag().to_owned(), block.into_contents());
            match tag.as_str() {
                "CERTIFICATE" if parse(&der)?.is_ca() => authorities.push(der),
                "CERTIFICATE" => leaves.push(der),
                "X509 CRL" => lists.push(der),
                _ => {}
            }
        }
        let one_leaf = "exactly one certificate of a host";
        let [leaf] = <[_; 1]>::try_from(leaves).map_err(|_| GrantError::Parts(one_leaf))?;
        if lists.is_empty() || lists.len() > MOST {
            return Err(GrantError::Parts("a revocation list of each authority"));
        }
        if authorities.len() != 2 * lists.len() {
            let why = "an authority for hosts and one for operators with each list";
            return Err(GrantError::Parts(why));
        }
        // Which authority is which is a matter of signatures, not of order.
        let signer = taken(&mut authorities, |authority| {
            Ok(signed(&leaf, authority)?.then_some(()))
        })?;
        let (signer, ()) = signer.ok_or_else(|| {
            let why = "it must be signed by exactly one of the authorities";
            GrantError::Certificate(why.into())
        })?;
        let mut operators = Vec::new();
        for list in lists {
            let theirs =
                |authority: &[u8]| Ok(RevocationList::verify(list.clone(), authority).ok());
            let (authority, list) = taken(&mut authorities, theirs)?.ok_or(GrantError::List)?;
            let authority = authority.into();
            operators.push(Operators { authority, list });
        }
        let hosts = std::iter::once(signer).chain(authorities);
        assemble(leaf, hosts.map(CertificateDer::from).collect(), operators)
    }

    /// The authority that has signed this host's certificate.
    #[must_use]
    pub fn signer(&self) -> &CertificateDer<'static> {
        &self.hosts[0]
    }

    /// Names all authorities that this host believes.
    #[must_use]
    pub fn authorities(&self) -> String {
        let hosts = self.hosts.iter().map(AsRef::as_ref);
        let operators = self.operators.iter().map(|one| one.authority.as_ref());
        trust::fingerprint(hosts, operators)
    }

    /// Names the fleet on workstations: its first authorities, whose name later ones carry as their unit.
    #[must_use]
    pub fn fleet_id(&self) -> String {
        let unit = |authority: &CertificateDer<'_>| {
            let authority = parse(authority).ok()?;
            let unit = authority.subject().iter_organizational_unit().next()?;
            unit.as_str().ok().map(str::to_owned)
        };
        let named = self.hosts.iter().find_map(unit);
        named.unwrap_or_else(|| self.authorities())
    }

    /// The number of the oldest list in use.
    #[must_use]
    pub fn list_number(&self) -> u128 {
        let numbers = self.operators.iter().map(|one| one.list.number);
        numbers.min().unwrap_or_default()
    }

    /// Unix seconds by which there should be a newer list.
    #[must_use]
    pub fn list_due(&self) -> u64 {
        let due = self.operators.iter().map(|one| one.list.next);
        due.min().unwrap_or_default()
    }

    /// An authority of which `other` has an older list than this, as their numbers: theirs and ours.
    pub(crate) fn older_list(&self, other: &Self) -> Option<(u128, u128)> {
        self.operators.iter().find_map(|ours| {
            let same = |theirs: &&Operators| theirs.authority == ours.authority;
            let theirs = other.operators.iter().find(same)?;
            let (offered, current) = (theirs.list.number, ours.list.number);
            (offered < current).then_some((offered, current))
        })
    }

    /// Whether both believe the same authorities.
    pub(crate) fn believes_the_same(&self, other: &Self) -> bool {
        self.authorities() == other.authorities()
    }

    /// Whether the certificate is for this key.
    #[must_use]
    pub fn is_for(&self, key: &KeyPair) -> bool {
        self.public_key == key.subject_public_key_info()
    }

    /// The parts as text, in the order in which an approval prints them.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let mut text = encode("CERTIFICATE", &self.certificate);
        for Operators { authority, list } in &self.operators {
            text.push_str(&encode("CERTIFICATE", authority));
            text.push_str(&encode("X509 CRL", &list.der));
        }
        for authority in &self.hosts {
            text.push_str(&encode("CERTIFICATE", authority));
        }
        text
    }
}

/// One PEM block.
pub(crate) fn encode(tag: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, der), config)
}

pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, GrantError> {
    let parsed = X509Certificate::from_der(der);
    let (_, certificate) = parsed.map_err(|error| GrantError::Unreadable(error.to_string()))?;
    Ok(certificate)
}

fn signed(leaf: &[u8], by: &[u8]) -> Result<bool, GrantError> {
    let (leaf, authority) = (parse(leaf)?, parse(by)?);
    let named = leaf.issuer() == authority.subject();
    Ok(named && leaf.verify_signature(Some(authority.public_key())).is_ok())
}

/// Takes out the one that something can be found with, and what was found; `None` when there is no such one, or more.
fn taken<T>(
    all: &mut Vec<Vec<u8>>,
    find: impl Fn(&[u8]) -> Result<Option<T>, GrantError>,
) -> Result<Option<(Vec<u8>, T)>, GrantError> {
    let mut found = Vec::new();
    for (at, one) in all.iter().enumerate() {
        found.extend(find(one)?.map(|it| (at, it)));
    }
    let only = <[_; 1]>::try_from(found).ok();
    Ok(only.map(|[(at, it)]| (all.swap_remove(at), it)))
}

fn assemble(
    leaf: Vec<u8>,
    hosts: Vec<CertificateDer<'static>>,
    operators: Vec<Operators>,
) -> Result<Grant, GrantError> {
    let leaf = CertificateDer::from(leaf);
    let refuse = |why: &str| GrantError::Certificate(why.to_owned());
    let (fleet, host) = host_name(&leaf).ok_or_else(|| refuse("it does not name a host"))?;
    // Names from the wire are compared with the fleet's: an authority of another fleet would only look like ours.
    for authority in hosts
        .iter()
        .chain(operators.iter().map(|one| &one.authority))
    {
        if organization(authority)?.as_deref() != Some(fleet.as_str()) {
            return Err(GrantError::Parts(
                "authorities of the host's own fleet only",
            ));
        }
    }
    let parsed = parse(&leaf)?;
    let seconds = |at: ASN1Time| u64::try_from(at.timestamp()).unwrap_or_default();
    let begins = seconds(parsed.validity().not_before);
    let expires = seconds(parsed.validity().not_after);
    let public_key = parsed.public_key().raw.to_vec();
    Ok(Grant {
        fleet,
        host,
        begins,
        expires,
        certificate: leaf,
        operators,
        hosts,
        public_key,
    })
}

/// The fleet that an authority says it is of.
pub(crate) fn organization(authority: &[u8]) -> Result<Option<String>, GrantError> {
    let authority = parse(authority)?;
    let name = authority.subject().iter_organization().next();
    Ok(name.and_then(|name| name.as_str().ok()).map(str::to_owned))
}

fn host_name(leaf: &CertificateDer<'_>) -> Option<(FleetName, HostName)> {
    let certificate = EndEntityCert::try_from(leaf).ok()?;
    let mut names = certificate.valid_uri_names();
    let (Some(uri), None) = (names.next(), names.next()) else {
        return None;
    };
    match uri.parse().ok()? {
        Identity::Host { fleet, host } => Some((fleet, host)),
        Identity::Operator { .. } => None,
    }
}

impl RevocationList {
    /// Reads a list and proves that `operators`, the operators' authority, signed it for all that it signs.
    ///
    /// # Errors
    /// When it is not such a list, whole and numbered.
    pub(crate) fn verify(der: Vec<u8>, operators: &[u8]) -> Result<Self, GrantError> {
        let operators = parse(operators)?;
        let parsed = CertificateRevocationList::from_der(&der);
        let (rest, list) = parsed.map_err(|_| GrantError::List)?;
        let named = list.issuer() == operators.subject();
        let signed = named && list.verify_signature(operators.public_key()).is_ok();
        // A list of some certificates or some reasons says nothing about the others.
        let partial = |extension: &X509Extension<'_>| extension.oid.to_id_string() == PARTIAL;
        if !rest.is_empty() || !signed || list.extensions().iter().any(partial) {
            return Err(GrantError::List);
        }
        // What the door reads it with has to be able to.
        BorrowedCertRevocationList::from_der(&der).map_err(|_| GrantError::List)?;
        let number = list.crl_number().map(ToString::to_string);
        let number = number.and_then(|number| number.parse().ok());
        let next = list
            .next_update()
            .and_then(|at| at.timestamp().try_into().ok());
        // Without a number an old list could not be told from a new one, without a date it would last for ever.
        let (Some(number), Some(next)) = (number, next) else {
            return Err(GrantError::List);
        };
        Ok(Self {
            der: der.into(),
            number,
            next,
        })
    }
}

fn reason(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "it has expired".into(),
        webpki::Error::CertNotValidYet { .. } => "it is not valid yet; check the clock".into(),
        webpki::Error::RequiredEkuNotFoundContext(_) => "it is not meant for a server".into(),
        other => other.to_string(),
    }
}
