//! One operator's encrypted stream, which can be cut from outside.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::peer::Peer;

/// All open links, so that a revocation reaches streams that are open already.
#[derive(Default)]
pub(super) struct Links(Mutex<Open>);

#[derive(Default)]
struct Open {
    next: u64,
    links: HashMap<u64, (Peer, CancellationToken)>,
}

impl Links {
    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing in here can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.open().links.len()
    }

    /// Ends the links of those who no longer count.
    pub(super) fn cut(&self, gone: impl Fn(&Peer) -> bool) -> usize {
        let open = self.open();
        let hit = open.links.values().filter(|(peer, _)| gone(peer));
        hit.map(|(_, token)| token.cancel()).count()
    }

    pub(super) fn cut_all(&self) -> usize {
        self.cut(|_| true)
    }
}

/// What tonic reads and writes.
pub(super) struct Link {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    id: u64,
    links: Arc<Links>,
}

impl Link {
    pub(super) fn new(stream: TlsStream<TcpStream>, peer: Peer, links: Arc<Links>) -> Self {
        let token = CancellationToken::new();
        let cut = Box::pin(token.clone().cancelled_owned());
        let id = {
            let mut open = links.open();
            open.next += 1;
            let id = open.next;
            open.links.insert(id, (peer.clone(), token));
            id
        };
        Self {
            stream,
            peer,
            cut,
            id,
            links,
        }
    }

    fn check_cut(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.links.open().links.remove(&self.id);
    }
}

impl Connected for Link {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_cut(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_cut(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_cut(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
