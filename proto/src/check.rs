//! What is not as it should be on a host, why, and what mends it.

use serde::{Deserialize, Serialize};

use crate::id::StackName;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The stack that it is about; `None`: the host itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<StackName>,
    /// A sentence.
    pub what: String,
    /// How one can tell.
    pub why: String,
    /// The command that mends it, or where to look.
    pub mend: String,
}

/// What an agent says of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkup {
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// The host's wall clock, unix milliseconds.
    pub now_millis: u64,
}
