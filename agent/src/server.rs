//! The agent's door: who gets in, how many at once, what they may call, and how it closes.
//!
//! Tasks: one accept loop with a set of handshakes, owned by [`serve`]; one task per connection inside tonic, cut
//! through its stream when the operator is revoked or the grace of a stop has passed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::limits::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_BYTES};
use proto::wire::v1::agent_server::{Agent, AgentServer};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::audit::Audit;
use crate::tls::Trust;

mod accept;
mod door;
mod guard;
mod link;
mod quiet;
mod recorded;

use accept::Acceptor;
use guard::Guard;
use link::Links;
use recorded::Recorded;

/// Connections that are through the handshake and wait for tonic; when full, handshakes wait inside their timeout.
const READY: usize = 64;
/// Calls on one connection; without a number the library takes as many as are sent, each with its memory.
const STREAMS: u32 = 256;
/// After the cut nothing waits on the network any more; a connection that is still there is stuck in a handler.
const AFTER_CUT: Duration = Duration::from_secs(1);

/// How much the door takes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open connections, all operators together; the next is refused.
    pub connections: usize,
    /// Unfinished handshakes; the next one ends the oldest of whoever has the most.
    pub handshakes: usize,
    /// Unfinished handshakes from one address (IPv6: one /64); the next one ends its oldest.
    pub handshakes_per_address: usize,
    /// TLS, from the accepted connection to the verified operator.
    pub handshake: Duration,
    /// How long calls may go on after a stop was asked for.
    pub grace: Duration,
    /// How long open streams may outlast the certificate of their operator.
    pub expired: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshakes: 512,
            handshakes_per_address: 128,
            handshake: Duration::from_secs(5),
            grace: Duration::from_secs(10),
            expired: Duration::from_secs(60),
        }
    }
}

/// The server ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the server broke off")]
pub struct ServeError(#[from] tonic::transport::Error);

impl From<ServeError> for Fault {
    fn from(error: ServeError) -> Self {
        Self::new(FaultKind::Internal, error.to_string()).because(&error.0)
    }
}

/// Serves operators until `stop`, with `audit` for what they change; then gives open calls 10 s and cuts what is left.
///
/// # Errors
/// When the HTTP/2 server fails as a whole; a single connection's failure is its own.
pub async fn serve<S: Agent>(
    listener: TcpListener,
    trust: Arc<Trust>,
    service: S,
    audit: Arc<Audit>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    serve_within(listener, trust, service, audit, stop, Limits::default()).await
}

/// As [`serve`], with other limits.
///
/// # Errors
/// As [`serve`].
pub async fn serve_within<S: Agent>(
    listener: TcpListener,
    trust: Arc<Trust>,
    service: S,
    audit: Arc<Audit>,
    stop: CancellationToken,
    limits: Limits,
) -> Result<(), ServeError> {
    let links = Arc::new(Links::default());
    let (ready, connections) = mpsc::channel(READY);
    let grace = limits.grace;
    let acceptor = Acceptor {
        listener,
        trust: Arc::clone(&trust),
        links: Arc::clone(&links),
        limits,
        ready,
    };
    let service = AgentServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let connections = ReceiverStream::new(connections).map(Ok::<_, Infallible>);
    let served = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS)
        .serve_with_incoming_shutdown(
            Recorded::new(Guard::new(service, trust), audit),
            connections,
            stop.clone().cancelled_owned(),
        );
    let served = finish(served, &stop, &links, grace);
    let (served, ()) = tokio::join!(served, acceptor.run(&stop));
    served
}

/// Graceful first, then forced: tonic alone would wait for every open stream, however long.
async fn finish(
    served: impl Future<Output = Result<(), tonic::transport::Error>>,
    stop: &CancellationToken,
    links: &Links,
    grace: Duration,
) -> Result<(), ServeError> {
    let mut served = std::pin::pin!(served);
    let deadline = async {
        stop.cancelled().await;
        sleep(grace).await;
    };
    tokio::select! {
        result = &mut served => {
            // Also when it failed: the accept loop ends with the server.
            stop.cancel();
            return Ok(result?);
        }
        () = deadline => {}
    }
    let cut = links.cut_all();
    tracing::warn!(
        connections = cut,
        "calls outlasted the grace of the stop and are cut"
    );
    match timeout(AFTER_CUT, served).await {
        Ok(result) => Ok(result?),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
