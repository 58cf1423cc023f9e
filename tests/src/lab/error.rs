//! What can go wrong with the lab, in sentences that a test's output can end with.

use std::io;
use std::time::Duration;

/// A result of the lab.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Why the lab could not do something.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// This machine cannot have a lab.
    #[error("the lab needs {0}")]
    Unavailable(String),
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A command ended badly.
    #[error("{command}: ended with {code:?}\n{output}")]
    Command {
        /// Its words.
        command: String,
        /// Its exit code, if it was not ended by a signal.
        code: Option<i32>,
        /// What it said.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {after:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
    },
    /// A server answered with something else.
    #[error("{request}: answered {status} {body}")]
    Answer {
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The body, as text.
        body: String,
    },
    /// Everything else.
    #[error("{0}")]
    Other(String),
}

/// Says what was tried when the system refuses.
pub(crate) trait During<T> {
    /// Wraps the error with `what`.
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| LabError::Io {
            what: what(),
            source,
        })
    }
}
