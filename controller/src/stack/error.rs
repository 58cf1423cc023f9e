//! Why a stack's folder cannot be deployed, told so that its owner can put it right.

use std::io;
use std::path::PathBuf;

use proto::fault::{Fault, FaultKind};
use proto::id::StackName;
use proto::path::InvalidPath;

use super::ValueError;
use crate::dotenv::{DotEnvError, Unresolved};
use crate::fleet::FILE_NAME;

/// What to do about a file that lies outside of the stack's folder.
pub(crate) const ROOT: &str = "everything a stack needs lies in its folder: move the file there, or name a folder above as its root in fleet.toml: root = \"..\"";

/// Why a stack's folder cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Not a folder.
    #[error("stack {stack}: {} is not a folder", folder.display())]
    NoFolder {
        /// Which stack.
        stack: StackName,
        /// What its `path` means.
        folder: PathBuf,
    },
    /// Nothing that Compose would pick up.
    #[error("there is no Compose file in {}", .0.display())]
    NoComposeFile(PathBuf),
    /// A file that is named but cannot be read.
    #[error("cannot read {}, named by {by}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Who names it.
        by: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path that is not inside the stack.
    #[error("a path named by {by} cannot be shipped")]
    Path {
        /// Who names it.
        by: String,
        /// Why not.
        #[source]
        source: InvalidPath,
    },
    /// The stack's `.env` makes no sense.
    #[error("{} cannot be read", path.display())]
    DotEnv {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DotEnvError,
    },
    /// A `COMPOSE_*` variable of `.env` whose value cannot be worked out.
    #[error("{} cannot be read", path.display())]
    Unresolved {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Unresolved,
    },
    /// No project name can be made of it.
    #[error("stack {stack}: {name:?}, from {by}, cannot be a Compose project name")]
    Project {
        /// Which stack.
        stack: StackName,
        /// What was tried.
        name: String,
        /// Where it comes from.
        by: String,
    },
    /// A profile that Compose would refuse.
    #[error("COMPOSE_PROFILES in {file}: {why}")]
    Profile {
        /// Which `.env`.
        file: String,
        /// Why.
        why: String,
    },
    /// An interpolation value.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl From<StackError> for Fault {
    fn from(error: StackError) -> Self {
        if let StackError::Value(error) = error {
            return error.into();
        }
        let mut fault = Self::new(FaultKind::InvalidStack, error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            fault = fault.because(source);
        }
        match error {
            StackError::NoFolder { stack, .. } => fault.hint(format!(
                "`path` in [stacks.{stack}] is relative to {FILE_NAME}"
            )),
            StackError::NoComposeFile(_) => fault.hint(
                "Compose looks for compose.yaml, compose.yml, docker-compose.yml and \
                 docker-compose.yaml; name others with `compose_files`",
            ),
            StackError::Path { .. } => fault.hint(ROOT),
            StackError::Unresolved { .. } => {
                fault.hint(format!("write the value out, or say it in {FILE_NAME}"))
            }
            StackError::Project { stack, .. } => fault.hint(format!(
                "set project_name in [stacks.{stack}]: a-z, 0-9, '-' and '_'"
            )),
            _ => fault,
        }
    }
}
