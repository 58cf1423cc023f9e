//! A signed list of revoked operators, read back: its number, its dates and the serial numbers in it.

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::{PkiError, Revoked, blocks, encode, hex};

const WHAT: &str = "the list of revoked operators";

/// A list whose signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    /// As signed.
    pub der: Vec<u8>,
    /// Counts up with every list.
    pub number: u64,
    /// When it was signed, less what certificates are back-dated by.
    pub begins: OffsetDateTime,
    /// When there should be a newer one.
    pub due: OffsetDateTime,
    /// What no longer counts.
    pub revoked: Vec<Revoked>,
}

impl RevocationList {
    /// Reads the text of `revoked.crl` and proves that `operators`, the operators' authority, signed it.
    ///
    /// # Errors
    /// When it is no list, has no number or date, or was signed by somebody else.
    pub fn from_pem(text: &str, operators: &CertificateDer<'_>) -> Result<Self, PkiError> {
        let mut lists = blocks(WHAT, text, "X509 CRL")?;
        match (lists.pop(), lists.is_empty()) {
            (Some(only), true) => Self::from_der(only, operators),
            (None, _) => Err(PkiError::unreadable(WHAT, "there is no X509 CRL block")),
            _ => Err(PkiError::unreadable(WHAT, "there is more than one")),
        }
    }

    fn from_der(der: Vec<u8>, operators: &CertificateDer<'_>) -> Result<Self, PkiError> {
        let unreadable = |why: &dyn ToString| PkiError::unreadable(WHAT, why.to_string());
        let (rest, list) =
            CertificateRevocationList::from_der(&der).map_err(|error| unreadable(&error))?;
        if !rest.is_empty() {
            return Err(unreadable(&"something follows it"));
        }
        let (_, authority) =
            parse_x509_certificate(operators).map_err(|error| unreadable(&error))?;
        let named = list.issuer() == authority.subject();
        if !named || list.verify_signature(authority.public_key()).is_err() {
            let why = "the operators' authority of this fleet has not signed it";
            return Err(unreadable(&why));
        }
        let number = list.crl_number().map(ToString::to_string);
        let number = number.and_then(|number| number.parse().ok());
        let due = list.next_update().map(|due| due.to_datetime());
        let (Some(number), Some(due)) = (number, due) else {
            return Err(unreadable(&"it has no number, or no date"));
        };
        let begins = list.last_update().to_datetime();
        let revoked = list.iter_revoked_certificates().map(|one| Revoked {
            serial: one.raw_serial().to_vec(),
            since: one.revocation_date.to_datetime(),
        });
        let revoked = revoked.collect();
        Ok(Self {
            der,
            number,
            begins,
            due,
            revoked,
        })
    }

    /// The text of `revoked.crl`.
    #[must_use]
    pub fn to_pem(&self) -> String {
        encode("X509 CRL", &self.der)
    }

    /// Since when the certificate of this serial number, in hexadecimal, no longer counts.
    #[must_use]
    pub fn since(&self, serial: &str) -> Option<OffsetDateTime> {
        let found = self.revoked.iter().find(|one| hex(&one.serial) == serial);
        found.map(|one| one.since)
    }
}
