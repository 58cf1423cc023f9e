//! Sees every call and every answer: changing calls leave their entry here, refused ones too, and so does whoever calls
//! what they may not. Each answer carries the head of the audit record.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use proto::audit::{HEADER, When, audited};
use proto::convert::{fault_from_status, fault_to_status};
use proto::fault::{Fault, FaultKind};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderName, HeaderValue, Request, Response};
use tonic::{Code, Status};

use super::guard::SERVICE;
use crate::audit::{Audit, Caller};
use crate::peer::Peer;

/// Wraps the service and its guard.
#[derive(Clone)]
pub(super) struct Recorded<S> {
    inner: S,
    audit: Arc<Audit>,
}

impl<S> Recorded<S> {
    pub(super) fn new(inner: S, audit: Arc<Audit>) -> Self {
        Self { inner, audit }
    }

    /// Who calls.
    fn caller(&self, request: &Request<Body>) -> Option<(Caller, When)> {
        let method = request.uri().path().strip_prefix(SERVICE)?;
        let when = audited(method);
        // The guard refuses whoever has no identity; there is nobody to name.
        let peer = request.extensions().get::<Peer>().cloned()?;
        let caller = Caller::new(Arc::clone(&self.audit), peer, method, when);
        Some((caller, when))
    }
}

impl<S> Service<Request<Body>> for Recorded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let caller = self.caller(&request);
        let audit = Arc::clone(&self.audit);
        if let Some((caller, When::Called | When::Kept)) = &caller {
            if let Err(fault) = audit.check() {
                return Box::pin(async move { Ok(with_head(refusal(fault), &audit)) });
            }
            request.extensions_mut().insert(caller.clone());
        }
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut answer = answer.await?;
            if let Some((caller, _)) = caller {
                let refused = refused(&answer);
                if let Err(fault) = caller.answered(refused) {
                    tracing::error!(%fault, causes = ?fault.causes, "a call could not be recorded");
                    // A refusal stays what it is: nothing was done.
                    if refused.is_none() {
                        answer = refusal(fault);
                    }
                }
            }
            Ok(with_head(answer, &audit))
        })
    }
}

fn refusal(fault: Fault) -> Response<Body> {
    fault_to_status(fault).into_http()
}

/// Why an answer is a refusal, if it is one.
fn refused(answer: &Response<Body>) -> Option<FaultKind> {
    let status = Status::from_header_map(answer.headers());
    let status = status.filter(|status| status.code() != Code::Ok)?;
    let fault = fault_from_status(&status);
    Some(fault.map_or(FaultKind::Unsupported, |fault| fault.kind))
}

fn with_head(mut answer: Response<Body>, audit: &Audit) -> Response<Body> {
    let head = audit.head().map(|head| head.to_string());
    if let Some(value) = head.and_then(|head| HeaderValue::try_from(head).ok()) {
        let name = HeaderName::from_static(HEADER);
        answer.headers_mut().insert(name, value);
    }
    answer
}
