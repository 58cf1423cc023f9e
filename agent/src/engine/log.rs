//! A container's log: which of it, and a line of it.

use proto::log::Stream;

/// Which of a container's log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRange {
    /// Keep going until the container is gone.
    pub follow: bool,
    /// Lines from the end; `None`: all.
    pub tail: Option<u32>,
    /// Unix nanoseconds, inclusive.
    pub since_nanos: Option<i64>,
    /// Unix nanoseconds.
    pub until_nanos: Option<i64>,
}

/// A line as the container wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLine {
    /// Which output.
    pub stream: Stream,
    /// The engine's timestamp, unix nanoseconds.
    pub at_nanos: i64,
    /// Without the newline; lines over 1 MiB come in pieces.
    pub text: Vec<u8>,
}
