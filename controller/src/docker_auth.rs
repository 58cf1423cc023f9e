//! Registry logins from Docker's own configuration, for the registries a deploy asks for and no others.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use proto::fault::{Fault, FaultKind};
use proto::registry::RegistryAuth;

use crate::process::ProcessError;

mod config;
mod helper;
#[cfg(test)]
mod tests;

use config::{ConfigFile, HUB, is_hub};
use helper::Helper;

/// Helpers that run at the same time.
const AT_ONCE: usize = 4;

/// Why a login cannot be had. Never shows one.
#[derive(Debug, thiserror::Error)]
pub enum DockerAuthError {
    /// The file is there but cannot be read.
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// Not what Docker writes. The parser's own words are left out: they may quote a password.
    #[error("{}:{line}:{column} is not what Docker writes", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
    },
    /// An `auth` that is not base64 of `user:password`.
    #[error("the login for {registry} in {} cannot be decoded", path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// Whose login.
        registry: String,
    },
    /// A helper's name that is more than a name.
    #[error("{} names a credential helper {name:?}, which cannot be one", path.display())]
    HelperName {
        /// The file.
        path: PathBuf,
        /// As it is written.
        name: String,
    },
    /// The helper could not be asked.
    #[error("{program} cannot be asked for the login for {registry}")]
    Helper {
        /// Its name.
        program: String,
        /// Whose login.
        registry: String,
        /// Why not.
        #[source]
        source: ProcessError,
    },
    /// The helper said no.
    #[error("{program} failed to give the login for {registry}")]
    Failed {
        /// Its name.
        program: String,
        /// Whose login.
        registry: String,
        /// What it said.
        output: Vec<String>,
    },
    /// The helper said something else than a login.
    #[error("{program} answered for {registry} with something that is not a login")]
    Answer {
        /// Its name.
        program: String,
        /// Whose login.
        registry: String,
    },
}

impl DockerAuthError {
    /// Whether a credential helper failed; the configuration is in order then.
    fn is_the_helpers(&self) -> bool {
        matches!(
            self,
            Self::Helper { .. } | Self::Failed { .. } | Self::Answer { .. }
        )
    }
}

/// In one line.
fn told(error: DockerAuthError) -> String {
    let Fault {
        what,
        causes,
        output,
        hints,
        ..
    } = error.into();
    let why = [vec![what], causes, output].concat().join(": ");
    match hints.first() {
        Some(hint) => format!("{why}; {hint}"),
        None => why,
    }
}

impl From<DockerAuthError> for Fault {
    fn from(error: DockerAuthError) -> Self {
        let kind = match error {
            DockerAuthError::Helper { .. }
            | DockerAuthError::Failed { .. }
            | DockerAuthError::Answer { .. } => FaultKind::Failed,
            _ => FaultKind::InvalidRequest,
        };
        let mut fault = Self::new(kind, error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            fault = fault.because(source);
        }
        match error {
            DockerAuthError::Unreadable(..) => fault,
            DockerAuthError::Broken { .. } | DockerAuthError::HelperName { .. } => fault
                .hint("put the file right, or move it away and log in again with `docker login`"),
            DockerAuthError::Undecodable { registry, .. }
            | DockerAuthError::Answer { registry, .. } => {
                fault.hint(format!("log in again: docker login {registry}"))
            }
            DockerAuthError::Helper {
                program, source, ..
            } => match source {
                ProcessError::NotFound => fault.hint(format!(
                    "install {program}, or remove it from credsStore and credHelpers in Docker's config.json"
                )),
                _ => fault.hint(format!("it must answer without help: {program} list")),
            },
            DockerAuthError::Failed {
                registry, output, ..
            } => fault
                .output(output)
                .hint(format!("log in again: docker login {registry}")),
        }
    }
}

/// Logins for registries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logins {
    /// Those that there are.
    pub found: Vec<RegistryAuth>,
    /// Why there is none for a registry that should have one; its images may be public all the same.
    pub failed: Vec<String>,
}

/// The logins for `registries` (as [`proto::registry::registry_of`] spells them) that the configuration
/// in `config_dir` has; a registry without one is left out, because its images may be public.
///
/// # Errors
/// When the configuration is broken. A credential helper that fails is told beside what was found.
pub async fn credentials(
    config_dir: &Path,
    registries: &[String],
) -> Result<Logins, DockerAuthError> {
    Lookup {
        config_dir,
        search_path: None,
        deadline: Duration::from_secs(10),
    }
    .credentials(registries)
    .await
}

struct Lookup<'a> {
    config_dir: &'a Path,
    search_path: Option<&'a OsStr>,
    deadline: Duration,
}

impl Lookup<'_> {
    async fn credentials(&self, registries: &[String]) -> Result<Logins, DockerAuthError> {
        let path = self.config_dir.join("config.json");
        let Some(config) = ConfigFile::load(&path)? else {
            return Ok(Logins::default());
        };
        let mut once: Vec<&str> = Vec::new();
        for registry in registries {
            if !once.contains(&registry.as_str()) {
                once.push(registry);
            }
        }
        // Futures first, and no closure in the stream: a closure over borrowed items makes it impossible to send.
        let lookups: Vec<_> = once
            .into_iter()
            .map(|registry| self.one(&path, &config, registry))
            .collect();
        let mut asked = stream::iter(lookups).buffered(AT_ONCE);
        let mut logins = Logins::default();
        while let Some(one) = asked.next().await {
            match one {
                Ok(found) => logins.found.extend(found),
                Err(error) if error.is_the_helpers() => logins.failed.push(told(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(logins)
    }

    async fn one(
        &self,
        path: &Path,
        config: &ConfigFile,
        registry: &str,
    ) -> Result<Option<RegistryAuth>, DockerAuthError> {
        let Some(name) = config.helper(registry) else {
            return config.stored(path, registry);
        };
        let helper = Helper::new(name, self.search_path, self.deadline);
        let helper = helper.ok_or_else(|| DockerAuthError::HelperName {
            path: path.to_owned(),
            name: name.chars().take(80).collect(),
        })?;
        let server = if is_hub(registry) { HUB } else { registry };
        helper.get(registry, server).await
    }
}
