//! The Debian 13 tree that every host is laid over, made once per machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::{Cmd, tool};
use super::error::{During, LabError, Result};
use super::run::{cache, lock};

/// Counted up when what follows changes, so that an old tree is not taken for the new one.
const NAME: &str = "trixie-1";

/// The engine and Compose as Debian 13 has them, what a server has, and a shell for images.
const PACKAGES: &str = "ca-certificates,iproute2,iptables,openssh-server,docker.io,docker-cli,docker-compose,\
procps,curl,rsync,sudo,busybox-static";

/// A slow mirror is not a hang.
const DEADLINE: Duration = Duration::from_secs(900);

/// Where the tree is, whether or not it has been made.
pub(crate) fn folder() -> PathBuf {
    cache().join(NAME)
}

/// Makes the tree if it is missing; whoever comes while it is made waits.
pub(crate) fn ensure() -> Result<()> {
    if folder().exists() {
        return Ok(());
    }
    fs::create_dir_all(cache()).during(|| format!("making {}", cache().display()))?;
    let _turn = lock(&cache().join("base.lock"))?;
    if folder().exists() {
        return Ok(());
    }
    let part = cache().join(format!("{NAME}.part"));
    // What an interrupted attempt left.
    let _none = fs::remove_dir_all(&part);
    make(&part)?;
    fs::rename(&part, folder()).during(|| "keeping the base".to_owned())
}

fn make(part: &Path) -> Result<()> {
    let include = format!("--include={PACKAGES}");
    let tree = part.to_string_lossy().into_owned();
    let cmd = Cmd::new([
        "debootstrap",
        "--variant=minbase",
        &include,
        "trixie",
        &tree,
        &archive()?,
    ]);
    let cmd = cmd.deadline(DEADLINE);
    cmd.run(cmd.prepare(&[]))?.ok()?;
    // Hosts make their own identities, and nothing is installed in them later.
    for pattern in [
        "etc/ssh/ssh_host_*",
        "var/cache/apt/archives/*.deb",
        "var/lib/apt/lists/*",
    ] {
        tool(["bash", "-c", &format!("rm -rf {tree}/{pattern}")])?;
    }
    Ok(())
}

/// The Debian archive that this machine itself uses.
fn archive() -> Result<String> {
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
