//! `agent.toml` into a checked configuration; a key that means nothing is an error, not a silence.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::limits::DEFAULT_PORT;
use serde::Deserialize;

use crate::private::{self, FileError};

/// Where the configuration and the identity are, unless told otherwise.
pub const DEFAULT_FOLDER: &str = "/etc/longshore";

/// How this agent runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where revisions, journal and project directories are.
    pub state: PathBuf,
    /// The engine's socket.
    pub docker: PathBuf,
    /// The Compose plugin's binary; looked for in Docker's own places when missing.
    pub compose: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)),
            state: PathBuf::from("/var/lib/longshore"),
            docker: PathBuf::from("/var/run/docker.sock"),
            compose: None,
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not TOML, or has a key or value that means nothing.
    #[error("{} is not a valid configuration", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the line.
        detail: String,
    },
    /// A path that depends on where the agent was started.
    #[error("`{key}` in {} must be an absolute path", path.display())]
    Relative {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
    },
}

impl From<ConfigError> for Fault {
    fn from(error: ConfigError) -> Self {
        let fault = Self::new(FaultKind::InvalidRequest, error.to_string());
        match error {
            ConfigError::File(error) => error.into(),
            ConfigError::Invalid { detail, .. } => fault
                .output(detail.trim_end().lines().map(str::to_owned))
                .hint("the keys are listen, state, docker and compose"),
            ConfigError::Relative { .. } => fault,
        }
    }
}

impl Config {
    /// Reads the configuration; without a file everything has its default.
    ///
    /// # Errors
    /// When the file cannot be read or says something that cannot be done.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = match private::read(path) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            other => other?,
        };
        let config: Self = toml::from_str(&text).map_err(|error| ConfigError::Invalid {
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
        let compose = config.compose.as_deref();
        for (key, value) in [
            ("state", Some(config.state.as_path())),
            ("docker", Some(config.docker.as_path())),
            ("compose", compose),
        ] {
            if value.is_some_and(Path::is_relative) {
                let path = path.to_owned();
                return Err(ConfigError::Relative { path, key });
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn without_a_file_or_a_key_the_defaults_hold() {
        let missing = Config::load(Path::new("/nonexistent/agent.toml")).unwrap();
        assert_eq!(missing, Config::default());
        assert_eq!(missing.listen.to_string(), "0.0.0.0:7433");
        let some = load("listen = \"[::]:9000\"\ncompose = \"/opt/docker-compose\"\n").unwrap();
        assert_eq!(some.listen.to_string(), "[::]:9000");
        assert_eq!(
            some.compose.as_deref(),
            Some(Path::new("/opt/docker-compose"))
        );
        assert_eq!(some.state, missing.state);
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line() {
        let fault = Fault::from(load("state = \"/srv\"\nlisten_on = \"::\"\n").unwrap_err());
        let shown = fault.output.join("\n");
        assert!(
            shown.contains("line 2") && shown.contains("listen_on"),
            "{shown}"
        );
    }

    #[test]
    fn a_relative_path_is_refused() {
        let error = load("state = \"srv\"\n").unwrap_err();
        assert!(error.to_string().contains("`state`"), "{error}");
    }
}
