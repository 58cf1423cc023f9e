//! Operators: a request on one machine, an approval on another, and the identity that comes of it.

use std::path::{Path, PathBuf};
use std::slice;

use proto::id::{FleetName, HostName, OperatorName};
use proto::identity::Identity;
use proto::role::Role;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{IdentityError, Signer, new_key, read_ca};
use crate::clock;
use crate::home::{FleetFolder, Home};
use crate::passphrase::Sources;
use crate::pki::{self, FleetCa, PkiError, Request, make_request, read_leaf};
use crate::private;

const KEY_TAG: &str = "PRIVATE KEY";

/// What a request needs to know.
#[derive(Debug)]
pub struct OperatorRequestParams<'a> {
    /// Where identities live.
    pub home: &'a Home,
    /// `ca.pem`.
    pub ca: &'a Path,
    /// Who asks.
    pub name: &'a OperatorName,
}

/// A request for an admin.
#[derive(Debug, Clone)]
pub struct OperatorRequestReport {
    /// The fleet that is asked.
    pub fleet: FleetName,
    /// What `operator approve` takes; nothing in it is secret.
    pub request: String,
}

/// Makes a key here and a request for it; asked again before an answer, the key stays the same.
///
/// # Errors
/// When the key cannot be kept.
pub fn operator_request(
    params: &OperatorRequestParams<'_>,
) -> Result<OperatorRequestReport, IdentityError> {
    let ca = read_ca(params.ca)?;
    let folder = params.home.fleet(ca.id());
    // Cut off between installing and tidying, an accepted key is left here; it must not serve a second identity.
    let accepted = read_key(&folder.operator())?;
    let used = |key: &KeyPair| {
        let accepted = accepted.as_ref();
        accepted.is_some_and(|accepted| accepted.serialized_der() == key.serialized_der())
    };
    let key = match pending(&folder)? {
        Some(key) if !used(&key) => key,
        _ => {
            let key = new_key()?;
            folder.create()?;
            private::write_secret(&folder.pending(), &Zeroizing::new(key.serialize_pem()))?;
            key
        }
    };
    Ok(OperatorRequestReport {
        fleet: ca.fleet().clone(),
        request: make_request(&key, params.name.as_str())?,
    })
}

/// What an approval needs to know.
#[derive(Debug)]
pub struct OperatorApproveParams<'a> {
    /// Where identities live.
    pub home: &'a Home,
    /// `ca.pem`.
    pub ca: &'a Path,
    /// `revoked.crl`.
    pub crl: &'a Path,
    /// The operator's name; the request has no say in it.
    pub name: &'a OperatorName,
    /// What they may do.
    pub role: Role,
    /// The only hosts that they may work on; none means every host.
    pub only: &'a [HostName],
    /// What `operator request` printed.
    pub request: &'a str,
    /// Where the passphrase comes from.
    pub passphrase: &'a Sources,
}

/// A signed operator.
#[derive(Debug, Clone)]
pub struct OperatorApproveReport {
    /// What `operator accept` takes; nothing in it is secret.
    pub certificate: String,
    /// Whom it speaks for.
    pub identity: Identity,
    /// Its serial number.
    pub serial: String,
    /// When it ends.
    pub expires: OffsetDateTime,
    /// The name in the request, when it is another one.
    pub claimed: Option<String>,
}

/// Signs an operator's request.
///
/// # Errors
/// When the request will not do, or the authorities cannot be opened.
pub fn operator_approve(
    params: &OperatorApproveParams<'_>,
) -> Result<OperatorApproveReport, IdentityError> {
    let request = Request::from_pem(params.request)?;
    let OperatorApproveParams { home, ca, crl, .. } = params;
    let signer = Signer::unlock(home, ca, crl, params.passphrase)?;
    let issued = signer.operator(&request, params.name, params.role, params.only)?;
    let claimed = request
        .claimed_name()
        .filter(|name| *name != params.name.as_str());
    Ok(OperatorApproveReport {
        certificate: issued.to_pem(),
        identity: issued.identity,
        serial: issued.serial,
        expires: issued.expires,
        claimed: claimed.map(str::to_owned),
    })
}

