//! A signed list of revoked operators, read back: its number, its dates and the serial numbers in it.

use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::{FleetCa, Pair, PkiError, Revoked, blocks, encode, hex};

const WHAT: &str = "the list of revoked operators";

/// A list whose signatures have been checked: the same for each authority that signs operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    signed: Vec<Signed>,
    /// Counts up with every list; the lowest, should they differ.
    pub number: u64,
    /// When it was signed, less what certificates are back-dated by.
    pub begins: OffsetDateTime,
    /// When there should be a newer one.
    pub due: OffsetDateTime,
    /// What no longer counts.
    pub revoked: Vec<Revoked>,
}

/// As one authority has signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signed {
    generation: u32,
    number: u64,
    begins: OffsetDateTime,
    due: OffsetDateTime,
    revoked: Vec<Revoked>,
    der: Vec<u8>,
}

impl RevocationList {
    /// Reads the text of `revoked.crl` and proves that the operators' authorities signed it. What another authority
    /// has signed is left out: one that is not believed any more, or not yet.
    ///
    /// # Errors
    /// When it is no list, has no number or date, or was signed by somebody else altogether.
    pub fn from_pem(text: &str, ca: &FleetCa) -> Result<Self, PkiError> {
        let lists = blocks(WHAT, text, "X509 CRL")?;
        if lists.is_empty() {
            return Err(PkiError::unreadable(WHAT, "there is no X509 CRL block"));
        }
        let mut signed: Vec<Signed> = Vec::new();
        for der in lists {
            let Some(one) = Signed::read(der, ca)? else {
                continue;
            };
            if signed
                .iter()
                .any(|other| other.generation == one.generation)
            {
                return Err(PkiError::unreadable(WHAT, "there is more than one"));
            }
            signed.push(one);
        }
        let foreign = || {
            let why = "the operators' authority of this fleet has not signed it";
            PkiError::unreadable(WHAT, why)
        };
        let oldest = signed.iter().min_by_key(|one| one.number);
        let oldest = oldest.ok_or_else(foreign)?.clone();
        let mut revoked: Vec<Revoked> = Vec::new();
        for entry in signed.iter().flat_map(|one| &one.revoked) {
            if !revoked.iter().any(|known| known.serial == entry.serial) {
                revoked.push(entry.clone());
            }
        }
        Ok(Self {
            signed,
            number: oldest.number,
            begins: oldest.begins,
            due: oldest.due,
            revoked,
        })
    }

    /// As the authority of that generation has signed it: DER.
    #[must_use]
    pub fn signed_by(&self, generation: u32) -> Option<&[u8]> {
        let found = self.signed.iter().find(|one| one.generation == generation);
        found.map(|one| one.der.as_slice())
    }

    /// As each authority has signed it: DER.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.signed.iter().map(|one| one.der.as_slice())
    }

    /// Whether every authority has signed the same.
    #[must_use]
    pub fn is_whole(&self, ca: &FleetCa) -> bool {
        ca.pairs().all(|pair| {
            let theirs =
                |one: &Signed| one.generation == pair.generation && one.number == self.number;
            self.signed.iter().any(theirs)
        })
    }

    /// The text of `revoked.crl`.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.all().map(|der| encode("X509 CRL", der)).collect()
    }

    /// Since when the certificate of this serial number, in hexadecimal, no longer counts.
    #[must_use]
    pub fn since(&self, serial: &str) -> Option<OffsetDateTime> {
        let found = self.revoked.iter().find(|one| hex(&one.serial) == serial);
        found.map(|one| one.since)
    }
}

impl Signed {
    /// `None` for a list that no authority of `ca` has signed.
    fn read(der: Vec<u8>, ca: &FleetCa) -> Result<Option<Self>, PkiError> {
        let unreadable = |why: &dyn ToString| PkiError::unreadable(WHAT, why.to_string());
        let (rest, list) =
            CertificateRevocationList::from_der(&der).map_err(|error| unreadable(&error))?;
        if !rest.is_empty() {
            return Err(unreadable(&"something follows it"));
        }
        let signer = |pair: &&Pair| {
            let authority = parse_x509_certificate(&pair.operators);
            authority.is_ok_and(|(_, authority)| {
                list.issuer() == authority.subject()
                    && list.verify_signature(authority.public_key()).is_ok()
            })
        };
        let Some(pair) = ca.pairs().find(signer) else {
            return Ok(None);
        };
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
        Ok(Some(Self {
            generation: pair.generation,
            number,
            begins,
            due,
            revoked,
            der,
        }))
    }
}
