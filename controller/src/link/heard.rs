//! Every answer of an agent carries the head of its audit record; here it is heard, whichever call it belongs to.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use proto::audit::{HEADER, Head};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::transport::{Channel, Error};
use tower::Service;

use crate::heads::Heads;

/// A channel that passes on what answers say about the record.
#[derive(Clone)]
pub(super) struct Heard {
    channel: Channel,
    heads: Option<Arc<Heads>>,
}

impl Heard {
    pub(super) fn new(channel: Channel, heads: Option<Arc<Heads>>) -> Self {
        Self { channel, heads }
    }
}

impl Service<Request<Body>> for Heard {
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(heads) = self.heads.clone() else {
            return self.channel.call(request).boxed();
        };
        let before = heads.newest();
        let answer = self.channel.call(request);
        answer
            .inspect_ok(move |answer| {
                if let Some(head) = head_of(answer) {
                    heads.told(before, head);
                }
            })
            .boxed()
    }
}

fn head_of(answer: &Response<Body>) -> Option<Head> {
    answer.headers().get(HEADER)?.to_str().ok()?.parse().ok()
}
