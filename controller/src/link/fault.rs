//! From gRPC statuses and transport errors to faults: the agent's own words where there are any, else what
//! the transport's failure means for a person.

use std::error::Error;
use std::time::Duration;

use proto::convert::fault_from_status;
use proto::fault::{Fault, FaultKind};
use proto::id::HostName;
use tonic::{Code, Status};

/// The fault that a dialler put into the chain of a transport's error.
fn dialled<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Fault> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<Fault>() {
            return Some(fault);
        }
        next = error.source();
    }
    None
}

pub(super) fn from_transport(host: &HostName, error: &tonic::transport::Error) -> Fault {
    if let Some(fault) = dialled(error) {
        return fault.clone();
    }
    let fault = Fault::new(
        FaultKind::Unreachable,
        format!("no connection to the agent on {host}"),
    );
    refused(match error.source() {
        Some(source) => fault.because(source),
        None => fault.because(error),
    })
}

/// In TLS 1.3 a client learns only after its own handshake that its certificate was not accepted: what looks
/// like a broken connection carries the server's alert.
fn refused(fault: Fault) -> Fault {
    if !fault
        .causes
        .iter()
        .any(|cause| cause.contains("received fatal alert"))
    {
        return fault;
    }
    Fault {
        kind: FaultKind::Denied,
        what: "this operator's certificate was refused".to_owned(),
        ..fault
    }
    .hint("it may have expired or been revoked, or belong to another fleet")
}

pub(super) fn from_status(host: &HostName, what: &str, status: &Status) -> Fault {
    if let Some(fault) = fault_from_status(status) {
        return fault;
    }
    if let Some(fault) = status.source().and_then(|source| dialled(source)) {
        return fault.clone();
    }
    let said = |fault: Fault| match status.message() {
        "" => fault,
        text => fault.cause(text),
    };
    match status.code() {
        Code::Unimplemented => {
            let text = format!(
                "the agent on {host} is older than this controller and does not know `{what}`"
            );
            Fault::new(FaultKind::Unsupported, text).hint("upgrade the agent")
        }
        Code::PermissionDenied | Code::Unauthenticated => said(Fault::new(
            FaultKind::Denied,
            format!("the agent on {host} refused `{what}`"),
        )),
        Code::OutOfRange | Code::ResourceExhausted => said(Fault::new(
            FaultKind::Refused,
            format!("`{what}` is more than the agent on {host} takes"),
        )),
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded => broken(host, status),
        // A connection that dies inside a stream surfaces under many codes; its cause tells.
        _ if status.source().is_some() || is_transport(status.message()) => broken(host, status),
        code => {
            let text = format!("the agent on {host} answered `{what}` with {code:?}");
            said(Fault::new(FaultKind::Failed, text))
        }
    }
}

/// What hyper and h2 say when a connection ends under a stream.
fn is_transport(message: &str) -> bool {
    const SIGNS: [&str; 5] = [
        "h2 protocol error",
        "transport error",
        "connection",
        "broken pipe",
        "keep-alive",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

fn broken(host: &HostName, status: &Status) -> Fault {
    let fault = Fault::new(
        FaultKind::Unreachable,
        format!("the connection to {host} broke"),
    );
    refused(match status.source() {
        Some(source) => fault.because(source),
        None if status.message().is_empty() => fault,
        None => fault.cause(status.message()),
    })
}

pub(super) fn silent(what: &str, limit: Duration) -> Fault {
    let text = format!("no answer to `{what}` within {} s", limit.as_secs());
    Fault::new(FaultKind::Unreachable, text)
}

/// An answer that this version cannot read.
pub(super) fn garbled(host: &HostName, why: impl std::fmt::Display) -> Fault {
    let text = format!("this controller cannot read what the agent on {host} answered");
    Fault::new(FaultKind::Unsupported, text)
        .cause(why.to_string())
        .hint("bring both to the same version")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::convert::fault_to_status;

    fn host() -> HostName {
        "emilia".parse().unwrap()
    }

    #[test]
    fn the_agents_own_words_win() {
        let fault = Fault::new(FaultKind::Busy, "deploy 0123 holds the stack");
        let status = fault_to_status(fault.clone());
        assert_eq!(from_status(&host(), "plan", &status), fault);
    }

    #[test]
    fn an_unknown_method_is_a_sentence_about_versions() {
        let fault = from_status(&host(), "cancel", &Status::unimplemented(""));
        assert_eq!(fault.kind, FaultKind::Unsupported);
        assert_eq!(
            fault.what,
            "the agent on emilia is older than this controller and does not know `cancel`"
        );
    }

    #[test]
    fn an_alert_is_a_refusal_and_not_a_broken_line() {
        let error = std::io::Error::other("received fatal alert: CertificateRevoked");
        let fault = from_status(&host(), "hello", &Status::from_error(Box::new(error)));
        assert_eq!(fault.kind, FaultKind::Denied);
        assert_eq!(
            fault.causes.last().unwrap(),
            "received fatal alert: CertificateRevoked"
        );
    }

    #[test]
    fn a_broken_connection_is_told_from_a_refusal() {
        for (status, kind) in [
            (
                Status::unavailable("connection reset"),
                FaultKind::Unreachable,
            ),
            (
                Status::cancelled("h2 protocol error: GOAWAY"),
                FaultKind::Unreachable,
            ),
            (
                Status::internal("h2 protocol error: error reading a body"),
                FaultKind::Unreachable,
            ),
            (Status::unknown("transport error"), FaultKind::Unreachable),
            (Status::permission_denied("revoked"), FaultKind::Denied),
            (Status::out_of_range("5 MiB"), FaultKind::Refused),
            (Status::data_loss("?"), FaultKind::Failed),
        ] {
            assert_eq!(
                from_status(&host(), "plan", &status).kind,
                kind,
                "{status:?}"
            );
        }
    }
}
