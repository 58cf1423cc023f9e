//! Certificate requests: made beside a new key, and read for nothing but their public key.

use pem::Pem;
use rcgen::{CertificateParams, DnType, KeyPair, SubjectPublicKeyInfo};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::PkiError;

const WHAT: &str = "the request";
/// id-ecPublicKey on P-256: what our own requests hold, and all that is signed.
const ACCEPTED: &str = "1.2.840.10045.2.1 1.2.840.10045.3.1.7";

/// A request whose self-signature has been checked.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) public_key: SubjectPublicKeyInfo,
    name: Option<String>,
}

impl Request {
    /// Reads a request and keeps its public key; whatever else it asks for is dropped here.
    ///
    /// # Errors
    /// When it is no request, its signature is wrong, or its key is not P-256.
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let blocks = pem::parse_many(text).map_err(|error| PkiError::unreadable(WHAT, error))?;
        let der = match blocks.as_slice() {
            [only] if only.tag() == "CERTIFICATE REQUEST" => only,
            [] => return Err(PkiError::unreadable(WHAT, "it has no PEM block")),
            _ => {
                let why = "it must be one CERTIFICATE REQUEST block";
                return Err(PkiError::unreadable(WHAT, why));
            }
        };
        Self::from_der(der)
    }

    fn from_der(der: &Pem) -> Result<Self, PkiError> {
        let refuse = |why: &str| PkiError::BadRequest(why.to_owned());
        let (rest, request) = X509CertificationRequest::from_der(der.contents())
            .map_err(|error| PkiError::unreadable(WHAT, error))?;
        if !rest.is_empty() {
            return Err(PkiError::unreadable(WHAT, "something follows it"));
        }
        let info = &request.certification_request_info;
        if key_type(&info.subject_pki).as_deref() != Some(ACCEPTED) {
            return Err(refuse("its key is not of the type P-256"));
        }
        request
            .verify_signature()
            .map_err(|_| refuse("its signature does not match its key"))?;
        let public_key = SubjectPublicKeyInfo::from_der(info.subject_pki.raw)
            .map_err(|error| PkiError::BadRequest(error.to_string()))?;
        let name = info.subject.iter_common_name().next();
        let name = name.and_then(|name| name.as_str().ok()).map(str::to_owned);
        Ok(Self { public_key, name })
    }

    /// Stands for the request that a key was signed by before: DER, as certificates hold keys.
    ///
    /// # Errors
    /// When it is no key of the accepted type.
    pub fn for_key(public_key: &[u8]) -> Result<Self, PkiError> {
        let parsed = x509_parser::x509::SubjectPublicKeyInfo::from_der(public_key);
        let known = parsed.is_ok_and(|(_, key)| key_type(&key).as_deref() == Some(ACCEPTED));
        if !known {
            return Err(PkiError::BadRequest(
                "its key is not of the type P-256".to_owned(),
            ));
        }
        let public_key = SubjectPublicKeyInfo::from_der(public_key)
            .map_err(|error| PkiError::BadRequest(error.to_string()))?;
        Ok(Self {
            public_key,
            name: None,
        })
    }

    /// Whom the request says it is for: good for a message, never for a certificate.
    #[must_use]
    pub fn claimed_name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

fn key_type(key: &x509_parser::x509::SubjectPublicKeyInfo<'_>) -> Option<String> {
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    Some(format!("{} {curve}", key.algorithm.algorithm))
}

/// A request for `key`, naming whom it is for.
///
/// # Errors
/// When the name cannot be written into a request.
pub fn make_request(key: &KeyPair, name: &str) -> Result<String, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .serialize_request(key)
        .and_then(|request| request.pem())
        .map_err(|error| PkiError::make("a request", error))
}