/// What installing a certificate needs to know.
#[derive(Debug)]
pub struct OperatorAcceptParams<'a> {
    /// Where identities live.
    pub home: &'a Home,
    /// `ca.pem`.
    pub ca: &'a Path,
    /// What `operator approve` printed.
    pub certificate: &'a str,
}

/// An installed operator.
#[derive(Debug, Clone)]
pub struct OperatorAcceptReport {
    /// Who this machine is now.
    pub identity: Identity,
    /// Until when.
    pub expires: OffsetDateTime,
}

/// Installs a certificate beside the key that was made for it; done twice, it stays done.
///
/// # Errors
/// When it is not for a key that is here, or not signed by this fleet.
pub fn operator_accept(
    params: &OperatorAcceptParams<'_>,
) -> Result<OperatorAcceptReport, IdentityError> {
    let ca = read_ca(params.ca)?;
    let folder = params.home.fleet(ca.id());
    let der = only_certificate(params.certificate)?;
    verify(&der, &ca, &ca.operators())?;
    let leaf = read_leaf(&der)?;
    let fitting = |key: &KeyPair| fits(key, &leaf.public_key);
    let key = pending(&folder)?.filter(fitting);
    let key = key.or(read_key(&folder.operator())?.filter(fitting));
    let key = key.ok_or(IdentityError::NotOurs)?;
    install(&folder, &key, &pki::encode("CERTIFICATE", &der))?;
    if pending(&folder)?.is_some_and(|key| fitting(&key)) {
        private::remove(&folder.pending())?;
    }
    Ok(OperatorAcceptReport {
        identity: leaf.identity,
        expires: leaf.expires,
    })
}

/// This machine's operator: what a connection to an agent needs.
pub struct OperatorIdentity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    leaf: pki::Leaf,
}

impl std::fmt::Debug for OperatorIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OperatorIdentity({})", self.leaf.identity)
    }
}

