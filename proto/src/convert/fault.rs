//! Faults, alone and inside a gRPC status.

use prost::Message;
use tonic::{Code, Status};

use super::{FromNumber, InvalidMessage, enum_map, wire};
use crate::fault::{Fault, FaultKind, FaultReason};

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

enum_map!("fault reason", FaultReason, wire::FaultReason, {
    ProgressUnknown = ProgressUnknown,
    NotRestored = NotRestored,
});

impl From<Fault> for wire::Fault {
    fn from(fault: Fault) -> Self {
        let Fault {
            kind,
            what,
            causes,
            output,
            hints,
            reason,
        } = fault;
        Self {
            kind: wire::FaultKind::from(kind).into(),
            what,
            causes,
            output,
            hints,
            reason: reason.map_or(0, |reason| wire::FaultReason::from(reason).into()),
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
            reason,
        } = fault;
        // A kind from a newer agent still has a sentence worth showing.
        let kind = FaultKind::from_number(kind).unwrap_or(FaultKind::Failed);
        Self {
            kind,
            what,
            causes,
            output,
            hints,
            // A reason from a newer agent decides nothing here.
            reason: FaultReason::from_number(reason).ok(),
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

/// Bytes of a fault in a header. HTTP/2 peers refuse headers over 16 KiB; base64 makes these 12 KiB, and the sentence
/// travels once more beside them.
const DETAIL_BYTES: usize = 9 * 1024;
/// Bytes of the sentence: three times as many where each has to be escaped.
const WHAT_BYTES: usize = 1024;
/// Bytes of the causes.
const CAUSES_BYTES: usize = 2048;
/// Bytes of the hints; what is left is for the output.
const HINTS_BYTES: usize = 1024;
/// Bytes that an entry takes beside its text.
const ENTRY_BYTES: usize = 4;
/// Where a text was cut.
const MARK: &str = "…";

/// A status that carries the fault in its details. A fault too long for a header keeps its sentence, its outermost
/// causes, its first hints and the end of its output.
#[must_use]
pub fn fault_to_status(fault: Fault) -> Status {
    let code = code(fault.kind);
    let mut detail = wire::Fault::from(fault);
    let mut room = DETAIL_BYTES - 2 * ENTRY_BYTES;
    shorten(&mut detail.what, WHAT_BYTES);
    room -= detail.what.len();
    room -= keep_first(&mut detail.causes, CAUSES_BYTES);
    room -= keep_first(&mut detail.hints, HINTS_BYTES);
    detail.output.reverse();
    keep_first(&mut detail.output, room);
    detail.output.reverse();
    let what = detail.what.clone();
    Status::with_details(code, what, detail.encode_to_vec().into())
}

/// Keeps the entries at the beginning that fit together, the last of them shortened; answers how much they take.
fn keep_first(entries: &mut Vec<String>, most: usize) -> usize {
    let mut taken = 0;
    entries.retain_mut(|entry| {
        let room = most.saturating_sub(taken + ENTRY_BYTES);
        if room < MARK.len() {
            return false;
        }
        shorten(entry, room);
        taken += entry.len() + ENTRY_BYTES;
        true
    });
    taken
}

/// Cuts a text at a whole character; an ellipsis marks the cut.
fn shorten(text: &mut String, most: usize) {
    if text.len() <= most {
        return;
    }
    let end = text.floor_char_boundary(most.saturating_sub(MARK.len()));
    text.truncate(end);
    text.push_str(MARK);
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
