//! One stream through a session: to a port as the host sees it.
//!
//! russh takes in what arrives as fast as it comes and waits for whoever should have it, all streams together. So each
//! stream is emptied here at once into a queue of its own. The queue holds 32 MiB, more than HTTP/2 lets an agent send
//! unread; a stream that nobody reads is ended when it is full, and the others go on.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

const MOST: usize = 32 * 1024 * 1024;
/// What a message takes beside its bytes, so that many small ones count too.
const EACH: usize = 64;

/// A stream through an SSH session.
pub struct Tunnel {
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    incoming: mpsc::UnboundedReceiver<Piece>,
    held: Arc<AtomicUsize>,
    /// What has come in and is not read yet, and how much of it is.
    rest: Option<(Piece, usize)>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}

/// What came in.
enum Piece {
    Data(Bytes),
    End,
    Failure(io::ErrorKind, &'static str),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Data(data) => data,
            Self::End | Self::Failure(..) => &[],
        }
    }
}

impl Tunnel {
    /// Takes an open channel; `tasks` owns the task that empties it.
    pub(super) fn over(channel: Channel<Msg>, tasks: &TaskTracker) -> Self {
        let (read, write) = channel.split();
        let (pieces, incoming) = mpsc::unbounded_channel();
        let held = Arc::new(AtomicUsize::new(0));
        let closed = CancellationToken::new();
        let writer = Box::pin(write.make_writer());
        let pump = Pump {
            pieces,
            held: Arc::clone(&held),
        };
        let over = closed.clone().drop_guard();
        tasks.spawn(async move {
            pump.run(read).await;
            close(write).await;
            drop(over);
        });
        Self {
            writer,
            incoming,
            held,
            rest: None,
            closed: Box::pin(closed.cancelled_owned()),
        }
    }
}

async fn close(write: ChannelWriteHalf<Msg>) {
    // If the session is gone, so is the channel.
    write.close().await.ok();
}

/// Empties one channel into its queue.
struct Pump {
    pieces: mpsc::UnboundedSender<Piece>,
    held: Arc<AtomicUsize>,
}

impl Pump {
    async fn run(self, mut read: ChannelReadHalf) {
        loop {
            let message = tokio::select! {
                message = read.wait() => message,
                () = self.pieces.closed() => return,
            };
            let last = match message {
                Some(ChannelMsg::Data { data }) => {
                    let size = data.len() + EACH;
                    if self.held.fetch_add(size, Ordering::Relaxed) + size <= MOST {
                        self.pieces.send(Piece::Data(data)).ok();
                        continue;
                    }
                    Piece::Failure(io::ErrorKind::OutOfMemory, "nobody reads what comes in")
                }
                Some(ChannelMsg::Eof) => {
                    // The other direction may stay open.
                    self.pieces.send(Piece::End).ok();
                    continue;
                }
                Some(ChannelMsg::Close) => Piece::End,
                Some(_) => continue,
                None => {
                    Piece::Failure(io::ErrorKind::ConnectionReset, "the ssh connection is lost")
                }
            };
            self.pieces.send(last).ok();
            return;
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (piece, start) = match self.rest.take() {
            Some(rest) => rest,
            None => match ready!(self.incoming.poll_recv(cx)) {
                Some(piece) => (piece, 0),
                None => return Poll::Ready(Ok(())),
            },
        };
        if let Piece::Failure(kind, why) = piece {
            self.rest = Some((piece, start));
            return Poll::Ready(Err(io::Error::new(kind, why)));
        }
        let bytes = piece.bytes();
        let left = bytes.get(start..).unwrap_or_default();
        let now = left.get(..buf.remaining()).unwrap_or(left);
        buf.put_slice(now);
        let (end, all) = (start + now.len(), bytes.len());
        match piece {
            Piece::Data(_) if end == all => {
                self.held.fetch_sub(all + EACH, Ordering::Relaxed);
            }
            // An end stays the end, however often it is read.
            _ => self.rest = Some((piece, end)),
        }
        Poll::Ready(Ok(()))
    }
}

impl Tunnel {
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        ready!(self.closed.as_mut().poll(cx));
        Poll::Ready(io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // russh would wait for ever for room on a closed channel.
        if let Poll::Ready(error) = self.poll_closed(cx) {
            return Poll::Ready(Err(error));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.writer.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_closed(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.writer.as_mut().poll_shutdown(cx)
    }
}
