//! The one place that decides who may call what, before any handler sees the call.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, Ready, ready};
use proto::convert::fault_to_status;
use proto::fault::{Fault, FaultKind};
use proto::role;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Request, Response};

use crate::peer::Peer;
use crate::tls::Trust;

pub(super) const SERVICE: &str = "/longshore.v1.Agent/";

/// Wraps the service; tonic's interceptors do not see which method is called.
#[derive(Clone)]
pub(super) struct Guard<S> {
    inner: S,
    trust: Arc<Trust>,
}

impl<S> Guard<S> {
    pub(super) fn new(inner: S, trust: Arc<Trust>) -> Self {
        Self { inner, trust }
    }

    fn check(&self, request: &Request<Body>) -> Result<(), Status> {
        let path = request.uri().path();
        let method = path.strip_prefix(SERVICE);
        let required = method.and_then(|method| Some((method, role::required(method)?)));
        let (method, required) = required.ok_or_else(|| {
            Status::unimplemented(format!("this agent has no method {}", shortened(path)))
        })?;
        let peer = request.extensions().get::<Peer>();
        let peer = peer.ok_or_else(|| denied("the caller has no identity"))?;
        // The handshake may be days ago.
        self.trust.still_counts(peer).map_err(denied)?;
        if peer.role < required {
            let what = format!(
                "{} is a {}, and {method} needs a {required}",
                peer.operator, peer.role
            );
            let fault = Fault::new(FaultKind::Denied, what).hint(format!(
                "ask an admin for a certificate with the role {required}"
            ));
            return Err(fault_to_status(fault));
        }
        Ok(())
    }
}

fn denied(what: &str) -> Status {
    fault_to_status(Fault::new(FaultKind::Denied, what))
}

fn shortened(path: &str) -> String {
    path.chars().take(100).collect()
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.check(&request) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(status) => {
                tracing::info!(path = %shortened(request.uri().path()), %status, "call refused");
                Either::Right(ready(Ok(status.into_http())))
            }
        }
    }
}
