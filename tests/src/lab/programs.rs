//! Real programs for images, taken out of Debian's packages once per machine: PostgreSQL, Redis, HAProxy, OpenSSL.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::base;
use super::command::Cmd;
use super::error::{During, LabError, Result};
use super::layer::Layer;
use super::run::{cache, lock};

/// Counted up when `make.sh` changes, so that old layers are not taken for the new ones.
const NAME: &str = "programs-1";

/// In a mount namespace of its own: whatever happens, it leaves no mount behind.
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
        let folder = ensure()?;
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

/// Where the layers are; makes them if they are missing, and whoever comes meanwhile waits.
fn ensure() -> Result<PathBuf> {
    let folder = cache().join(NAME);
    if folder.exists() {
        return Ok(folder);
    }
    base::ensure()?;
    let _turn = lock(&cache().join("programs.lock"))?;
    if folder.exists() {
        return Ok(folder);
    }
    let part = cache().join(format!("{NAME}.part"));
    // What an interrupted attempt left.
    let _none = fs::remove_dir_all(&part);
    fs::create_dir(&part).during(|| format!("making {}", part.display()))?;
    let (tree, out) = (base::folder(), part.clone());
    let words = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "bash",
        "-c",
        MAKE,
        "make",
    ];
    let words = words.into_iter().map(PathBuf::from).chain([tree, out]);
    let cmd = Cmd::new(words).deadline(DEADLINE);
    cmd.run(cmd.prepare(&[]))?.ok()?;
    fs::rename(&part, &folder).during(|| "keeping the programs".to_owned())?;
    Ok(folder)
}
