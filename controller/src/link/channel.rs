//! Opens an HTTP/2 connection over a dialled stream, eagerly and with keepalive.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use proto::fault::{Fault, FaultKind};
use proto::id::HostName;
use proto::limits::{CONNECT_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::Dial;

/// What a connection is for. Logs never share one with control: streams that nobody reads for a while keep
/// the connection's window, and three of them would stop everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Control,
    Bulk,
}

const BULK_STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const BULK_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Connects now, so that what is wrong is known now and by name.
pub(super) async fn open(
    host: &HostName,
    dial: Arc<dyn Dial>,
    purpose: Purpose,
) -> Result<Channel, Fault> {
    // The name is for the `:authority` header alone; the dialled stream has proved who it leads to.
    let mut endpoint = Endpoint::from_static("http://agent.longshore")
        .user_agent(concat!("longshore-controller/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| Fault::new(FaultKind::Internal, "no user agent").because(&error))?
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if purpose == Purpose::Bulk {
        endpoint = endpoint
            .initial_stream_window_size(BULK_STREAM_WINDOW)
            .initial_connection_window_size(BULK_CONNECTION_WINDOW);
    }
    let limit = dial.limit();
    let connector = service_fn(move |_: Uri| {
        let dial = Arc::clone(&dial);
        async move {
            match tokio::time::timeout(limit, dial.dial()).await {
                Ok(stream) => stream.map(TokioIo::new),
                Err(_) => Err(super::fault::silent("connect", limit)),
            }
        }
    });
    // Twice: the dial has its own deadline, and HTTP/2's first exchange comes after it.
    let limit = limit + CONNECT_TIMEOUT;
    match tokio::time::timeout(limit, endpoint.connect_with_connector(connector)).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(super::fault::from_transport(host, &error)),
        Err(_) => Err(super::fault::silent("connect", limit)),
    }
}
