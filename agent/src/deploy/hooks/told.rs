//! How a hook ended, as an event and as the deploy's own fate.

use proto::event::{EventKind, Outcome};
use proto::hook::{Hook, Saved};

use super::{Stopped, failed};

/// The end of a hook.
pub(super) struct Told {
    pub(super) outcome: Outcome,
    pub(super) exit_code: Option<i64>,
    pub(super) number: Option<String>,
    pub(super) saved: Option<Saved>,
    /// Why it ended so.
    pub(super) note: Option<String>,
    /// The last lines it printed.
    pub(super) tail: Vec<String>,
    /// What to do about it.
    pub(super) hints: Vec<String>,
}

impl Told {
    /// An end that says nothing but why.
    pub(super) fn new(outcome: Outcome, note: impl Into<String>) -> Self {
        Self {
            outcome,
            exit_code: None,
            number: None,
            saved: None,
            note: Some(note.into()),
            tail: Vec::new(),
            hints: Vec::new(),
        }
    }

    pub(super) fn skipped(note: String) -> Self {
        Self::new(Outcome::Skipped, note)
    }

    /// The end of one that could not be run, or not to its end.
    pub(super) fn stopped(stopped: Stopped) -> Self {
        let Stopped { outcome, fault, .. } = stopped;
        let causes: String = fault
            .causes
            .iter()
            .map(|cause| format!(": {cause}"))
            .collect();
        Self {
            tail: fault.output,
            hints: fault.hints,
            ..Self::new(outcome, format!("{}{causes}", fault.what))
        }
    }

    pub(super) fn event(&self, index: u32) -> EventKind {
        EventKind::HookFinished {
            hook: index,
            outcome: self.outcome,
            exit_code: self.exit_code,
            number: self.number.clone(),
            saved: self.saved.clone().map(Box::new),
            note: self.note.clone(),
        }
    }

    /// What it means for the deploy.
    pub(super) fn result(self, hook: &Hook) -> Result<(), Stopped> {
        if matches!(self.outcome, Outcome::Succeeded | Outcome::Skipped) {
            return Ok(());
        }
        let why = self
            .note
            .unwrap_or_else(|| "it did not end well".to_owned());
        let fault = failed(hook, &why).output(self.tail);
        let hints = self.hints.into_iter();
        let fault = hints.fold(fault, proto::fault::Fault::hint);
        Err(Stopped::new(self.outcome, fault))
    }
}

/// The end of one that an earlier agent had begun.
pub(super) fn interrupted() -> Told {
    let note = "the agent was restarted while it ran; how far it came is not known";
    Told::new(Outcome::Interrupted, note)
}

/// What is still known of one that failed under an earlier agent.
pub(super) fn before(hook: &Hook, outcome: Outcome) -> Stopped {
    let fault = failed(hook, "its last lines are among the deploy's events");
    Stopped::new(outcome, fault)
}
