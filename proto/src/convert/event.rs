//! Events.

use super::hook::{finished_from_wire, finished_to_wire, started_from_wire};
use super::{FromNumber, InvalidMessage, enum_map, optional, parse, text, wire};
use crate::event::{ContainerState, Event, EventKind, Health, LayerPhase, Outcome, State};
use crate::fault::Fault;
use wire::event::Kind;

enum_map!("state", State, wire::State, {
    Received = Received,
    Staged = Staged,
    Planned = Planned,
    Hooks = Hooks,
    Pulled = Pulled,
    Applying = Applying,
    Verifying = Verifying,
    AwaitingConfirm = AwaitingConfirm,
    Committed = Committed,
    RollingBack = RollingBack,
    RolledBack = RolledBack,
    Failed = Failed,
    Removed = Removed,
});

enum_map!("outcome", Outcome, wire::Outcome, {
    Succeeded = Succeeded,
    Skipped = Skipped,
    Failed = Failed,
    TimedOut = TimedOut,
    Cancelled = Cancelled,
    Interrupted = Interrupted,
});

enum_map!("layer phase", LayerPhase, wire::LayerPhase, {
    Waiting = Waiting,
    Downloading = Downloading,
    Extracting = Extracting,
    Done = Done,
});

enum_map!("container state", ContainerState, wire::ContainerState, {
    Created = Created,
    Running = Running,
    Restarting = Restarting,
    Paused = Paused,
    Exited = Exited,
    Dead = Dead,
    Removing = Removing,
});

enum_map!("health", Health, wire::Health, {
    None = None,
    Starting = Starting,
    Healthy = Healthy,
    Unhealthy = Unhealthy,
});

impl From<Event> for wire::Event {
    fn from(event: Event) -> Self {
        let Event {
            seq,
            at_millis,
            kind,
        } = event;
        Self {
            seq,
            at_millis,
            kind: Some(kind_to_wire(kind)),
        }
    }
}

fn kind_to_wire(kind: EventKind) -> Kind {
    match kind {
        EventKind::Received {
            deploy,
            stack,
            operator,
        } => Kind::Received(wire::Received {
            deploy: deploy.to_string(),
            stack: stack.into(),
            operator: operator.into(),
        }),
        EventKind::StateEntered { state } => Kind::State(wire::StateEntered {
            state: wire::State::from(state).into(),
        }),
        EventKind::PullStarted { image } => Kind::PullStarted(wire::PullStarted { image }),
        EventKind::LayerProgress {
            image,
            layer,
            phase,
            current,
            total,
        } => {
            let phase = wire::LayerPhase::from(phase).into();
            Kind::Layer(wire::LayerProgress {
                image,
                layer,
                phase,
                current,
                total,
            })
        }
        EventKind::PullFinished {
            image,
            digest,
            outcome,
        } => {
            let outcome = wire::Outcome::from(outcome).into();
            Kind::PullFinished(wire::PullFinished {
                image,
                digest,
                outcome,
            })
        }
        EventKind::ComposeLine { text } => Kind::Compose(wire::ComposeLine { text }),
        EventKind::ServiceState {
            service,
            container,
            state,
            health,
            exit_code,
            settled,
        } => Kind::Service(wire::ServiceState {
            service: service.into(),
            container,
            state: wire::ContainerState::from(state).into(),
            health: wire::Health::from(health).into(),
            exit_code,
            settled,
        }),
        EventKind::ProbeAnswered {
            service,
            container,
            probe,
            passed,
            answer,
        } => Kind::Probe(wire::ProbeAnswered {
            service: service.into(),
            container,
            probe,
            passed,
            answer,
        }),
        EventKind::HookStarted {
            hook,
            when,
            service,
            command,
        } => Kind::HookStarted(wire::HookStarted {
            hook,
            when: wire::HookWhen::from(when).into(),
            service: service.into(),
            command,
        }),
        EventKind::HookLine { hook, text } => Kind::HookLine(wire::HookLine { hook, text }),
        EventKind::HookFinished {
            hook,
            outcome,
            exit_code,
            number,
            saved,
            note,
        } => finished_to_wire(
            hook,
            outcome,
            exit_code,
            number,
            saved.map(|saved| *saved),
            note,
        ),
        EventKind::Warning { text } => Kind::Warning(wire::Warning { text }),
        EventKind::ConfirmWanted { seconds } => {
            Kind::ConfirmWanted(wire::ConfirmWanted { seconds })
        }
        EventKind::Confirmed { operator } => Kind::Confirmed(wire::Confirmed {
            operator: operator.into(),
        }),
        EventKind::Renewed { containers } => Kind::Renewed(wire::Renewed { containers }),
        EventKind::Finished {
            outcome,
            state,
            revision,
            fault,
        } => Kind::Finished(wire::Finished {
            outcome: wire::Outcome::from(outcome).into(),
            state: wire::State::from(state).into(),
            revision: text(revision),
            fault: fault.map(Into::into),
        }),
    }
}

