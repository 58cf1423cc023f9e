//! The stream to an agent; it remembers why the agent refused us, because HTTP/2 forgets.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use proto::id::HostName;
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::ConnectError;

/// Why the agent refused this operator, should it have done so.
///
/// In TLS 1.3 a client is done before the server has looked at its certificate: the refusal arrives with the
/// first read, where HTTP/2 makes it a string. Ask here when a request fails on a fresh connection.
#[derive(Debug, Clone)]
pub struct Refusal {
    address: String,
    host: HostName,
    alert: Arc<OnceLock<AlertDescription>>,
}

impl Refusal {
    /// The refusal as an error, once there is one.
    #[must_use]
    pub fn get(&self) -> Option<ConnectError> {
        let alert = self.alert.get()?;
        Some(ConnectError::from_alert(&self.address, &self.host, *alert))
    }
}

/// An encrypted stream to a host whose identity is proven.
#[derive(Debug)]
pub struct HostStream<S> {
    inner: TlsStream<S>,
    refusal: Refusal,
}

impl<S> HostStream<S> {
    pub(super) fn new(inner: TlsStream<S>, address: &str, host: &HostName) -> Self {
        let refusal = Refusal {
            address: address.to_owned(),
            host: host.clone(),
            alert: Arc::default(),
        };
        Self { inner, refusal }
    }

    /// A handle that outlives the stream.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        self.refusal.clone()
    }

    fn note(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            self.refusal.alert.set(*alert).ok();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for HostStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &result {
            self.note(error);
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HostStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
