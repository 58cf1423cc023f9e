//! What has been done to a stack on a host.

use serde::{Deserialize, Serialize};

use crate::event::{Outcome, State};
use crate::id::{DeployId, OperatorName, RevisionId};

/// What a deploy was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Bring what a workstation has.
    Deploy,
    /// Go back to a kept revision.
    Rollback,
    /// Take the stack down.
    Down,
}

/// How a deploy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// Where.
    pub state: State,
}

/// One deploy of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Which.
    pub deploy: DeployId,
    /// What it was for.
    pub deed: Deed,
    /// Who asked; `None` when that was not recorded.
    pub operator: Option<OperatorName>,
    /// Unix milliseconds by the host's clock, for people.
    pub began_at_millis: u64,
    /// Counts what is done to the stack, and orders it; 0 when that was not recorded.
    pub number: u64,
    /// How it ended; `None` while it runs.
    #[serde(flatten)]
    pub ending: Option<Ending>,
    /// What it left committed; `None` when nothing was, or while it runs.
    pub revision: Option<RevisionId>,
    /// Whether that revision is the stack's now.
    pub current: bool,
    /// Whether that revision is still on the host, to go back to.
    pub kept: bool,
    /// What it changed, in names and never in values.
    pub changes: Vec<String>,
    /// Where the images of that revision come from, while it is kept; empty from agents that do not tell.
    #[serde(skip)]
    pub registries: Vec<String>,
}

impl HistoryEntry {
    /// The revision that it made the stack's.
    #[must_use]
    pub fn committed(&self) -> Option<RevisionId> {
        let committed = self
            .ending
            .is_some_and(|ending| ending.state == State::Committed);
        self.revision.filter(|_| committed)
    }
}
