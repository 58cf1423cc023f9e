//! The one place where a host's key, as russh has it, meets what is known about it.

use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::{Algorithm, EcdsaCurve, PublicKeyOrCertificate};

use super::config::{Settings, Unknown};
use super::error::{KeyRefusal, SshError};
use super::known_hosts::{self, HostKey, KnownHosts, Verdict};
use super::{Ask, UnknownKey};

/// Whether `blob` is a public key that russh can read.
pub(super) fn is_key(blob: &[u8]) -> bool {
    russh::keys::key::parse_public_key(blob).is_ok()
}

/// What can be verified here, the best first.
const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
];

/// Judges the key of one host.
pub(super) struct Judge {
    /// For messages: `emilia.example.org:22`.
    pub(super) host: String,
    /// As known_hosts has it.
    name: String,
    /// Where OpenSSH looks too when the port is a special one.
    bare: Option<String>,
    known: KnownHosts,
    /// New keys are added here.
    file: Option<PathBuf>,
    hash: bool,
    unknown: Unknown,
    /// `SHA256:…`, which the operator has from elsewhere.
    given: Option<String>,
    ask: Arc<dyn Ask>,
}

impl Judge {
    pub(super) fn new(
        settings: &Settings,
        host: String,
        given: Option<String>,
        ask: Arc<dyn Ask>,
    ) -> Result<Self, SshError> {
        let files: Vec<PathBuf> = [&settings.known_hosts, &settings.global_known_hosts]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let known = KnownHosts::read(&files).map_err(|source| SshError::KnownHosts {
            host: host.clone(),
            source,
        })?;
        let alias = settings.alias.as_ref();
        let name = match alias {
            Some(alias) => alias.to_ascii_lowercase(),
            None => known_hosts::name(&settings.host, settings.port),
        };
        let special = alias.is_none() && settings.port != 22;
        Ok(Self {
            host,
            name,
            bare: special.then(|| known_hosts::name(&settings.host, 22)),
            known,
            file: settings.known_hosts.first().cloned(),
            hash: settings.hash_known_hosts,
            unknown: settings.unknown,
            given,
            ask,
        })
    }

    /// The algorithms to ask the host for: those it is known by come first.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let known = self.known.algorithms(&self.name);
        let mut all = ALGORITHMS.to_vec();
        all.sort_by_key(|algorithm| !known.iter().any(|known| known == algorithm.as_str()));
        all
    }

    /// Whether the key that the host has shown is accepted; asks if nothing else decides. What could not be done
    /// beside it comes back as a note.
    pub(super) async fn judge(
        &self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<Option<String>, SshError> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Err(self.refuse("a certificate".to_owned(), KeyRefusal::Certificate));
        };
        let blob = key.to_bytes();
        let key = HostKey {
            algorithm: key.algorithm().as_str().to_owned(),
            blob: blob.map_err(|error| SshError::Handshake {
                host: self.host.clone(),
                source: error.into(),
            })?,
        };
        let fingerprint = key.fingerprint();
        let refuse = |reason| Err(self.refuse(format!("{key:?}"), reason));
        let authority = match self.verdict(&key) {
            Verdict::Revoked { place } => return refuse(KeyRefusal::Revoked { place }),
            Verdict::Other { known, place } if known.contains(&key.algorithm) => {
                return refuse(KeyRefusal::Changed { place });
            }
            Verdict::Other { known, place } => {
                return refuse(KeyRefusal::OtherAlgorithm { known, place });
            }
            Verdict::Known => None,
            Verdict::Unknown { authority } => Some(authority),
        };
        if let Some(given) = self.given.as_ref().filter(|given| **given != fingerprint) {
            let given = given.clone();
            return refuse(KeyRefusal::NotTheGiven { given });
        }
        let Some(authority) = authority else {
            return Ok(None);
        };
        if !self.accepts(&key, &fingerprint).await {
            return refuse(KeyRefusal::Unknown {
                authority,
                fingerprint,
            });
        }
        Ok(self.remember(&key))
    }

    fn verdict(&self, key: &HostKey) -> Verdict {
        let verdict = self.known.judge(&self.name, key);
        match (&verdict, &self.bare) {
            // As OpenSSH: a key that is right for the name alone is right for its other port.
            (Verdict::Unknown { .. }, Some(bare)) => match self.known.judge(bare, key) {
                sure @ (Verdict::Known | Verdict::Revoked { .. }) => sure,
                _ => verdict,
            },
            _ => verdict,
        }
    }

    async fn accepts(&self, key: &HostKey, fingerprint: &str) -> bool {
        match self.unknown {
            _ if self.given.is_some() => return true,
            Unknown::Take => return true,
            Unknown::Refuse => return false,
            Unknown::Ask => {}
        }
        let unknown = UnknownKey {
            host: self.host.clone(),
            algorithm: key.algorithm.clone(),
            fingerprint: fingerprint.to_owned(),
        };
        let ask = Arc::clone(&self.ask);
        // Whoever is asked takes their time, and must not hold up other hosts.
        tokio::task::spawn_blocking(move || ask.host_key(&unknown))
            .await
            .unwrap_or(false)
    }

    fn remember(&self, key: &HostKey) -> Option<String> {
        let file = self.file.as_ref()?;
        let error = known_hosts::add(file, &self.name, key, self.hash).err()?;
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Some(format!("{error}{}", cause.unwrap_or_default()))
    }

    fn refuse(&self, shown: String, reason: KeyRefusal) -> SshError {
        SshError::HostKey {
            host: self.host.clone(),
            shown,
            reason,
        }
    }
}
