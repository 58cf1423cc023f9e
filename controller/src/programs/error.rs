//! Why a value cannot be had from its program, told so that a person can put it right. Never shows a value.

use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};

use super::Wanted;
use super::answer::NoAnswer;
use crate::fleet::FILE_NAME;
use crate::process::ProcessError;

/// Why a value cannot be had from its program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// Somebody was asked, and said no.
    #[error("the programs of {FILE_NAME} may not run on this workstation")]
    Declined,
    /// It gave no value.
    #[error("there is no value for {names}: {program} failed")]
    NoValue {
        /// Whose value.
        names: String,
        /// As `fleet.toml` writes it.
        program: String,
        /// Its name alone.
        name: String,
        /// Where it ran.
        folder: PathBuf,
        /// The last lines of its standard error.
        said: Vec<String>,
        /// Why not.
        #[source]
        why: NoAnswer,
    },
}

impl ProgramError {
    pub(super) fn no_value(
        wanted: &Wanted,
        folder: &Path,
        said: Vec<String>,
        why: NoAnswer,
    ) -> Self {
        Self::NoValue {
            names: wanted.names(),
            program: wanted.shown(),
            name: wanted.argv.first().cloned().unwrap_or_default(),
            folder: folder.to_owned(),
            said,
            why,
        }
    }
}

impl From<ProgramError> for Fault {
    fn from(error: ProgramError) -> Self {
        let what = error.to_string();
        match error {
            ProgramError::Declined => Self::new(FaultKind::Refused, what)
                .hint("--env KEY=VALUE gives a value without its program"),
            ProgramError::NoValue {
                name,
                folder,
                said,
                why,
                ..
            } => {
                let kind = match why {
                    NoAnswer::Empty | NoAnswer::Unfit(_) => FaultKind::InvalidStack,
                    _ => FaultKind::Failed,
                };
                let fault = Self::new(kind, what).because(&why).output(said);
                fault.hint(hint(&why, &name, &folder))
            }
        }
    }
}

fn hint(why: &NoAnswer, name: &str, folder: &Path) -> String {
    match why {
        NoAnswer::Process(ProcessError::NotFound) => {
            format!("install {name:?}, or correct its name in {FILE_NAME}")
        }
        NoAnswer::Process(ProcessError::Deadline(_)) => {
            "it may have waited for an answer: unlock its store first, or run this on a terminal"
                .to_owned()
        }
        NoAnswer::Empty => {
            "a value that is empty on purpose is written as \"\" in fleet.toml".to_owned()
        }
        _ => format!("try it by hand, in {}", folder.display()),
    }
}
