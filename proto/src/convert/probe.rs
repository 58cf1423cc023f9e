//! Probes and deadlines of a stack.

use std::time::Duration;

use super::{InvalidMessage, invalid, parse, wire};
use crate::id::ServiceName;
use crate::probe::{Check, DEADLINES, InvalidProbe, Probe};
use wire::probe::Check as Kind;

impl From<Probe> for wire::Probe {
    fn from(probe: Probe) -> Self {
        let Probe {
            service,
            check,
            timeout,
            interval,
        } = probe;
        let check = match check {
            Check::Http { port, path, status } => Kind::Http(wire::HttpCheck {
                port: port.into(),
                path,
                status: status.unwrap_or_default().into(),
            }),
            Check::Tcp { port } => Kind::Tcp(wire::TcpCheck { port: port.into() }),
            Check::Exec { argv } => Kind::Exec(wire::ExecCheck { argv }),
        };
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Self {
            service: service.into(),
            check: Some(check),
            timeout_millis: millis(timeout),
            interval_millis: millis(interval),
        }
    }
}

impl TryFrom<wire::Probe> for Probe {
    type Error = InvalidMessage;
    fn try_from(message: wire::Probe) -> Result<Self, InvalidMessage> {
        let wire::Probe {
            service,
            check,
            timeout_millis,
            interval_millis,
        } = message;
        let port = |port: u32| u16::try_from(port).map_err(|_| invalid(InvalidProbe::Port));
        let check = match check {
            Some(Kind::Http(wire::HttpCheck {
                port: number,
                path,
                status,
            })) => {
                let status = u16::try_from(status).map_err(|_| invalid(InvalidProbe::Status))?;
                Check::Http {
                    port: port(number)?,
                    path,
                    status: (status != 0).then_some(status),
                }
            }
            Some(Kind::Tcp(wire::TcpCheck { port: number })) => Check::Tcp {
                port: port(number)?,
            },
            Some(Kind::Exec(wire::ExecCheck { argv })) => Check::Exec { argv },
            None => return Err(InvalidMessage("a probe asks nothing".to_owned())),
        };
        let millis = |millis: u32| Duration::from_millis(millis.into());
        Self::new(
            parse(&service)?,
            check,
            millis(timeout_millis),
            millis(interval_millis),
        )
        .map_err(invalid)
    }
}

pub(super) fn deadline_to_wire((service, time): (ServiceName, Duration)) -> wire::Deadline {
    wire::Deadline {
        service: service.into(),
        millis: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
    }
}

pub(super) fn deadline_from_wire(
    message: wire::Deadline,
) -> Result<(ServiceName, Duration), InvalidMessage> {
    let time = Duration::from_millis(message.millis);
    let (least, most) = DEADLINES;
    if time < least || time > most {
        return Err(InvalidMessage(format!(
            "a deadline of {} ms",
            message.millis
        )));
    }
    Ok((parse(&message.service)?, time))
}
