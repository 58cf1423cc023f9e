//! The trees that hosts are laid over: distributions, each made once per machine.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::command::{Cmd, tool};
use super::error::{During, LabError, Result};
use super::run::{cache, lock};

const MAKE: &str = include_str!("base.sh");

/// A slow mirror is not a hang.
const DEADLINE: Duration = Duration::from_secs(900);

const UBUNTU: &str = "http://archive.ubuntu.com/ubuntu";

/// What a host is delivered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// With the engine and Compose of its packages, and a shell for images.
    Debian13,
    /// Without Docker; its packages have an engine, 20.10, and no Compose that will do.
    Debian12,
    /// Without Docker; its packages have both.
    Ubuntu2404,
    /// The same with both.
    Ubuntu2404Docker,
}

/// Names the system that hosts have when a test does not care: `debian13` when it is not set, or `ubuntu2404`.
const USUAL: &str = "LONGSHORE_LAB_SYSTEM";

impl System {
    /// What hosts have when a test does not care.
    pub(crate) fn usual() -> Result<Self> {
        let name = std::env::var_os(USUAL).unwrap_or_default();
        match name.to_str() {
            Some("" | "debian13") => Ok(Self::Debian13),
            Some("ubuntu2404") => Ok(Self::Ubuntu2404Docker),
            _ => Err(LabError::Other(format!(
                "{USUAL}: debian13 or ubuntu2404, not {name:?}"
            ))),
        }
    }

    /// Counted up when what follows changes, so that an old tree is not taken for the new one.
    fn name(self) -> &'static str {
        match self {
            Self::Debian13 => "trixie-1",
            Self::Debian12 => "bookworm-1",
            Self::Ubuntu2404 => "noble-1",
            Self::Ubuntu2404Docker => "noble-docker-1",
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::Debian13 => "trixie",
            Self::Debian12 => "bookworm",
            Self::Ubuntu2404 | Self::Ubuntu2404Docker => "noble",
        }
    }

    fn included(self) -> &'static str {
        match self {
            Self::Debian13 => {
                "ca-certificates,iproute2,iptables,openssh-server,docker.io,docker-cli,docker-compose,\
                 procps,curl,rsync,sudo,busybox-static"
            }
            Self::Ubuntu2404Docker => {
                "ca-certificates,iproute2,iptables,openssh-server,procps,curl,rsync,sudo,busybox-static"
            }
            Self::Debian12 | Self::Ubuntu2404 => {
                "ca-certificates,iproute2,iptables,openssh-server,procps,sudo"
            }
        }
    }

    /// Packages that come after those, and how: `--download-only` leaves it to the server to install them.
    fn later(self) -> &'static [&'static str] {
        match self {
            Self::Debian13 => &[],
            Self::Debian12 => &["docker.io", "--download-only"],
            Self::Ubuntu2404 => &["docker.io,docker-compose-v2", "--download-only"],
            Self::Ubuntu2404Docker => &["docker.io,docker-compose-v2"],
        }
    }

    fn archive(self) -> Result<String> {
        match self {
            Self::Debian13 | Self::Debian12 => debian(),
            Self::Ubuntu2404 | Self::Ubuntu2404Docker => Ok(UBUNTU.to_owned()),
        }
    }

    /// Where the tree is, whether or not it has been made.
    pub(crate) fn folder(self) -> PathBuf {
        cache().join(self.name())
    }

    /// Makes the tree if it is missing; whoever comes while it is made waits.
    pub(crate) fn ensure(self) -> Result<()> {
        if self.folder().exists() {
            return Ok(());
        }
        fs::create_dir_all(cache()).during(|| format!("making {}", cache().display()))?;
        let _turn = lock(&cache().join("base.lock"))?;
        if self.folder().exists() {
            return Ok(());
        }
        let part = cache().join(format!("{}.part", self.name()));
        // What an interrupted attempt left.
        let _none = fs::remove_dir_all(&part);
        let tree = part.to_string_lossy().into_owned();
        let archive = self.archive()?;
        let words = ["bash", "-c", MAKE, "base", &tree, self.suite(), &archive];
        let packages = [&[self.included()], self.later()].concat();
        let cmd = Cmd::new(words.into_iter().chain(packages)).deadline(DEADLINE);
        cmd.run(cmd.prepare(&[]))?.ok()?;
        fs::rename(&part, self.folder()).during(|| "keeping the base".to_owned())
    }
}

/// The Debian archive that this machine itself uses.
fn debian() -> Result<String> {
    if let Some(found) = known_archive()? {
        return Ok(found);
    }
    let update = Cmd::new(["apt-get", "-q", "update"]).deadline(DEADLINE);
    update.run(update.prepare(&[]))?.ok()?;
    known_archive()?
        .ok_or_else(|| LabError::Unavailable("a Debian archive in apt's sources".to_owned()))
}

fn known_archive() -> Result<Option<String>> {
    let targets = tool([
        "apt-get",
        "indextargets",
        "--format",
        "$(SITE)|$(ORIGIN)|$(LABEL)",
    ])?;
    let site = targets
        .lines()
        .find_map(|line| line.strip_suffix("|Debian|Debian"));
    Ok(site.map(str::to_owned))
}
