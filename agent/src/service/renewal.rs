//! The calls about the host's own identity: each changes files, so each has a thread of its own until it is done.

use std::sync::Arc;

use proto::convert::InvalidMessage;
use proto::fault::{Fault, FaultKind};
use proto::wire::v1 as wire;
use tonic::{Request, Response, Status};

use super::request::{caller, peer, refuse};
use crate::tls::Trust;

pub(super) async fn revocations(
    trust: Option<Arc<Trust>>,
    request: Request<wire::RevocationsRequest>,
) -> Result<Response<wire::RevocationsResponse>, Status> {
    let caller = caller(&request)?;
    let list = request.into_inner().list;
    let number = apart(trust, move |trust| {
        trust.take_list(list, |what| {
            caller.asks(None, what);
            caller.let_in()
        })
    });
    let number = u64::try_from(number.await?).unwrap_or(u64::MAX);
    Ok(Response::new(wire::RevocationsResponse { number }))
}

pub(super) async fn renew(
    trust: Option<Arc<Trust>>,
    request: Request<wire::RenewRequest>,
) -> Result<Response<wire::RenewResponse>, Status> {
    let caller = caller(&request)?;
    let request = apart(trust, move |trust| {
        caller.asks(None, "a request for a new certificate");
        caller.let_in()?;
        trust.request()
    });
    let request = request.await?;
    Ok(Response::new(wire::RenewResponse { request }))
}

pub(super) async fn accept(
    trust: Option<Arc<Trust>>,
    request: Request<wire::AcceptRequest>,
) -> Result<Response<wire::AcceptResponse>, Status> {
    let caller = caller(&request)?;
    let grant = request.into_inner().grant;
    let accepted = apart(trust, move |trust| {
        trust.renew(&grant, |what| {
            caller.asks(None, what);
            caller.let_in()
        })
    });
    let expires = accepted.await?.expires;
    Ok(Response::new(wire::AcceptResponse { expires }))
}

pub(super) async fn trust(
    trust: Option<Arc<Trust>>,
    request: Request<wire::TrustRequest>,
) -> Result<Response<wire::TrustResponse>, Status> {
    let (caller, peer) = (caller(&request)?, peer(&request)?);
    let wanted = request
        .into_inner()
        .try_into()
        .map_err(|error: InvalidMessage| refuse(error))?;
    let believed = apart(trust, move |trust| {
        trust.believe(wanted, &peer, |what| {
            caller.asks(None, what);
            caller.let_in()
        })
    });
    believed.await?;
    Ok(Response::new(wire::TrustResponse {}))
}

async fn apart<T: Send + 'static>(
    trust: Option<Arc<Trust>>,
    work: impl FnOnce(&Trust) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Status> {
    let none = || {
        Fault::new(
            FaultKind::Unsupported,
            "this agent has no identity of its own",
        )
    };
    let trust = trust.ok_or_else(|| refuse(none()))?;
    let done = tokio::task::spawn_blocking(move || work(&trust)).await;
    let broke = |error| Fault::new(FaultKind::Internal, "the change broke off").because(&error);
    done.map_err(|error| refuse(broke(error)))?.map_err(refuse)
}
