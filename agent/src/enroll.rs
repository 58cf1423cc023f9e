//! How a host gets its identity: `enroll` makes a key that never leaves, `accept` installs what came back.

use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::id::HostName;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::UnixTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use crate::grant::{Grant, GrantError, encode};
use crate::private::{self, FileError};

const KEY_TAG: &str = "PRIVATE KEY";
const REQUEST_TAG: &str = "CERTIFICATE REQUEST";

/// The host's key, certificate and trust in one file, so that they change in one rename.
#[must_use]
pub fn identity_file(folder: &Path) -> PathBuf {
    folder.join("identity.pem")
}

/// A key and its request, until the answer is accepted.
fn pending_file(folder: &Path) -> PathBuf {
    folder.join("pending.pem")
}

/// Enrolment could not go on.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The grant is for a key that is not here.
    #[error("the grant belongs to a key that is not on this host")]
    NotOurs,
    /// The grant is for another name than was asked for.
    #[error("the grant is for {granted}, but this host asked to be {asked}")]
    OtherName {
        /// As asked for.
        asked: String,
        /// As granted.
        granted: HostName,
    },
    /// Accepting it would make revoked operators count again.
    #[error(
        "the grant's revocation list (number {offered}) is older than the installed one ({installed})"
    )]
    OldList {
        /// In the grant.
        offered: u128,
        /// In place.
        installed: u128,
    },
    /// A file of ours that is not what we wrote.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system gave no randomness, or a library refused our own input.
    #[error("cannot make {what}: {why}")]
    Make {
        /// `a key`, `a request`.
        what: &'static str,
        /// The reason.
        why: String,
    },
    /// See the inner error.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// See the inner error.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<EnrollError> for Fault {
    fn from(error: EnrollError) -> Self {
        let what = error.to_string();
        let fault = |kind| Self::new(kind, what.clone());
        match error {
            EnrollError::NotOurs => fault(FaultKind::Refused)
                .hint("a grant answers one request: agent enroll prints it, for this host only"),
            EnrollError::OtherName { granted, .. } => fault(FaultKind::Refused).hint(format!(
                "if that is right: agent enroll --name {granted}, then accept the grant again"
            )),
            EnrollError::OldList { .. } => fault(FaultKind::Refused)
                .hint("approve the request again with the fleet's newest revoked.crl"),
            EnrollError::Damaged { path, .. } => {
                fault(FaultKind::Denied).hint(format!("remove {} and enrol again", path.display()))
            }
            EnrollError::Make { .. } => fault(FaultKind::Internal),
            EnrollError::Grant(error) => error.into(),
            EnrollError::File(error) => error.into(),
        }
    }
}

/// A key that waits for its certificate.
struct Pending {
    key: KeyPair,
    request: String,
    name: String,
}

/// Makes a key, unless one is waiting already, and returns the request for it: PEM text for an admin.
///
/// # Errors
/// When the key cannot be kept.
pub fn enroll(folder: &Path, name: &HostName) -> Result<String, EnrollError> {
    private::create_folder(folder)?;
    let _lock = private::lock(folder)?;
    let waiting = pending(folder)?;
    // Cut off between installing and tidying, an accepted key is left here; a new identity needs a new key.
    let accepted = installed(folder)?.map(|(key, _)| key);
    let used = |key: &KeyPair| {
        let accepted = accepted.as_ref();
        accepted.is_some_and(|accepted| accepted.serialized_der() == key.serialized_der())
    };
    let key = match waiting {
        Some(waiting) if !used(&waiting.key) && waiting.name == name.as_str() => {
            return Ok(waiting.request);
        }
        Some(waiting) if !used(&waiting.key) => waiting.key,
        _ => KeyPair::generate().map_err(|error| make("a key", error))?,
    };
    let request = request(&key, name)?;
    let mut text = Zeroizing::new(encode(KEY_TAG, key.serialized_der()));
    text.push_str(&request);
    private::write_secret(&pending_file(folder), &text)?;
    Ok(request)
}

/// What `accept` has installed.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// This host, from now on.
    pub host: HostName,
    /// Unix seconds at which its certificate ends.
    pub expires: u64,
}

