//! The audit record of a host: who asked for which change or backup, what was answered, and how it ended.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event::{Outcome, State};
use crate::fault::FaultKind;
use crate::id::{AuditHash, DeployId, InvalidId, OperatorName, RevisionId, StackName};
use crate::role::Role;

mod calls;
mod chain;
mod line;

pub use calls::{When, audited};
pub use chain::{Break, Chain, Compared, Verdict};
pub use line::{BadLine, Sealed, number_of, open, seal};

/// The header of every answer that carries the record's [`Head`].
pub const HEADER: &str = "longshore-audit";

/// One thing that the record holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Counts from 1 for as long as the record lives.
    pub number: u64,
    /// The host's wall clock in unix milliseconds, for people; order is by `number`.
    pub at_millis: u64,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
    /// The hash of the entry before; zeros before the first.
    pub previous: AuditHash,
}

/// What happened. It names things and never holds a value, a file's content or a message of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Fact {
    /// A call that changes something or takes a backup away, written before it was answered.
    Called(Called),
    /// A deploy, a rollback or a removal has ended.
    Ended(Ended),
    /// A new file of the record begins here.
    File {
        /// Number of the last entry that is no longer kept; 0 while all are.
        dropped: u64,
    },
    /// The end of the last entry was lost, as in a power cut, and its beginning was cut off.
    Torn {
        /// How many bytes were cut off.
        bytes: u64,
    },
    /// The agent found that entries had been changed or taken away.
    Broken {
        /// Number of the last entry before that place.
        after: u64,
        /// What is wrong there.
        why: String,
    },
    /// Written by a newer agent.
    #[serde(other)]
    Other,
}

/// A call that leaves an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Who.
    pub operator: OperatorName,
    /// As what.
    pub role: Role,
    /// With which certificate: its serial number in hexadecimal.
    pub serial: String,
    /// The RPC.
    pub verb: String,
    /// About which stack, as far as that was known.
    pub stack: Option<StackName>,
    /// Under which deploy id.
    pub deploy: Option<DeployId>,
    /// What exactly was asked for, in one line.
    pub asked: String,
    /// What was answered.
    pub decision: Decision,
}

/// What a call was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It was done, or begun.
    LetIn,
    /// It was not done, and why.
    Refused(FaultKind),
}

/// How a deploy ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Who had asked for it; `None` when that was not recorded.
    pub operator: Option<OperatorName>,
    /// Whose.
    pub stack: StackName,
    /// Which.
    pub deploy: DeployId,
    /// How.
    pub outcome: Outcome,
    /// Where.
    pub state: State,
    /// What is committed since.
    pub revision: Option<RevisionId>,
    /// The sort of what went wrong.
    pub fault: Option<FaultKind>,
}

/// The newest entry of a record: whoever knows it knows all that came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0 before the first.
    pub number: u64,
    /// Its hash.
    pub hash: AuditHash,
}

impl Head {
    /// Before the first entry.
    pub const NONE: Self = Self {
        number: 0,
        hash: AuditHash::from_bytes([0; 32]),
    };
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.hash)
    }
}

/// The text is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the head of an audit record")]
pub struct InvalidHead;

impl FromStr for Head {
    type Err = InvalidHead;
    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (number, hash) = text.split_once('-').ok_or(InvalidHead)?;
        Ok(Self {
            number: number.parse().map_err(|_| InvalidHead)?,
            hash: hash.parse().map_err(|_: InvalidId| InvalidHead)?,
        })
    }
}

#[cfg(test)]
mod tests;
