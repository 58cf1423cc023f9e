//! Why a deploy does not get to its end.

use proto::event::Outcome;
use proto::fault::{Fault, FaultKind};
use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::files::FileError;

/// How a step ended, when it did not end well.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stopped {
    pub(super) outcome: Outcome,
    pub(super) fault: Fault,
    /// The same may well succeed now: something from outside ended Compose, or what was in the way will be replaced.
    #[serde(skip)]
    pub(super) again: bool,
}

impl Stopped {
    pub(super) fn new(outcome: Outcome, fault: Fault) -> Self {
        Self {
            outcome,
            fault,
            again: false,
        }
    }

    /// In the operator's words: who stopped it, when it was stopped.
    pub(super) fn told(self, by_the_agent: bool) -> Self {
        if self.outcome != Outcome::Cancelled {
            return self;
        }
        let (outcome, what) = if by_the_agent {
            let what = "the agent was stopped in the middle of this deploy";
            (Outcome::Interrupted, what)
        } else {
            (Outcome::Cancelled, "the deploy was cancelled")
        };
        Self::new(outcome, Fault::new(FaultKind::Failed, what))
    }
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::new(Outcome::Failed, fault)
    }
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        let outcome = match error {
            EngineError::Cancelled => Outcome::Cancelled,
            EngineError::TimedOut { .. } => Outcome::TimedOut,
            _ => Outcome::Failed,
        };
        let again = error.is_killed();
        Self {
            again,
            ..Self::new(outcome, error.into())
        }
    }
}

impl From<FileError> for Stopped {
    fn from(error: FileError) -> Self {
        Fault::from(error).into()
    }
}
