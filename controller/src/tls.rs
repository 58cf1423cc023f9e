//! A connection to exactly the agent that was meant: TCP, TLS 1.3 and both identities, within one deadline.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use proto::id::HostName;
use proto::identity::Identity;
use proto::limits::{CONNECT_TIMEOUT, DEFAULT_PORT};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, crypto};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::identity::OperatorIdentity;
use crate::pki::FleetCa;
use crate::{clock, tcp};

mod error;
mod stream;
mod verify;

pub use error::{ConnectError, HostCertificateProblem, OperatorRefusal};
pub use stream::{HostStream, Refusal};

use verify::HostVerifier;

const ALPN: &[u8] = b"h2";

/// Whom to speak to, and as whom.
#[derive(Clone)]
pub struct HostClient {
    host: HostName,
    config: Arc<ClientConfig>,
    /// Of the newest connection.
    refusal: Arc<Mutex<Option<Refusal>>>,
}

impl std::fmt::Debug for HostClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostClient({})", self.host)
    }
}

impl HostClient {
    /// A client for one host of a fleet.
    ///
    /// # Errors
    /// When the operator's certificate has expired, or its key cannot be used.
    pub fn new(
        ca: &FleetCa,
        operator: &OperatorIdentity,
        host: &HostName,
    ) -> Result<Self, ConnectError> {
        // A host that refuses it could not say since when.
        if let Identity::Operator { name, .. } = operator.identity()
            && operator.expires() <= clock::now()
        {
            return Err(ConnectError::OperatorExpired {
                operator: name.clone(),
                day: operator.expires().date(),
            });
        }
        Self::with_clock(ca, operator, host, Arc::new(DefaultTimeProvider))
    }

    fn with_clock(
        ca: &FleetCa,
        operator: &OperatorIdentity,
        host: &HostName,
        clock: Arc<dyn TimeProvider>,
    ) -> Result<Self, ConnectError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier = HostVerifier::new(ca, host, algorithms);
        let chain = vec![operator.certificate().clone()];
        let mut config = ClientConfig::builder_with_details(provider, clock)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(ConnectError::Setup)?
            .dangerous() // rustls's word for any verifier of one's own; ours checks more, not less
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(chain, operator.key())
            .map_err(ConnectError::Setup)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Agents are known by their certificate's URI; a name in clear would only tell listeners about the fleet.
        config.enable_sni = false;
        // A resumed session would skip the checks above.
        config.resumption = Resumption::disabled();
        Ok(Self {
            host: host.clone(),
            config: Arc::new(config),
            refusal: Arc::default(),
        })
    }

    /// Why the host refused this operator on the newest connection, should it have done so.
    #[must_use]
    pub fn refusal(&self) -> Option<ConnectError> {
        let newest = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        newest.as_ref().and_then(Refusal::get)
    }

    /// The host it speaks to.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }
}

/// Connects to an agent at `address` (`name:port`, the port may be left out), 5 s at most.
///
/// # Errors
/// What stood in the way, told apart: no such name, nothing listening, no answer, not the host it claims to be.
pub async fn connect(
    address: &str,
    client: &HostClient,
) -> Result<HostStream<TcpStream>, ConnectError> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let address = with_port(address);
    let tcp = timeout_at(deadline, tcp::connect(&address)).await;
    let tcp = tcp.map_err(|_| ConnectError::NoAnswer {
        address: address.clone(),
        after: CONNECT_TIMEOUT,
    })?;
    let tcp = tcp.map_err(|error| ConnectError::from_tcp(&address, error))?;
    within(deadline, &address, handshake(tcp, &address, client)).await
}

/// The TLS part alone, over a stream that is there already, such as a tunnel; 5 s at most.
///
/// # Errors
/// As [`connect`]; `address` is for messages only.
pub async fn connect_over<S>(
    stream: S,
    address: &str,
    client: &HostClient,
) -> Result<HostStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    within(deadline, address, handshake(stream, address, client)).await
}

async fn within<T>(
    deadline: Instant,
    address: &str,
    step: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout_at(deadline, step).await.unwrap_or_else(|_| {
        Err(ConnectError::NoHandshake {
            address: address.to_owned(),
            after: CONNECT_TIMEOUT,
        })
    })
}

async fn handshake<S>(
    stream: S,
    address: &str,
    client: &HostClient,
) -> Result<HostStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from("agent.longshore.invalid");
    let name =
        name.map_err(|error| ConnectError::Setup(rustls::Error::General(error.to_string())))?;
    let connector = TlsConnector::from(Arc::clone(&client.config));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| ConnectError::from_tls(address, &client.host, error))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(ConnectError::NotLongshore {
            address: address.to_owned(),
            why: "it does not speak HTTP/2".into(),
        });
    }
    let stream = HostStream::new(stream, address, &client.host);
    let mut newest = client
        .refusal
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *newest = Some(stream.refusal());
    Ok(stream)
}

fn with_port(address: &str) -> String {
    let bare_v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
    let has_port = !bare_v6
        && address
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match (has_port, bare_v6) {
        (true, _) => address.to_owned(),
        (false, true) => format!("[{address}]:{DEFAULT_PORT}"),
        (false, false) => format!("{address}:{DEFAULT_PORT}"),
    }
}

#[cfg(test)]
mod tests;
