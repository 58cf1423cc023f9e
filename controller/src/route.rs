//! The ways to one host's agent: straight to its port, or through an SSH session with the host.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proto::fault::Fault;
use proto::limits::CONNECT_TIMEOUT;

use crate::heads::Heads;
use crate::link::{BoxedIo, Dial, Upkeep};
use crate::tls::{self, HostClient};
use crate::tunnels::Way;
use crate::upkeep::Keeper;

/// How bytes get there.
pub(crate) enum Route {
    /// To this address.
    Direct(String),
    /// Through an SSH session, to a port of the host itself.
    Tunnel(Arc<Way>, u16),
}

/// Makes connections to one agent, both identities proved on whatever way.
pub(crate) struct HostDial {
    pub(crate) route: Route,
    pub(crate) client: HostClient,
    pub(crate) heads: Arc<Heads>,
    pub(crate) keeper: Arc<Keeper>,
}

impl Dial for HostDial {
    fn dial(&self) -> BoxFuture<'_, Result<BoxedIo, Fault>> {
        async {
            Ok(match &self.route {
                Route::Direct(address) => {
                    Box::new(tls::connect(address, &self.client).await?) as BoxedIo
                }
                Route::Tunnel(way, port) => {
                    let tunnel = way.open(*port).await?;
                    let label = format!("{} through ssh", self.client.host());
                    Box::new(tls::connect_over(tunnel, &label, &self.client).await?)
                }
            })
        }
        .boxed()
    }

    fn limit(&self) -> Duration {
        match self.route {
            Route::Direct(_) => CONNECT_TIMEOUT,
            Route::Tunnel(..) => Way::LONGEST,
        }
    }

    fn heads(&self) -> Option<Arc<Heads>> {
        Some(Arc::clone(&self.heads))
    }

    fn upkeep(&self) -> Option<Arc<dyn Upkeep>> {
        Some(Arc::clone(&self.keeper) as Arc<dyn Upkeep>)
    }

    fn refusal(&self) -> Option<Fault> {
        self.client.refusal().map(Fault::from)
    }
}
