//! The way to a host: who makes its connections, and who looks after it once it is reached.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use proto::fault::{Fault, FaultKind};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Link;
use crate::heads::Heads;

/// A connected byte stream, the handshake of its transport done.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any [`Io`].
pub type BoxedIo = Box<dyn Io>;

/// Makes connections to one host.
pub trait Dial: Send + Sync + 'static {
    /// Connects within [`limit`](Self::limit), proving both sides' identity.
    fn dial(&self) -> BoxFuture<'_, Result<BoxedIo, Fault>>;

    /// How long it may take.
    fn limit(&self) -> Duration {
        proto::limits::CONNECT_TIMEOUT
    }

    /// What this workstation remembers of the host's audit record; `None` where nothing is remembered.
    fn heads(&self) -> Option<Arc<Heads>> {
        None
    }

    /// Who looks after the host whenever it has been reached.
    fn upkeep(&self) -> Option<Arc<dyn Upkeep>> {
        None
    }

    /// Why the host did not let this operator in on the newest connection. In TLS 1.3 that is heard only after the
    /// handshake, and HTTP/2 makes a broken connection of it.
    fn refusal(&self) -> Option<Fault> {
        None
    }
}

/// Does what is due on a host, as well as it can; what fails is told and keeps nobody from their work.
pub trait Upkeep: Send + Sync + 'static {
    /// Looks after a host that has just answered.
    fn look_after<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, ()>;
}

/// What went wrong, in the host's own words where it refused us.
pub(super) fn told(dial: &Arc<dyn Dial>, fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::Unreachable | FaultKind::Denied => dial.refusal().unwrap_or(fault),
        _ => fault,
    }
}
