//! How the engine fails, and what a person is told.

use std::time::Duration;

use proto::fault::{Fault, FaultKind};

/// What to do about a Compose that is missing or too old.
const COMPOSE_WANTED: &str = "install the Compose plugin on the host, 2.26 or newer: docker-compose-plugin from Docker's packages, docker-compose of Debian 13, or docker-compose-v2 of Ubuntu";

/// Why a registry did not give an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwilling {
    /// It said no, or could not be asked.
    Refused,
    /// It only wants to be asked less often.
    Limited,
    /// It said nothing in time.
    Silent,
}

/// A failure of Docker or Compose.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The engine's socket does not answer.
    #[error("the Docker engine does not answer: {0}")]
    Down(String),
    /// An engine that longshore cannot drive.
    #[error("Docker {0} is too old")]
    EngineTooOld(String),
    /// No Compose plugin.
    #[error("Docker Compose is not installed")]
    ComposeMissing,
    /// A Compose that longshore cannot drive.
    #[error("Docker Compose {0} is too old")]
    ComposeTooOld(String),
    /// What stands where Compose should does not say which Compose it is.
    #[error("docker compose version: unreadable answer {0:?}")]
    ComposeUnclear(String),
    /// Compose rejected the project's files.
    #[error("the Compose files do not resolve")]
    Config {
        /// Compose's own words.
        output: Vec<String>,
    },
    /// Compose ran and ended with an error.
    #[error("docker compose {verb} ended with {status}")]
    Compose {
        /// `up`, `down`.
        verb: String,
        /// Exit code or signal.
        status: String,
        /// Its last lines.
        output: Vec<String>,
    },
    /// The engine answered a call with an error.
    #[error("{what}: {message}")]
    Api {
        /// What was asked.
        what: String,
        /// The engine's words.
        message: String,
    },
    /// A registry, through the engine, did not give an image.
    #[error("image {image}: {message}")]
    Image {
        /// Its name.
        image: String,
        /// Why.
        message: String,
        /// What to do, where it is known.
        hint: Option<String>,
        /// Whether the same may go well later.
        unwilling: Unwilling,
    },
    /// The image exists, for other platforms.
    #[error("image {image} has no {wanted} variant")]
    Platform {
        /// Its name.
        image: String,
        /// What this host needs.
        wanted: String,
        /// What is offered.
        offered: Vec<String>,
    },
    /// A deadline passed.
    #[error("{what} took longer than {} s", after.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// The deadline.
        after: Duration,
    },
    /// An operator asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// A step of our own failed: starting a child, reading a pipe.
    #[error("{what}: {message}")]
    Local {
        /// What was done.
        what: String,
        /// Why it failed.
        message: String,
    },
}

impl EngineError {
    /// Whether a registry only wants to be asked less often.
    pub(crate) fn is_limited(&self) -> bool {
        matches!(
            self,
            Self::Image {
                unwilling: Unwilling::Limited,
                ..
            }
        )
    }

    /// Whether what was asked did not answer in time.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(
            self,
            Self::TimedOut { .. }
                | Self::Image {
                    unwilling: Unwilling::Silent,
                    ..
                }
        )
    }

    /// Whether something that is neither Compose nor the agent ended Compose.
    pub(crate) fn is_killed(&self) -> bool {
        // With this code it ends when a signal asks it to.
        let asked = |status: &str| status == "exit code 130";
        matches!(self, Self::Compose { status, .. } if status.starts_with("signal ") || asked(status))
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        let (what, killed) = (error.to_string(), error.is_killed());
        let fault = |kind| Self::new(kind, what.clone());
        match error {
            EngineError::Down(_) => fault(FaultKind::Engine)
                .hint("is Docker running? on the host: systemctl status docker"),
            EngineError::EngineTooOld(_) => {
                fault(FaultKind::Engine).hint("longshore needs Docker 20.10 or newer on the host")
            }
            EngineError::ComposeMissing => fault(FaultKind::Engine)
                .hint(COMPOSE_WANTED)
                .hint("a docker-compose 1.x, in /usr/bin, is another program and is not used"),
            EngineError::ComposeTooOld(_) | EngineError::ComposeUnclear(_) => {
                fault(FaultKind::Engine).hint(COMPOSE_WANTED)
            }
            EngineError::Config { output } => fault(FaultKind::InvalidStack).output(output),
            EngineError::Compose { output, .. } if killed => fault(FaultKind::Failed)
                .output(output)
                .hint("something else on the host killed Docker Compose; when memory runs out the kernel does: dmesg"),
            EngineError::Compose { output, .. } => fault(FaultKind::Failed).output(output),
            EngineError::Image { hint, .. } => {
                let fault = fault(FaultKind::Failed);
                hint.into_iter().fold(fault, Self::hint)
            }
            EngineError::Platform { offered, .. } if offered.is_empty() => fault(FaultKind::Failed),
            EngineError::Platform { offered, .. } => {
                fault(FaultKind::Failed).hint(format!("it is offered for {}", offered.join(", ")))
            }
            EngineError::Api { .. }
            | EngineError::TimedOut { .. }
            | EngineError::Cancelled
            | EngineError::Local { .. } => fault(FaultKind::Failed),
        }
    }
}
