//! A TCP connection to a name: the first of its addresses that answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

/// How long one address of a name may be alone before the next is tried beside it (RFC 8305).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// The name does not resolve.
    #[error("the name is not known to DNS")]
    NoSuchName(#[source] io::Error),
    /// The machine is there, the service is not.
    #[error("nothing listens there")]
    Refused,
    /// Packets vanish.
    #[error("there is no answer")]
    NoAnswer,
    /// The network failed in another way.
    #[error("the network failed")]
    Network(#[source] io::Error),
}

impl From<io::Error> for TcpError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::NoAnswer,
            _ => Self::Network(error),
        }
    }
}

/// Connects to `address` (`name:port`). It has no deadline of its own; a dead address does not eat the time of the others.
///
/// # Errors
/// What stood in the way, told apart.
pub(crate) async fn connect(address: &str) -> Result<TcpStream, TcpError> {
    let found = lookup_host(address).await.map_err(TcpError::NoSuchName)?;
    let addresses: Vec<SocketAddr> = found.collect();
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut failure = None;
    let mut waiting = addresses.into_iter();
    let mut trying = FuturesUnordered::new();
    trying.extend(waiting.next().map(TcpStream::connect));
    while !trying.is_empty() {
        let next = async {
            if waiting.len() == 0 {
                return std::future::pending().await;
            }
            sleep(NEXT_ADDRESS).await;
        };
        tokio::select! {
            Some(result) = trying.next() => match result {
                Ok(stream) => {
                    // Requests are small; waiting to fill a packet would cost each of them a round trip.
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => {
                    failure = Some(error);
                    trying.extend(waiting.next().map(TcpStream::connect));
                }
            },
            () = next => trying.extend(waiting.next().map(TcpStream::connect)),
        }
    }
    Err(failure.map_or_else(|| TcpError::NoSuchName(none()), TcpError::from))
}
