//! `agent run`: identity, listener, signals, and the service between them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use proto::fault::{Fault, FaultKind};
use proto::wire::v1::agent_server::Agent;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::config::Config;
use crate::server::{ServeError, serve};
use crate::tls::{Trust, TrustError};

#[cfg(any(test, feature = "test-util"))]
mod unwired;

#[cfg(any(test, feature = "test-util"))]
pub use unwired::Unwired;

/// The agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// See the inner error.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Without signals the agent could not be stopped in order.
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    /// See the inner error.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl From<DaemonError> for Fault {
    fn from(error: DaemonError) -> Self {
        let what = error.to_string();
        match error {
            DaemonError::Trust(error) => error.into(),
            DaemonError::Listen { source, .. } => {
                let fault = Self::new(FaultKind::Failed, what).cause(source.to_string());
                if source.kind() == io::ErrorKind::AddrInUse {
                    return fault
                        .hint("is another agent running? systemctl status longshore-agent");
                }
                fault
            }
            DaemonError::Signals(source) => {
                Self::new(FaultKind::Failed, what).cause(source.to_string())
            }
            DaemonError::Serve(error) => error.into(),
        }
    }
}

/// What a service is made from.
pub struct Context<'a> {
    /// `agent.toml`.
    pub config: &'a Config,
    /// Who this host is.
    pub trust: Arc<Trust>,
    /// Cancelled when the agent is told to stop; long answers must end on it.
    pub stop: CancellationToken,
}

/// Runs until SIGTERM or SIGINT, which cancel `stop`; SIGHUP reads the identity and the revocation list again.
///
/// `service` is called once, after the identity is known and the port is ours. `audit` is the record of what is
/// changed through it.
///
/// # Errors
/// When there is no identity, the port is taken, or the server breaks off.
pub async fn run<S: Agent>(
    folder: &Path,
    config: &Config,
    audit: Arc<Audit>,
    stop: CancellationToken,
    service: impl FnOnce(Context<'_>) -> S,
) -> Result<(), DaemonError> {
    let trust = Arc::new(Trust::load(folder)?);
    let signals = Signals::new().map_err(DaemonError::Signals)?;
    let address = config.listen;
    let listen = |source| DaemonError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let identity = trust.current();
    let service = service(Context {
        config,
        trust: Arc::clone(&trust),
        stop: stop.clone(),
    });
    tracing::info!(
        host = %identity.host(),
        fleet = %identity.fleet(),
        address = %listener.local_addr().map_err(listen)?,
        "listening"
    );
    let served = serve(listener, Arc::clone(&trust), service, audit, stop.clone());
    tokio::select! {
        served = served => Ok(served?),
        never = signals.obey(&trust, &stop) => match never {},
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Never ends: the server decides when the stop is complete.
    async fn obey(mut self, trust: &Trust, stop: &CancellationToken) -> std::convert::Infallible {
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => stop_once(stop, "SIGTERM"),
                Some(()) = self.interrupt.recv() => stop_once(stop, "SIGINT"),
                Some(()) = self.hangup.recv() => match trust.reload() {
                    Ok(()) => tracing::info!("identity and revocation list read again"),
                    Err(error) => tracing::error!(%error, "the identity in use stays in use"),
                },
            }
        }
    }
}

fn stop_once(stop: &CancellationToken, signal: &str) {
    tracing::info!(signal, "stopping");
    stop.cancel();
}
