//! Messages from the other side: decoded, turned into domain types, and back.

use std::fmt::Debug;

use prost::Message;
use proto::convert::{
    InvalidMessage, blob_from_wire, facts_from_wire, facts_to_wire, fault_from_status,
    fault_to_status,
};
use proto::event::Event;
use proto::fault::Fault;
use proto::hello::{PROTOCOL, ProtocolRange, negotiate};
use proto::history::HistoryEntry;
use proto::log::{LogQuery, LogRecord};
use proto::plan::Plan;
use proto::registry::RegistryAuth;
use proto::stack::{ShippedFile, StackOffer};
use proto::status::StackStatus;
use proto::wire::v1 as wire;
use tonic::{Code, Status};
use wire::stage_request::Body as Asked;
use wire::stage_response::Body as Answered;

use super::{check_error, check_fault};

/// HTTP/2 peers refuse headers over 16 KiB; gRPC's own take some of it.
const HEADER_BYTES: usize = 15 * 1024 + 512;

/// The first byte chooses the message, the rest is its encoding.
pub(super) fn wire(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    match kind % 19 {
        0 => hello(bytes),
        1 => there_and_back::<wire::StageBegin, StackOffer>(bytes),
        2 => stage_request(bytes),
        3 => stage_response(bytes),
        4 => there_and_back::<wire::Plan, Plan>(bytes),
        5 => there_and_back::<wire::Event, Event>(bytes),
        6 => there_and_back::<wire::StackStatus, StackStatus>(bytes),
        7 => there_and_back::<wire::LogsRequest, LogQuery>(bytes),
        8 => there_and_back::<wire::LogRecord, LogRecord>(bytes),
        9 => facts(bytes),
        10 => auths(bytes),
        11 => plain::<wire::WatchRequest>(bytes),
        12 => plain::<wire::CancelRequest>(bytes),
        13 => plain::<wire::DownRequest>(bytes),
        14 => plain::<wire::StatusRequest>(bytes),
        15 => plain::<wire::DeployResponse>(bytes),
        16 => there_and_back::<wire::HistoryEntry, HistoryEntry>(bytes),
        17 => plain::<wire::HistoryRequest>(bytes),
        _ => plain::<wire::RollbackRequest>(bytes),
    }
}

/// What is accepted means the same after another journey.
fn there_and_back<W, D>(bytes: &[u8])
where
    W: Message + Default,
    D: TryFrom<W, Error = InvalidMessage> + Into<W> + PartialEq + Debug,
{
    let Ok(message) = W::decode(bytes) else {
        return;
    };
    if let Some(domain) = checked(D::try_from(message)) {
        let again = |domain: D| Into::<W>::into(domain).encode_to_vec();
        let first = again(domain);
        let second = D::try_from(W::decode(first.as_slice()).unwrap()).unwrap();
        assert_eq!(again(second), first);
    }
}

fn checked<T>(result: Result<T, InvalidMessage>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            check_error(&error);
            // A hostile message is not quoted at length.
            assert!(error.to_string().len() < 2048, "{error}");
            check_fault(&Fault::from(error));
            None
        }
    }
}

/// Messages whose fields are taken one by one: a decoded one encodes to the same again.
fn plain<W: Message + Default + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(message) = W::decode(bytes) {
        assert_eq!(W::decode(message.encode_to_vec().as_slice()), Ok(message));
    }
}

fn hello(bytes: &[u8]) {
    plain::<wire::HelloRequest>(bytes);
    let Ok(hello) = wire::HelloRequest::decode(bytes) else {
        return;
    };
    let theirs = ProtocolRange {
        min: hello.protocol_min,
        max: hello.protocol_max,
    };
    match negotiate(&hello.controller_version, theirs, "1", PROTOCOL, "emilia") {
        Ok(common) => assert!((PROTOCOL.min..=PROTOCOL.max).contains(&common)),
        Err(skew) => check_error(&skew),
    }
}

fn facts(bytes: &[u8]) {
    let Ok(message) = wire::HelloResponse::decode(bytes) else {
        return;
    };
    if let Some(facts) = checked(facts_from_wire(message)) {
        let again = facts_from_wire(facts_to_wire(facts.clone()));
        assert_eq!(again, Ok(facts));
    }
}

fn stage_request(bytes: &[u8]) {
    let Ok(message) = wire::StageRequest::decode(bytes) else {
        return;
    };
    match message.body {
        Some(Asked::Begin(begin)) => drop(checked(StackOffer::try_from(begin))),
        Some(Asked::Files(wire::StageFiles { files })) => {
            for file in files {
                if let Some(file) = checked(ShippedFile::try_from(file)) {
                    assert_eq!(file.mode & !0o777, 0);
                }
            }
        }
        Some(Asked::Chunk(chunk)) => drop(checked(blob_from_wire(&chunk.blob))),
        None => {}
    }
}

fn stage_response(bytes: &[u8]) {
    let Ok(message) = wire::StageResponse::decode(bytes) else {
        return;
    };
    match message.body {
        Some(Answered::Need(wire::Need { blobs })) => {
            for blob in blobs {
                if let Some(id) = checked(blob_from_wire(&blob)) {
                    assert_eq!(id.as_bytes().as_slice(), blob);
                }
            }
        }
        Some(Answered::Staged(staged)) => {
            if let Ok(id) = staged.stage.parse::<proto::id::StageId>() {
                assert_eq!(id.to_string(), staged.stage);
            }
        }
        Some(Answered::Wants(_)) | None => {}
    }
}

fn auths(bytes: &[u8]) {
    plain::<wire::DeployRequest>(bytes);
    let Ok(request) = wire::PlanRequest::decode(bytes) else {
        return;
    };
    for message in request.auths {
        let auth = RegistryAuth::from(message.clone());
        assert_eq!(wire::RegistryAuth::from(auth), message);
    }
}

/// A status from an agent, or from something that poses as one: the bytes are its details.
pub(super) fn status(bytes: &[u8]) {
    let status = Status::with_details(Code::Unknown, "", bytes.to_vec().into());
    let Some(fault) = fault_from_status(&status) else {
        return;
    };
    let again = fault_to_status(fault.clone());
    // The details as base64, and the sentence beside them with every byte escaped.
    let header = again.details().len().div_ceil(3) * 4 + again.message().len() * 3;
    assert!(header <= HEADER_BYTES, "{header} bytes do not fit a header");
    let back = fault_from_status(&again);
    // A fault without anything in it is a message without bytes.
    assert_eq!(back.is_some(), !again.details().is_empty());
    let Some(back) = back else { return };
    assert_eq!(back.kind, fault.kind);
    if bytes.len() < 900 {
        assert_eq!(back, fault);
    } else {
        assert!(back.hints.len() <= fault.hints.len());
    }
}
