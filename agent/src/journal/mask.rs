//! What is told of a deploy, without its secrets.

use proto::event::EventKind;

use crate::redact::Redactor;

/// The same event with every secret value in it masked.
pub(super) fn masked(redactor: &Redactor, kind: EventKind) -> EventKind {
    match kind {
        EventKind::ComposeLine { text } => EventKind::ComposeLine {
            text: redactor.line(text),
        },
        EventKind::Warning { text } => EventKind::Warning {
            text: redactor.line(text),
        },
        EventKind::Finished {
            outcome,
            state,
            revision,
            fault,
        } => {
            let fault = fault.map(|fault| redactor.fault(fault));
            EventKind::Finished {
                outcome,
                state,
                revision,
                fault,
            }
        }
        EventKind::HookStarted {
            hook,
            when,
            service,
            command,
        } => EventKind::HookStarted {
            hook,
            when,
            service,
            command: redactor.line(command),
        },
        EventKind::HookLine { hook, text } => EventKind::HookLine {
            hook,
            text: redactor.line(text),
        },
        EventKind::HookFinished {
            hook,
            outcome,
            exit_code,
            number,
            saved,
            note,
        } => EventKind::HookFinished {
            hook,
            outcome,
            exit_code,
            number,
            saved,
            note: note.map(|note| redactor.line(note)),
        },
        EventKind::PullStarted { image } => EventKind::PullStarted {
            image: redactor.line(image),
        },
        EventKind::PullFinished {
            image,
            digest,
            outcome,
        } => EventKind::PullFinished {
            image: redactor.line(image),
            digest,
            outcome,
        },
        EventKind::LayerProgress {
            image,
            layer,
            phase,
            current,
            total,
        } => EventKind::LayerProgress {
            image: redactor.line(image),
            layer,
            phase,
            current,
            total,
        },
        EventKind::ProbeAnswered {
            service,
            container,
            probe,
            passed,
            answer,
        } => EventKind::ProbeAnswered {
            service,
            container,
            probe: redactor.line(probe),
            passed,
            answer: redactor.line(answer),
        },
        other @ (EventKind::Received { .. }
        | EventKind::StateEntered { .. }
        | EventKind::ConfirmWanted { .. }
        | EventKind::Confirmed { .. }
        | EventKind::Renewed { .. }
        | EventKind::ServiceState { .. }) => other,
    }
}