impl TryFrom<wire::Event> for Event {
    type Error = InvalidMessage;
    fn try_from(message: wire::Event) -> Result<Self, InvalidMessage> {
        let wire::Event {
            seq,
            at_millis,
            kind,
        } = message;
        let kind = kind.ok_or_else(|| InvalidMessage::missing("an event's kind"))?;
        Ok(Self {
            seq,
            at_millis,
            kind: kind_from_wire(kind)?,
        })
    }
}

fn kind_from_wire(kind: Kind) -> Result<EventKind, InvalidMessage> {
    Ok(match kind {
        Kind::Received(wire::Received {
            deploy,
            stack,
            operator,
        }) => EventKind::Received {
            deploy: parse(&deploy)?,
            stack: parse(&stack)?,
            operator: parse(&operator)?,
        },
        Kind::State(wire::StateEntered { state }) => EventKind::StateEntered {
            state: State::from_number(state)?,
        },
        Kind::PullStarted(wire::PullStarted { image }) => EventKind::PullStarted { image },
        Kind::Layer(wire::LayerProgress {
            image,
            layer,
            phase,
            current,
            total,
        }) => {
            let phase = LayerPhase::from_number(phase)?;
            EventKind::LayerProgress {
                image,
                layer,
                phase,
                current,
                total,
            }
        }
        Kind::PullFinished(wire::PullFinished {
            image,
            digest,
            outcome,
        }) => {
            let outcome = Outcome::from_number(outcome)?;
            EventKind::PullFinished {
                image,
                digest,
                outcome,
            }
        }
        Kind::Compose(wire::ComposeLine { text }) => EventKind::ComposeLine { text },
        Kind::Service(message) => service_from_wire(message)?,
        Kind::Probe(wire::ProbeAnswered {
            service,
            container,
            probe,
            passed,
            answer,
        }) => EventKind::ProbeAnswered {
            service: parse(&service)?,
            container,
            probe,
            passed,
            answer,
        },
        Kind::HookStarted(message) => started_from_wire(message)?,
        Kind::HookLine(wire::HookLine { hook, text }) => EventKind::HookLine { hook, text },
        Kind::HookFinished(message) => finished_from_wire(message)?,
        Kind::Warning(wire::Warning { text }) => EventKind::Warning { text },
        Kind::ConfirmWanted(wire::ConfirmWanted { seconds }) => {
            EventKind::ConfirmWanted { seconds }
        }
        Kind::Confirmed(wire::Confirmed { operator }) => EventKind::Confirmed {
            operator: parse(&operator)?,
        },
        Kind::Renewed(wire::Renewed { containers }) => EventKind::Renewed { containers },
        Kind::Finished(wire::Finished {
            outcome,
            state,
            revision,
            fault,
        }) => EventKind::Finished {
            outcome: Outcome::from_number(outcome)?,
            state: State::from_number(state)?,
            revision: optional(&revision)?,
            fault: fault.map(Fault::from),
        },
    })
}

fn service_from_wire(message: wire::ServiceState) -> Result<EventKind, InvalidMessage> {
    let wire::ServiceState {
        service,
        container,
        state,
        health,
        exit_code,
        settled,
    } = message;
    Ok(EventKind::ServiceState {
        service: parse(&service)?,
        container,
        state: ContainerState::from_number(state)?,
        health: Health::from_number(health)?,
        exit_code,
        settled,
    })
}
