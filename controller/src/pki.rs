//! The fleet's two authorities, and everything that they sign.
//!
//! P-256 throughout: ring, webpki and OpenSSL all make and accept it, and OpenSSL reads its PKCS#8 files, which it
//! does not for ring's Ed25519 ones.

use proto::fault::{Fault, FaultKind};

mod authority;
mod bundle;
mod check;
mod issue;
mod list;
mod public;
mod request;
mod succession;

pub use authority::AuthorityKind;
pub use bundle::Authorities;
pub(crate) use check::{CLIENT_AUTH, SERVER_AUTH, only_uri, verify_chain};
pub use check::{Leaf, read_leaf};
pub use issue::{Issued, Revoked};
pub use list::RevocationList;
pub use public::{Fingerprint, FleetCa, Pair};
pub use request::{Request, make_request};
pub use succession::{Standing, Succession};

/// An authority, a request or a certificate could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The text is not what it should be.
    #[error("{what} cannot be read: {why}")]
    Unreadable {
        /// `ca.pem`, `the request`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The keys do not decrypt.
    #[error("the passphrase does not open the authorities' keys")]
    WrongPassphrase,
    /// A key and a certificate that do not belong together.
    #[error("the key of {0} does not belong to its certificate")]
    KeyMismatch(&'static str),
    /// The bundle and `ca.pem` name different authorities.
    #[error("the authorities kept here are not those of this fleet's ca.pem")]
    OtherFleet,
    /// The same fleet's, before or after one pair took the other's place.
    #[error("ca.pem and the authorities kept here are not at the same step of replacing them")]
    OtherStep,
    /// A request that must not be signed.
    #[error("the request is refused: {0}")]
    BadRequest(String),
    /// A certificate that is not what was asked for.
    #[error("the certificate is refused: {0}")]
    BadCertificate(String),
    /// An authority's ten years are over.
    #[error("{0} has expired")]
    AuthorityExpired(&'static str),
    /// The system gave no randomness, or a library refused our own input.
    #[error("cannot make {what}: {why}")]
    Make {
        /// `a key`, `a certificate`.
        what: &'static str,
        /// The reason.
        why: String,
    },
}

impl PkiError {
    pub(crate) fn unreadable(what: &'static str, why: impl ToString) -> Self {
        let why = why.to_string();
        Self::Unreadable { what, why }
    }

    pub(crate) fn make(what: &'static str, why: impl ToString) -> Self {
        let why = why.to_string();
        Self::Make { what, why }
    }
}

impl From<PkiError> for Fault {
    fn from(error: PkiError) -> Self {
        let fault = |kind| Self::new(kind, error.to_string());
        match error {
            PkiError::WrongPassphrase => fault(FaultKind::Denied)
                .hint("the passphrase was chosen when `controller init` made the fleet"),
            PkiError::KeyMismatch(_) => fault(FaultKind::Denied)
                .hint("the authorities' file has been changed; restore it from a copy"),
            PkiError::OtherFleet => fault(FaultKind::Denied).hint(
                "is this the fleet you meant? its ca.pem must come from the same `controller init`",
            ),
            PkiError::OtherStep => fault(FaultKind::Refused)
                .hint("is ca.pem the newest from git, and authorities.pem the newest copy?")
                .hint("controller ca rotate completes a step that was interrupted here"),
            PkiError::AuthorityExpired(_) => fault(FaultKind::Denied),
            PkiError::BadRequest(_) => fault(FaultKind::Refused)
                .hint("make a new one with `agent enroll` or `controller operator request`"),
            PkiError::BadCertificate(_) => fault(FaultKind::Refused),
            PkiError::Unreadable { .. } => fault(FaultKind::InvalidRequest),
            PkiError::Make { .. } => fault(FaultKind::Internal),
        }
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], PkiError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| PkiError::make("random bytes", error))?;
    Ok(bytes)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits; what is none is passed over.
pub(crate) fn unhex(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.filter_map(byte).collect()
}

/// The blocks of one kind in a text, in order.
pub(crate) fn blocks(what: &'static str, text: &str, tag: &str) -> Result<Vec<Vec<u8>>, PkiError> {
    let all = pem::parse_many(text).map_err(|error| PkiError::unreadable(what, error))?;
    let wanted = all.into_iter().filter(|block| block.tag() == tag);
    Ok(wanted.map(pem::Pem::into_contents).collect())
}

/// One PEM block.
pub(crate) fn encode(tag: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(tag, der), config)
}

#[cfg(test)]
mod tests;
