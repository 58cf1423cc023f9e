//! Status and log records.

use super::{
    FromNumber, InvalidMessage, enum_map, into_all, optional, parse, parse_all, text, texts, wire,
};
use crate::event::{ContainerState, Health};
use crate::log::{LogQuery, LogRecord, Stream};
use crate::status::{ContainerStatus, StackStatus};
use wire::log_record::Kind;

enum_map!("stream", Stream, wire::Stream, {
    Stdout = Stdout,
    Stderr = Stderr,
});

impl From<StackStatus> for wire::StackStatus {
    fn from(status: StackStatus) -> Self {
        let StackStatus {
            stack,
            project,
            revision,
            committed_at_millis,
            committed_by,
            containers,
            deploy,
            confirm_within,
            needs_reconcile,
        } = status;
        Self {
            stack: stack.into(),
            project: project.into(),
            revision: text(revision),
            committed_at_millis,
            committed_by,
            containers: containers.into_iter().map(Into::into).collect(),
            deploy: text(deploy),
            confirm_within: confirm_within.unwrap_or(0),
            needs_reconcile,
        }
    }
}

impl TryFrom<wire::StackStatus> for StackStatus {
    type Error = InvalidMessage;
    fn try_from(message: wire::StackStatus) -> Result<Self, InvalidMessage> {
        let wire::StackStatus {
            stack,
            project,
            revision,
            committed_at_millis,
            committed_by,
            containers,
            deploy,
            confirm_within,
            needs_reconcile,
        } = message;
        Ok(Self {
            stack: parse(&stack)?,
            project: parse(&project)?,
            revision: optional(&revision)?,
            committed_at_millis,
            committed_by,
            containers: into_all(containers)?,
            deploy: optional(&deploy)?,
            confirm_within: (confirm_within > 0).then_some(confirm_within),
            needs_reconcile,
        })
    }
}

impl From<ContainerStatus> for wire::ContainerStatus {
    fn from(status: ContainerStatus) -> Self {
        let ContainerStatus {
            id,
            name,
            service,
            state,
            health,
            image,
            exit_code,
            started_at_millis,
            ports,
            health_at_millis,
        } = status;
        Self {
            id,
            name,
            service: service.into(),
            state: wire::ContainerState::from(state).into(),
            health: wire::Health::from(health).into(),
            image,
            exit_code,
            started_at_millis,
            ports,
            health_at_millis,
        }
    }
}

impl TryFrom<wire::ContainerStatus> for ContainerStatus {
    type Error = InvalidMessage;
    fn try_from(message: wire::ContainerStatus) -> Result<Self, InvalidMessage> {
        let wire::ContainerStatus {
            id,
            name,
            service,
            state,
            health,
            image,
            exit_code,
            started_at_millis,
            ports,
            health_at_millis,
        } = message;
        Ok(Self {
            id,
            name,
            service: parse(&service)?,
            state: ContainerState::from_number(state)?,
            health: Health::from_number(health)?,
            image,
            exit_code,
            started_at_millis,
            ports,
            health_at_millis,
        })
    }
}

impl From<LogQuery> for wire::LogsRequest {
    fn from(query: LogQuery) -> Self {
        let LogQuery {
            stack,
            services,
            follow,
            tail,
            since_nanos,
            until_nanos,
        } = query;
        Self {
            stack: stack.into(),
            services: texts(services),
            follow,
            tail: tail.map_or(-1, i64::from),
            since_nanos: since_nanos.unwrap_or_default(),
            until_nanos: until_nanos.unwrap_or_default(),
        }
    }
}

impl TryFrom<wire::LogsRequest> for LogQuery {
    type Error = InvalidMessage;
    fn try_from(message: wire::LogsRequest) -> Result<Self, InvalidMessage> {
        let wire::LogsRequest {
            stack,
            services,
            follow,
            tail,
            since_nanos,
            until_nanos,
        } = message;
        Ok(Self {
            stack: parse(&stack)?,
            services: parse_all(services)?,
            follow,
            tail: u32::try_from(tail).ok(),
            since_nanos: (since_nanos != 0).then_some(since_nanos),
            until_nanos: (until_nanos != 0).then_some(until_nanos),
        })
    }
}

impl From<LogRecord> for wire::LogRecord {
    fn from(record: LogRecord) -> Self {
        let kind = match record {
            LogRecord::Line {
                service,
                container,
                stream,
                at_nanos,
                text,
            } => Kind::Line(wire::LogLine {
                service: service.into(),
                container,
                stream: wire::Stream::from(stream).into(),
                at_nanos,
                text,
            }),
            LogRecord::Gap {
                service,
                container,
                lines,
            } => Kind::Gap(wire::LogGap {
                service: service.into(),
                container,
                lines,
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::LogRecord> for LogRecord {
    type Error = InvalidMessage;
    fn try_from(message: wire::LogRecord) -> Result<Self, InvalidMessage> {
        let wire::LogRecord { kind } = message;
        match kind.ok_or_else(|| InvalidMessage::missing("a log record's kind"))? {
            Kind::Line(wire::LogLine {
                service,
                container,
                stream,
                at_nanos,
                text,
            }) => {
                let stream = Stream::from_number(stream)?;
                Ok(Self::Line {
                    service: parse(&service)?,
                    container,
                    stream,
                    at_nanos,
                    text,
                })
            }
            Kind::Gap(wire::LogGap {
                service,
                container,
                lines,
            }) => Ok(Self::Gap {
                service: parse(&service)?,
                container,
                lines,
            }),
        }
    }
}
