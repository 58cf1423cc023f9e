//! Real programs for images, taken out of Debian's packages once per machine: PostgreSQL, Redis, HAProxy, OpenSSL.

use std::fs;
use std::time::Duration;

use super::error::{During, LabError, Result};
use super::layer::Layer;
use super::made::made;

/// Counted up when `make.sh` changes, so that old layers are not taken for the new ones.
const NAME: &str = "programs-1";

const MAKE: &str = include_str!("programs/make.sh");

/// A slow mirror is not a hang.
const DEADLINE: Duration = Duration::from_secs(600);

/// What the public image of PostgreSQL does before it starts the server.
pub(super) const POSTGRES_ENTRYPOINT: &str = include_str!("programs/postgres.sh");

/// A program that an image can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// PostgreSQL, its server and its clients.
    Postgres,
    /// Redis, its server and its client.
    Redis,
    /// HAProxy.
    Haproxy,
    /// The `openssl` command.
    Openssl,
}

impl Program {
    /// Its name, which is its image's too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Haproxy => "haproxy",
            Self::Openssl => "openssl",
        }
    }

    /// The program, the libraries it needs, and a shell.
    pub(super) fn layer(self) -> Result<Layer> {
        let folder = made(NAME, MAKE, DEADLINE)?;
        let read = |end: &str| {
            let file = folder.join(format!("{}.{end}", self.name()));
            fs::read(&file).during(|| format!("reading {}", file.display()))
        };
        let digests = String::from_utf8_lossy(&read("digests")?).into_owned();
        let mut digests = digests.lines().map(|hex| format!("sha256:{hex}"));
        match (digests.next(), digests.next()) {
            (Some(digest), Some(diff_id)) => Ok(Layer {
                digest,
                diff_id,
                bytes: read("tar.gz")?.into(),
            }),
            _ => Err(LabError::Other(format!(
                "{}: no digests of {}",
                folder.display(),
                self.name()
            ))),
        }
    }
}
