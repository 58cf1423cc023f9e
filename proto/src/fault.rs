//! What went wrong, told so that a person can act on it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The sort of a fault; decides the exit code and the gRPC status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The stack itself is wrong: a Compose error, an undefined variable, a missing file.
    InvalidStack,
    /// The request makes no sense.
    InvalidRequest,
    /// Policy: another's project, a path outside the bundle, data that would be lost.
    Refused,
    /// Another deploy holds the stack.
    Busy,
    /// Identity or role.
    Denied,
    /// The host has moved on since the plan was made, or the plan has expired.
    Stale,
    /// The two versions do not understand each other.
    Unsupported,
    /// Docker or Compose is missing, down or too old.
    Engine,
    /// The work was tried and failed.
    Failed,
    /// No stack or deploy of that name.
    UnknownName,
    /// The host did not answer, or broke off.
    Unreachable,
    /// A defect in longshore.
    Internal,
}

/// What programs decide by, where the kind does not say enough. The sentences are for people alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultReason {
    /// The records of a deploy are lost: how far it came is not known, and nothing more was touched.
    ProgressUnknown,
    /// A deploy failed, and the stack could not be brought back either.
    NotRestored,
}

/// A failure on its way to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Decides exit code and status.
    pub kind: FaultKind,
    /// What failed, as a lower-case fragment without a period.
    pub what: String,
    /// The chain of causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// The last lines of what failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Set where something has to be decided by this failure later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FaultReason>,
}

impl Fault {
    /// A fault with nothing but its sentence.
    #[must_use]
    pub fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            causes: Vec::new(),
            output: Vec::new(),
            hints: Vec::new(),
            reason: None,
        }
    }

    /// The same fault with the chain of `error` as causes.
    #[must_use]
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Some libraries repeat their source in their own text; say each thing once.
            if !self.causes.last().is_some_and(|last| last.ends_with(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// The same fault with one more cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// The same fault with what programs decide by.
    #[must_use]
    pub fn reason(mut self, reason: FaultReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The same fault with the last lines of what failed.
    #[must_use]
    pub fn output(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.output.extend(lines);
        self
    }

    /// The same fault with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {}
