//! The accept loop: handshakes side by side, bounded in number and time, and a verified peer at the end of each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::CertificateError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Limits;
use super::door::Door;
use super::link::{Link, Links};
use super::quiet::Quiet;
use crate::peer::{Peer, PeerError};
use crate::tls::{ALPN, Current, Trust};

/// Accepting fails for lack of file descriptors or memory; trying again at once would only burn the processor.
const BACK_OFF: Duration = Duration::from_millis(100);
/// How long a refused client may take to read why.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// A connection that did not become one.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no handshake within {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("{0}")]
    Tls(io::Error),
    #[error("the operator is limited to other hosts")]
    Elsewhere,
    #[error("the client does not speak HTTP/2")]
    NoHttp2,
    #[error("the client sent no certificate")]
    NoCertificate,
    #[error("{0}")]
    Peer(#[from] PeerError),
}

impl Refused {
    /// The library has one word for all that an application has against a certificate; we have one such reason.
    fn from_tls(error: io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )) => Self::Elsewhere,
            _ => Self::Tls(error),
        }
    }
}

pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) trust: Arc<Trust>,
    pub(super) links: Arc<Links>,
    pub(super) limits: Limits,
    pub(super) ready: mpsc::Sender<Link>,
}

impl Acceptor {
    /// Accepts until `stop`; handshakes that are not through by then are dropped.
    pub(super) async fn run(self, stop: &CancellationToken) {
        let mut handshakes = JoinSet::new();
        let mut door = Door::new(self.limits.handshakes, self.limits.handshakes_per_address);
        let mut quiet = Quiet::new();
        let mut changes = self.trust.changes();
        // Nothing tells when a certificate ends; with nobody connected nothing needs to.
        let mut expired = interval(self.limits.expired);
        expired.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(ended) = handshakes.join_next() => {
                    if let Ok(Err((address, refused))) = ended {
                        note(&mut quiet, address, &refused);
                    }
                }
                Ok(()) = changes.changed() => self.cut_those_gone(),
                _ = expired.tick(), if self.links.count() > 0 => self.cut_those_gone(),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, address)) => {
                        if self.links.count() >= self.limits.connections {
                            note(&mut quiet, address, &"too many connections are open");
                            continue;
                        }
                        door.make_room(address.ip());
                        door.began(address.ip(), handshakes.spawn(self.admit(stream, address)));
                    }
                    Err(error) if is_the_peers(&error) => {}
                    Err(error) => {
                        // Out of descriptors, most likely: those that hang give theirs back to those that wait.
                        let ended = door.end_oldest_half();
                        tracing::warn!(%error, ended, "cannot accept connections");
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = sleep(BACK_OFF) => {}
                        }
                    }
                },
            }
        }
    }

    /// A revocation ends streams that are open already, not only the next handshake.
    fn cut_those_gone(&self) {
        let cut = self
            .links
            .cut(|peer| self.trust.still_counts(peer).is_err());
        if cut > 0 {
            tracing::info!(
                connections = cut,
                "operators who no longer count were cut off"
            );
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> impl Future<Output = Result<(), (SocketAddr, Refused)>> + Send + 'static {
        let (trust, links) = (Arc::clone(&self.trust), Arc::clone(&self.links));
        let (limit, ready) = (self.limits.handshake, self.ready.clone());
        async move {
            let current = trust.current();
            let link = handshake(stream, &current, address, limit, links).await;
            let link = link.map_err(|refused| (address, refused))?;
            // Revoked between the handshake and its place in the list of links, nobody else would notice.
            let peer = tonic::transport::server::Connected::connect_info(&link);
            if trust.still_counts(&peer).is_ok() {
                // The receiver is gone only when the server is.
                ready.send_timeout(link, limit).await.ok();
            }
            Ok(())
        }
    }
}

async fn handshake(
    stream: TcpStream,
    current: &Current,
    address: SocketAddr,
    limit: Duration,
    links: Arc<Links>,
) -> Result<Link, Refused> {
    // Answers are small; waiting to fill a packet would cost each of them a round trip.
    stream.set_nodelay(true).map_err(Refused::Tls)?;
    let acceptor = TlsAcceptor::from(Arc::clone(&current.config));
    let shaken = timeout(limit, acceptor.accept(stream).into_fallible()).await;
    let stream = match shaken.map_err(|_| Refused::TooSlow(limit))? {
        Ok(stream) => stream,
        Err((error, stream)) => {
            linger(stream).await;
            return Err(Refused::from_tls(error));
        }
    };
    let session = stream.get_ref().1;
    if session.alpn_protocol() != Some(ALPN) {
        return Err(Refused::NoHttp2);
    }
    let certificates = session.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().ok_or(Refused::NoCertificate)?;
    let peer = Peer::from_certificate(certificate, current.fleet(), current.host(), address)?;
    Ok(Link::new(stream, peer, links))
}

/// Lets the alert arrive: closing over unread bytes resets the connection, and the client never learns the reason.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut rest = stream.take(LINGER_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whatever happens here, the connection is over.
    drop(timeout(LINGER, drain).await);
}

/// The peer hung up between its SYN and our accept; the next one may be fine.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn note(quiet: &mut Quiet, address: SocketAddr, why: &dyn std::fmt::Display) {
    if let Some(left_out) = quiet.admit() {
        tracing::warn!(%address, left_out, "connection refused: {why}");
    }
}
