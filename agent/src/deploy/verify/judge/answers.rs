//! What containers answered to probes. An answer holds for one run of one container.

use std::collections::BTreeMap;

use crate::engine::Container;

/// One probe, asked of one run of one container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Question {
    /// The container's id.
    pub(crate) container: String,
    restarts: u64,
    started_at_millis: u64,
    /// Which of the stack's probes.
    pub(crate) probe: usize,
}

/// The newest answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// It is the one wanted.
    pub(crate) passed: bool,
    /// `answered 503`.
    pub(crate) words: String,
    /// What a program printed, the last of it.
    pub(crate) output: String,
}

pub(crate) type Answers = BTreeMap<Question, Answer>;

impl Question {
    pub(super) fn of(container: &Container, probe: usize) -> Self {
        Self {
            container: container.id.clone(),
            restarts: container.restarts,
            started_at_millis: container.started_at_millis,
            probe,
        }
    }
}