impl OperatorIdentity {
    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.leaf.identity
    }

    /// Until when.
    #[must_use]
    pub fn expires(&self) -> OffsetDateTime {
        self.leaf.expires
    }

    /// What they may do; `None` when it is no operator's certificate at all.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        self.name_and_role().ok().map(|(_, role)| role)
    }

    /// Who it is, as an approval was given it.
    pub(super) fn name_and_role(&self) -> Result<(&OperatorName, Role), PkiError> {
        match &self.leaf.identity {
            Identity::Operator { name, role, .. } => Ok((name, *role)),
            other => Err(PkiError::BadCertificate(format!("{other} is no operator"))),
        }
    }

    /// What the certificate says.
    #[must_use]
    pub fn leaf(&self) -> &pki::Leaf {
        &self.leaf
    }

    /// The same operator with another certificate for the same key.
    fn with(&self, text: &str, ca: &FleetCa) -> Result<Self, PkiError> {
        let (certificate, leaf) = newest_certificate(text, ca)?;
        if leaf.public_key != self.leaf.public_key || leaf.identity != self.leaf.identity {
            return Err(PkiError::KeyMismatch("this operator"));
        }
        Ok(Self {
            certificate,
            key: self.key.clone_key(),
            leaf,
        })
    }

    /// Reads a key followed by its certificate.
    pub(crate) fn from_pem(text: &str) -> Result<Self, PkiError> {
        let certificate = only_certificate(text)?;
        let leaf = read_leaf(&certificate)?;
        let key =
            KeyPair::from_pem(text).map_err(|error| PkiError::unreadable("the key", error))?;
        if !fits(&key, &leaf.public_key) {
            return Err(PkiError::KeyMismatch("this operator"));
        }
        let key = PrivatePkcs8KeyDer::from(key.serialized_der().to_vec());
        Ok(Self {
            certificate,
            key: key.into(),
            leaf,
        })
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

/// Reads this machine's operator identity for a fleet; one that has expired is still read.
///
/// # Errors
/// When there is none, others can read it, or its parts do not fit.
pub fn load_operator(home: &Home, ca: &FleetCa) -> Result<OperatorIdentity, IdentityError> {
    let path = home.fleet(ca.id()).operator();
    let text = private::read_secret(&path).map_err(|error| {
        if error.is_missing() {
            IdentityError::NoOperator(ca.fleet().clone())
        } else {
            error.into()
        }
    })?;
    OperatorIdentity::from_pem(&text).map_err(|error| IdentityError::Damaged {
        path,
        why: error.to_string(),
    })
}

/// This machine's operator with the newest certificate for its key: while authorities are replaced, an admin has signed
/// one more for each operator, in the folder `operators` beside `ca.pem`.
///
/// # Errors
/// As [`load_operator`].
pub fn current_operator(
    home: &Home,
    ca: &FleetCa,
    beside: &Path,
) -> Result<OperatorIdentity, IdentityError> {
    let own = load_operator(home, ca)?;
    if verify(
        &own.certificate,
        ca,
        slice::from_ref(&ca.signing().operators),
    )
    .is_ok()
    {
        return Ok(own);
    }
    let again = own.name_and_role().ok().and_then(|(name, _)| {
        let path = signed_again(beside, name, &own.leaf.public_key);
        own.with(&private::read(&path).ok()?, ca).ok()
    });
    // Without one that is good, the old one serves for as long as hosts believe its authority.
    Ok(again.unwrap_or(own))
}

/// Where the certificate is that was signed once more for an operator's key.
pub(super) fn signed_again(ca: &Path, name: &OperatorName, public_key: &[u8]) -> PathBuf {
    let key = proto::trust::name(public_key);
    let beside = ca.parent().unwrap_or(Path::new("."));
    beside.join("operators").join(format!("{name}-{key}.pem"))
}

/// Key and certificate in one file: they can only change together.
pub(super) fn install(
    folder: &FleetFolder,
    key: &KeyPair,
    certificate: &str,
) -> Result<(), IdentityError> {
    let mut text = Zeroizing::new(pki::encode(KEY_TAG, key.serialized_der()));
    text.push_str(certificate);
    Ok(private::write_secret(&folder.operator(), &text)?)
}

fn pending(folder: &FleetFolder) -> Result<Option<KeyPair>, IdentityError> {
    read_key(&folder.pending())
}

fn read_key(path: &Path) -> Result<Option<KeyPair>, IdentityError> {
    let text = match private::read_secret(path) {
        Err(error) if error.is_missing() => return Ok(None),
        other => other?,
    };
    let key = KeyPair::from_pem(&text).map_err(|error| IdentityError::Damaged {
        path: path.to_owned(),
        why: error.to_string(),
    });
    key.map(Some)
}

fn fits(key: &KeyPair, public_key: &[u8]) -> bool {
    key.subject_public_key_info() == public_key
}

fn only_certificate(text: &str) -> Result<CertificateDer<'static>, PkiError> {
    let what = "the certificate";
    let mut all = pki::blocks(what, text, "CERTIFICATE")?;
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only.into()),
        (None, _) => Err(PkiError::unreadable(what, "there is no CERTIFICATE block")),
        _ => Err(PkiError::unreadable(what, "there is more than one")),
    }
}

/// A certificate that the authority which signs now has signed for an operator.
pub(super) fn newest_certificate(
    text: &str,
    ca: &FleetCa,
) -> Result<(CertificateDer<'static>, pki::Leaf), PkiError> {
    let certificate = only_certificate(text)?;
    verify(&certificate, ca, slice::from_ref(&ca.signing().operators))?;
    let leaf = read_leaf(&certificate)?;
    Ok((certificate, leaf))
}

fn verify(
    der: &CertificateDer<'_>,
    ca: &FleetCa,
    authorities: &[CertificateDer<'_>],
) -> Result<(), PkiError> {
    let refuse = |error: &dyn ToString| PkiError::BadCertificate(error.to_string());
    let now = u64::try_from(clock::now().unix_timestamp()).unwrap_or_default();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    pki::verify_chain(der, authorities, pki::CLIENT_AUTH, now).map_err(|error| refuse(&error))?;
    match read_leaf(der)?.identity {
        Identity::Operator { fleet, .. } if fleet == *ca.fleet() => Ok(()),
        other => Err(refuse(&format!("{other} is no operator of this fleet"))),
    }
}
