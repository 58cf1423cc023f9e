//! Whom this agent trusts and who it is, as a TLS configuration that can be replaced while it runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use proto::fault::{Fault, FaultKind};
use proto::hello::Credentials;
use proto::id::{FleetName, HostName};
use rcgen::KeyPair;
use rustls::pki_types::{PrivatePkcs8KeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ServerConfig, crypto};
use tokio::sync::watch;

use crate::enroll::{self, EnrollError};
use crate::grant::Grant;
use crate::peer::Peer;

mod authorities;
mod change;
mod verify;

use verify::OperatorVerifier;

pub(crate) const ALPN: &[u8] = b"h2";

/// There is no identity to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// This host has not been enrolled.
    #[error("this host has no identity in {}", .0.display())]
    NotEnrolled(PathBuf),
    /// See the inner error.
    #[error(transparent)]
    Identity(#[from] EnrollError),
    /// A part that cannot be used for TLS.
    #[error("the host's identity cannot be used: {0}")]
    Unusable(String),
    /// Somebody put an older list of revoked operators back.
    #[error("the revocation list (number {offered}) is older than the one in use ({current})")]
    OldList {
        /// On disk.
        offered: u128,
        /// In use.
        current: u128,
    },
}

impl From<TrustError> for Fault {
    fn from(error: TrustError) -> Self {
        let fault = |kind| Self::new(kind, error.to_string());
        match error {
            TrustError::NotEnrolled(_) => fault(FaultKind::Denied).hint(
                "agent enroll --name NAME, then `controller host approve NAME`, then agent accept",
            ),
            TrustError::Identity(error) => error.into(),
            TrustError::Unusable(_) | TrustError::OldList { .. } => fault(FaultKind::Denied),
        }
    }
}

/// The identity in use; read again on demand, without a restart.
pub struct Trust {
    folder: PathBuf,
    clock: Arc<dyn TimeProvider>,
    /// Held while the identity is read or written, so that none is replaced by an older one.
    changing: Mutex<()>,
    current: watch::Sender<Arc<Current>>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// One identity: what a handshake and a call are checked against.
pub struct Current {
    grant: Grant,
    verifier: Arc<OperatorVerifier>,
    pub(crate) config: Arc<ServerConfig>,
}

impl Trust {
    /// Reads the identity that `agent accept` has installed in `folder`.
    ///
    /// # Errors
    /// When there is none, it is damaged, or others can read it.
    pub fn load(folder: &Path) -> Result<Self, TrustError> {
        Self::with_clock(folder, Arc::new(DefaultTimeProvider))
    }

    /// As [`load`](Self::load), with another idea of the date: for tests.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn with_clock(folder: &Path, clock: Arc<dyn TimeProvider>) -> Result<Self, TrustError> {
        let current = read(folder, &clock)?;
        Ok(Self {
            folder: folder.to_owned(),
            clock,
            changing: Mutex::default(),
            current: watch::Sender::new(Arc::new(current)),
        })
    }

    /// Reads the identity again; on any error the one in use stays in use.
    ///
    /// # Errors
    /// When the new one cannot be used, or has an older revocation list.
    pub fn reload(&self) -> Result<(), TrustError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.reload_locked()
    }

    fn reload_locked(&self) -> Result<(), TrustError> {
        let new = read(&self.folder, &self.clock)?;
        let old = self.current();
        if let Some((offered, current)) = old.grant.older_list(&new.grant) {
            return Err(TrustError::OldList { offered, current });
        }
        self.current.send_replace(Arc::new(new));
        Ok(())
    }

    /// What is in use now.
    #[must_use]
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells when another identity is in use.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Current>> {
        self.current.subscribe()
    }

    /// Whether an operator who was let in still counts.
    pub(crate) fn still_counts(&self, peer: &Peer) -> Result<(), &'static str> {
        self.current().still_counts(peer, self.now())
    }
}

impl Current {
    /// This host's name.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.grant.host
    }

    /// This host's fleet.
    #[must_use]
    pub fn fleet(&self) -> &FleetName {
        &self.grant.fleet
    }

    /// Unix seconds at which this host's certificate ends.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.grant.expires
    }

    /// How long it is good, which revocation lists are in use, and whom it believes.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials {
            begins: self.grant.begins,
            expires: self.grant.expires,
            list: u64::try_from(self.grant.list_number()).unwrap_or(u64::MAX),
            list_due: self.grant.list_due(),
            authorities: self.grant.authorities(),
            signer: proto::trust::name(self.grant.signer()),
        }
    }

    /// The name of the authority that signs operators, as their certificates hold it.
    #[cfg(test)]
    pub(crate) fn issuer(&self) -> Vec<u8> {
        let anchor = webpki::anchor_from_trusted_cert(&self.grant.operators[0].authority);
        anchor
            .map(|anchor| anchor.subject.to_vec())
            .unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn verifier(&self) -> Arc<dyn rustls::server::danger::ClientCertVerifier> {
        Arc::clone(&self.verifier) as _
    }

    pub(crate) fn still_counts(&self, peer: &Peer, now: UnixTime) -> Result<(), &'static str> {
        if peer.fleet != self.grant.fleet {
            return Err("the operator is of another fleet");
        }
        if peer.is_expired(now) {
            return Err("the operator's certificate has expired");
        }
        self.verifier.check_lists(&peer.issuer, &peer.serial, now)
    }
}

fn read(folder: &Path, clock: &Arc<dyn TimeProvider>) -> Result<Current, TrustError> {
    let installed = enroll::installed(folder)?;
    let (key, grant) = installed.ok_or_else(|| TrustError::NotEnrolled(folder.to_owned()))?;
    let provider = Arc::new(crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = OperatorVerifier::new(&grant, algorithms);
    let verifier = Arc::new(verifier.map_err(|error| unusable(&error))?);
    let config = config(provider, clock, &verifier, &grant, &key)?;
    Ok(Current {
        grant,
        verifier,
        config: Arc::new(config),
    })
}

fn config(
    provider: Arc<crypto::CryptoProvider>,
    clock: &Arc<dyn TimeProvider>,
    verifier: &Arc<OperatorVerifier>,
    grant: &Grant,
    key: &KeyPair,
) -> Result<ServerConfig, TrustError> {
    let key = PrivatePkcs8KeyDer::from(key.serialized_der().to_vec());
    let mut config = ServerConfig::builder_with_details(provider, Arc::clone(clock))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| unusable(&error))?
        .with_client_cert_verifier(Arc::clone(verifier) as _)
        .with_single_cert(vec![grant.certificate.clone()], key.into())
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session brings its old certificate along without asking the verifier: a revoked operator would stay.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}

fn unusable(error: &dyn ToString) -> TrustError {
    TrustError::Unusable(error.to_string())
}
