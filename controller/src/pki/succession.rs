//! One pair of authorities takes the other's place: made and believed beside it, then put to work, then alone.

use std::sync::Arc;

use proto::hello::Credentials;
use proto::trust;
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use super::authority::Naming;
use super::bundle::Keys;
use super::{Authorities, FleetCa, Pair, PkiError, RevocationList};

/// How far that has come, as `ca.pem` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// There is one pair.
    Settled,
    /// The old pair signs; the new one is made known.
    Begun,
    /// The new pair signs; the old one is still believed.
    Switched,
}

impl FleetCa {
    /// How far one pair has taken the other's place.
    #[must_use]
    pub fn succession(&self) -> Succession {
        match self.other() {
            None => Succession::Settled,
            Some(other) if other.generation > self.signing().generation => Succession::Begun,
            Some(_) => Succession::Switched,
        }
    }
}

/// What a host holds of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The generations that it believes.
    pub believes: Vec<u32>,
    /// The one that has signed its certificate.
    pub signer: u32,
}

impl FleetCa {
    /// What a host holds; `None` when that is not of this `ca.pem`, or the agent does not say.
    #[must_use]
    pub fn standing(&self, credentials: &Credentials) -> Option<Standing> {
        let signed = |pair: &&Pair| trust::name(&pair.hosts) == credentials.signer;
        let signer = self.pairs().find(signed)?.generation;
        let said = credentials.authorities.as_str();
        let believes = if self.fingerprint().as_str() == said {
            self.generations()
        } else {
            let only = |pair: &&Pair| pair.fingerprint().as_str() == said;
            vec![self.pairs().find(only)?.generation]
        };
        Some(Standing { believes, signer })
    }
}

impl Authorities {
    /// With a new pair beside the one that signs.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn begun(&self, now: OffsetDateTime) -> Result<Self, PkiError> {
        if self.other.is_some() {
            return Ok(self.clone());
        }
        let naming = Naming {
            fleet: &self.fleet,
            generation: self.public().signing().generation + 1,
            id: Some(self.public().id()),
        };
        let successor = Keys::generate(naming, now)?;
        Self::of(Arc::clone(&self.signing), Some(successor))
    }

    /// With the new pair as the one that signs.
    ///
    /// # Errors
    /// When a library refuses our own input.
    pub fn switched(&self) -> Result<Self, PkiError> {
        match (self.public().succession(), &self.other) {
            (Succession::Begun, Some(new)) => {
                Self::of(Arc::clone(new), Some(Arc::clone(&self.signing)))
            }
            _ => Ok(self.clone()),
        }
    }

    /// With the pair that signs, alone.
    ///
    /// # Errors
    /// When a library refuses our own input.
    pub fn alone(&self) -> Result<Self, PkiError> {
        Self::of(Arc::clone(&self.signing), None)
    }

    /// What a host is told so that it believes the pairs of these generations; `list` holds one of each.
    ///
    /// # Errors
    /// When a library refuses our own input, or the list lacks one.
    pub fn to_believe(
        &self,
        generations: &[u32],
        list: &RevocationList,
        now: OffsetDateTime,
    ) -> Result<trust::Authorities, PkiError> {
        let (mut hosts, mut operators) = (Vec::new(), Vec::new());
        for keys in self.pairs() {
            let generation = keys.hosts.generation;
            if !generations.contains(&generation) {
                continue;
            }
            let (for_hosts, for_operators) = self.words_for(keys, now)?;
            hosts.push(authority(&keys.hosts.certificate, for_hosts, Vec::new()));
            let list = list.signed_by(generation).map(<[u8]>::to_vec);
            let list = list.ok_or_else(|| {
                PkiError::unreadable("the list of revoked operators", "an authority's is missing")
            })?;
            operators.push(authority(&keys.operators.certificate, for_operators, list));
        }
        Ok(trust::Authorities { hosts, operators })
    }

    /// What the older pair has to say for these; nothing if they are the older pair.
    fn words_for(&self, keys: &Keys, now: OffsetDateTime) -> Result<(Vec<u8>, Vec<u8>), PkiError> {
        let generation = keys.hosts.generation;
        let older = self
            .pairs()
            .find(|other| other.hosts.generation < generation);
        let Some(older) = older else {
            return Ok((Vec::new(), Vec::new()));
        };
        let id = self.public().id();
        let naming = Naming {
            fleet: &self.fleet,
            generation,
            id: Some(id),
        };
        let hosts = older.hosts.vouch_for(&keys.hosts, naming, now)?;
        let operators = older.operators.vouch_for(&keys.operators, naming, now)?;
        Ok((hosts.to_vec(), operators.to_vec()))
    }
}

fn authority(
    certificate: &CertificateDer<'_>,
    voucher: Vec<u8>,
    list: Vec<u8>,
) -> trust::Authority {
    trust::Authority {
        certificate: certificate.to_vec(),
        voucher,
        list,
    }
}
