//! Faults, alone and inside a gRPC status.

use prost::Message;
use tonic::{Code, Status};

use super::{FromNumber, InvalidMessage, enum_map, wire};
use crate::fault::{Fault, FaultKind};

enum_map!("fault kind", FaultKind, wire::FaultKind, {
    InvalidStack = InvalidStack,
    InvalidRequest = InvalidRequest,
    Refused = Refused,
    Busy = Busy,
    Denied = Denied,
    Stale = Stale,
    Unsupported = Unsupported,
    Engine = Engine,
    Failed = Failed,
    UnknownName = UnknownName,
    Unreachable = Unreachable,
    Internal = Internal,
});

impl From<Fault> for wire::Fault {
    fn from(fault: Fault) -> Self {
        let Fault {
            kind,
            what,
            causes,
            output,
            hints,
        } = fault;
        Self {
            kind: wire::FaultKind::from(kind).into(),
            what,
            causes,
            output,
            hints,
        }
    }
}

impl From<wire::Fault> for Fault {
    fn from(fault: wire::Fault) -> Self {
        let wire::Fault {
            kind,
            what,
            causes,
            output,
            hints,
        } = fault;
        // A kind from a newer agent still has a sentence worth showing.
        let kind = FaultKind::from_number(kind).unwrap_or(FaultKind::Failed);
        Self {
            kind,
            what,
            causes,
            output,
            hints,
        }
    }
}

fn code(kind: FaultKind) -> Code {
    match kind {
        FaultKind::InvalidStack | FaultKind::InvalidRequest => Code::InvalidArgument,
        FaultKind::Refused | FaultKind::Stale | FaultKind::Unsupported => Code::FailedPrecondition,
        FaultKind::Busy => Code::Aborted,
        FaultKind::Denied => Code::PermissionDenied,
        FaultKind::Engine | FaultKind::Unreachable => Code::Unavailable,
        FaultKind::Failed => Code::Unknown,
        FaultKind::UnknownName => Code::NotFound,
        FaultKind::Internal => Code::Internal,
    }
}

/// A status that carries the whole fault in its details.
#[must_use]
pub fn fault_to_status(fault: Fault) -> Status {
    let (code, what) = (code(fault.kind), fault.what.clone());
    let mut detail = wire::Fault::from(fault);
    // Details travel in a header, and HTTP/2 peers bound those: 16 KiB here with room for base64.
    let mut room = 8 * 1024_usize;
    detail.output.reverse();
    detail.output.retain(|line| {
        let fits = line.len() <= room;
        room = room.saturating_sub(line.len());
        fits
    });
    detail.output.reverse();
    Status::with_details(code, what, detail.encode_to_vec().into())
}

/// The fault inside a status, or `None` when the status came from somewhere else (the transport, a proxy).
#[must_use]
pub fn fault_from_status(status: &Status) -> Option<Fault> {
    if status.details().is_empty() {
        return None;
    }
    wire::Fault::decode(status.details()).ok().map(Fault::from)
}

impl From<InvalidMessage> for Fault {
    fn from(error: InvalidMessage) -> Self {
        Self::new(FaultKind::InvalidRequest, error.to_string())
    }
}
