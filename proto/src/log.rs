//! Log records of containers.

use serde::{Deserialize, Serialize};

use crate::id::{ServiceName, StackName};

/// Which of a container's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output; a container with a terminal has only this.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a reader asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    /// Which stack.
    pub stack: StackName,
    /// Empty: all.
    pub services: Vec<ServiceName>,
    /// Keep going.
    pub follow: bool,
    /// Lines per container from the end; `None`: all.
    pub tail: Option<u32>,
    /// Unix time in nanoseconds.
    pub since_nanos: Option<i64>,
    /// Unix time in nanoseconds.
    pub until_nanos: Option<i64>,
}

/// A line, or the mark of missing ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRecord {
    /// One line.
    Line {
        /// Its service.
        service: ServiceName,
        /// Container name.
        container: String,
        /// Which output.
        stream: Stream,
        /// The engine's timestamp, unix nanoseconds.
        at_nanos: i64,
        /// The container's bytes, without the newline.
        text: Vec<u8>,
    },
    /// Lines dropped because this reader was slow.
    Gap {
        /// Their service.
        service: ServiceName,
        /// Container name.
        container: String,
        /// How many.
        lines: u64,
    },
}
