//! What every call reads of its request, and how it is refused.

use proto::convert::fault_to_status;
use proto::fault::{Fault, FaultKind};
use tonic::{Request, Status};

use crate::audit::Caller;
use crate::peer::Peer;

/// What a caller is told.
pub(super) fn refuse(fault: impl Into<Fault>) -> Status {
    fault_to_status(fault.into())
}

fn invalid(error: impl std::fmt::Display) -> Status {
    refuse(Fault::new(FaultKind::InvalidRequest, error.to_string()))
}

/// A name or an id, as it came.
pub(super) fn parse<T>(text: &str) -> Result<T, Status>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(invalid)
}

/// Who asks for a change, with the entry that it leaves.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| refuse(Fault::new(FaultKind::Denied, "the call is not recorded")))
}

/// Who calls; the accept loop put it there from the verified certificate.
pub(super) fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().cloned();
    peer.ok_or_else(|| refuse(Fault::new(FaultKind::Denied, "the caller has no identity")))
}