/// Checks a grant against the waiting key and installs both; the same grant again changes nothing.
///
/// # Errors
/// When the grant is for another key or name, does not hold together, or would undo a revocation.
pub fn accept(folder: &Path, grant: &str, now: UnixTime) -> Result<Accepted, EnrollError> {
    let grant = Grant::from_pem(grant, now)?;
    let _lock = private::lock(folder)?;
    let waiting = pending(folder)?.filter(|waiting| grant.is_for(&waiting.key));
    let installed = installed(folder)?;
    if let Some(waiting) = &waiting
        && waiting.name != grant.host.as_str()
    {
        return Err(EnrollError::OtherName {
            asked: waiting.name.clone(),
            granted: grant.host,
        });
    }
    if let Some((_, old)) = &installed
        && let Some((offered, installed)) = old.older_list(&grant)
    {
        return Err(EnrollError::OldList { offered, installed });
    }
    let tidy = waiting.is_some();
    let kept = installed
        .map(|(key, _)| key)
        .filter(|key| grant.is_for(key));
    let key = waiting.map(|waiting| waiting.key).or(kept);
    let key = key.ok_or(EnrollError::NotOurs)?;
    install(folder, &key, &grant)?;
    if tidy {
        private::remove(&pending_file(folder))?;
    }
    Ok(Accepted {
        host: grant.host,
        expires: grant.expires,
    })
}

/// Changes whom this host believes, all at once; what is written has been checked by whoever calls.
///
/// # Errors
/// When nothing is installed, or the file cannot be written.
pub(crate) fn change(folder: &Path, change: impl FnOnce(&mut Grant)) -> Result<(), EnrollError> {
    let _lock = private::lock(folder)?;
    let (key, mut grant) = installed(folder)?.ok_or(EnrollError::NotOurs)?;
    change(&mut grant);
    Ok(install(folder, &key, &grant)?)
}

fn install(folder: &Path, key: &KeyPair, grant: &Grant) -> Result<(), FileError> {
    let mut text = Zeroizing::new(encode(KEY_TAG, key.serialized_der()));
    text.push_str(&grant.to_pem());
    private::write_secret(&identity_file(folder), &text)
}

/// The installed key and grant; `None` before the first `accept`.
pub(crate) fn installed(folder: &Path) -> Result<Option<(KeyPair, Grant)>, EnrollError> {
    let path = identity_file(folder);
    let Some(text) = read(&path)? else {
        return Ok(None);
    };
    let damaged = |why: String| EnrollError::Damaged {
        path: path.clone(),
        why,
    };
    let key = KeyPair::from_pem(&text).map_err(|error| damaged(error.to_string()))?;
    let grant = Grant::read(&text).map_err(|error| damaged(error.to_string()))?;
    if !grant.is_for(&key) {
        return Err(damaged("its key does not belong to its certificate".into()));
    }
    Ok(Some((key, grant)))
}

fn pending(folder: &Path) -> Result<Option<Pending>, EnrollError> {
    let path = pending_file(folder);
    let Some(text) = read(&path)? else {
        return Ok(None);
    };
    let parts = || -> Option<Pending> {
        let blocks = pem::parse_many(text.as_str()).ok()?;
        let request = blocks.iter().find(|block| block.tag() == REQUEST_TAG)?;
        let (_, parsed) = X509CertificationRequest::from_der(request.contents()).ok()?;
        let subject = &parsed.certification_request_info.subject;
        Some(Pending {
            key: KeyPair::from_pem(&text).ok()?,
            request: encode(REQUEST_TAG, request.contents()),
            name: subject.iter_common_name().next()?.as_str().ok()?.to_owned(),
        })
    };
    let why = "it does not hold a key and a request".to_owned();
    let parts = parts().ok_or(EnrollError::Damaged { path, why });
    parts.map(Some)
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, FileError> {
    match private::read_secret(path) {
        Err(error) if error.is_missing() => Ok(None),
        other => other.map(Some),
    }
}

/// The name is for the admin's eyes; the certificate gets the one that the admin types.
fn request(key: &KeyPair, name: &HostName) -> Result<String, EnrollError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, name.as_str());
    let request = params.serialize_request(key);
    let request = request.map_err(|error| make("a request", error))?;
    Ok(encode(REQUEST_TAG, request.der()))
}

fn make(what: &'static str, why: impl ToString) -> EnrollError {
    let why = why.to_string();
    EnrollError::Make { what, why }
}

#[cfg(test)]
mod tests;
