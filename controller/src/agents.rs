//! The agents that can be brought onto hosts: for which machines there are any, and where they are found.
//!
//! A place has `VERSION/agent-linux-ARCH` for each, and beside them `VERSION/SHA256SUMS`, as `sha256sum` writes it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proto::fault::{Fault, FaultKind};
use proto::id::BlobId;
use proto::upgrade::NewAgent;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::home::Home;

const SUMS: &str = "SHA256SUMS";
const FILE: &str = "agent-linux-";
/// Looked at after the operator's own data folder, in this order.
const SYSTEM: [&str; 2] = [
    "/usr/local/share/longshore/agents",
    "/usr/share/longshore/agents",
];
/// Of a list of hashes; more is not one.
const MOST_SUMS: u64 = 1024 * 1024;

/// A machine that agents are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64 bit of Intel and AMD.
    Amd64,
    /// 64 bit of ARM.
    Arm64,
}

/// A machine that no agent is built for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no agent for {machine:?}: {why}")]
pub struct UnknownMachine {
    machine: String,
    why: &'static str,
}

impl From<UnknownMachine> for Fault {
    fn from(error: UnknownMachine) -> Self {
        Self::new(FaultKind::Unsupported, error.to_string())
            .hint("agents are built for amd64 (x86_64) and arm64 (aarch64)")
    }
}

impl Arch {
    /// As image platforms spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// From a name of `uname -m` or of an image platform.
impl FromStr for Arch {
    type Err = UnknownMachine;
    fn from_str(machine: &str) -> Result<Self, UnknownMachine> {
        let why = match machine.trim() {
            "x86_64" | "amd64" => return Ok(Self::Amd64),
            "aarch64" | "arm64" => return Ok(Self::Arm64),
            // What a 64 bit machine says under a 32 bit system.
            "armv8l" | "armv7l" | "armv6l" | "armhf" | "arm" | "i386" | "i586" | "i686" => {
                "its system is 32 bit"
            }
            "aarch64_be" => "its byte order is not the usual one",
            "" => "it did not say what it is",
            _ => "none is built for it",
        };
        // A host's answer may be anything.
        let machine = machine.trim().chars().take(40).collect();
        Err(UnknownMachine { machine, why })
    }
}

/// An agent that can be brought onto a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The binary.
    pub path: PathBuf,
    /// Its SHA-256, which the list beside it tells too.
    pub sha256: BlobId,
    /// Bytes.
    pub size: u64,
    /// The folder's name it was found in.
    pub version: String,
    /// The machine it runs on.
    pub arch: Arch,
}

impl Agent {
    /// What tells it from every other agent.
    #[must_use]
    pub fn build(&self) -> String {
        self.offered().build()
    }

    /// As it is described to a host.
    #[must_use]
    pub fn offered(&self) -> NewAgent {
        NewAgent {
            version: self.version.clone(),
            architecture: self.arch.to_string(),
            size: self.size,
            digest: self.sha256,
        }
    }
}

/// Finds the agent of a version for a machine: the first place that has it counts. Reads all of it.
///
/// # Errors
/// When no place has it, or it is not what the list beside it says.
pub fn find(home: &Home, version: &str, arch: Arch) -> Result<Agent, Fault> {
    find_in(&places(home), version, arch)
}

/// Where agents are looked for, in this order.
#[must_use]
pub fn places(home: &Home) -> Vec<PathBuf> {
    let system = SYSTEM.map(PathBuf::from);
    let own = home.data().join("agents");
    std::iter::once(own).chain(system).collect()
}

fn find_in(places: &[PathBuf], version: &str, arch: Arch) -> Result<Agent, Fault> {
    for place in places {
        let path = place.join(version).join(format!("{FILE}{arch}"));
        match File::open(&path) {
            Ok(file) => return checked(file, path, version, arch),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Err(none(places, version, arch))
}

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn checked(file: File, path: PathBuf, version: &str, arch: Arch) -> Result<Agent, Fault> {
    let list = path.with_file_name(SUMS);
    let refuse = |why: String| {
        let what = format!("{} is not used", path.display());
        Fault::new(FaultKind::Refused, what)
            .cause(why)
            .hint("remove its folder and build or download it again: deploy/agents")
    };
    let listed = match read_sums(&list) {
        Ok(text) => listed(&text, &format!("{FILE}{arch}")),
        Err(error) if is_missing(&error) => {
            return Err(refuse(format!("there is no {SUMS} beside it")));
        }
        Err(error) => return Err(unreadable(&list, &error)),
    };
    let Some(listed) = listed else {
        return Err(refuse(format!("{} does not list it", list.display())));
    };
    let (sha256, size) = digest(file).map_err(|error| unreadable(&path, &error))?;
    if sha256 != listed {
        return Err(refuse(format!(
            "its SHA-256 is {sha256}, and {} says {listed}",
            list.display()
        )));
    }
    Ok(Agent {
        path,
        sha256,
        size,
        version: version.to_owned(),
        arch,
    })
}

fn read_sums(list: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(list)?
        .take(MOST_SUMS)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// What a list of `sha256sum` says of a file.
fn listed(text: &str, name: &str) -> Option<BlobId> {
    text.lines().find_map(|line| {
        let (sum, file) = line.split_once(' ')?;
        // A star stands before what was read as binary.
        let file = file.strip_prefix([' ', '*']).unwrap_or(file);
        (file == name).then(|| sum.parse().ok())?
    })
}

fn digest(mut file: File) -> io::Result<(BlobId, u64)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((BlobId::from_bytes(hash.finalize().into()), size));
        }
        hash.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Fault {
    let what = format!("cannot read {}", path.display());
    Fault::new(FaultKind::Failed, what).because(error)
}

fn none(places: &[PathBuf], version: &str, arch: Arch) -> Fault {
    let looked: Vec<String> = places
        .iter()
        .map(|place| place.display().to_string())
        .collect();
    let there: BTreeSet<String> = places.iter().flat_map(|place| agents_in(place)).collect();
    let there: Vec<String> = there.into_iter().collect();
    let there = match there.as_slice() {
        [] => "there is no agent at all".to_owned(),
        some => format!("there are {}", some.join(", ")),
    };
    let what = format!("there is no agent {version} for {arch} on this workstation");
    Fault::new(FaultKind::Failed, what)
        .cause(format!("looked in {}; {there}", looked.join(", ")))
        .hint(format!(
            "build it from longshore's source with deploy/agents {arch}, or unpack a release's agents into {}",
            looked.first().map(String::as_str).unwrap_or_default()
        ))
}

/// `VERSION for ARCH` of each that a place has.
fn agents_in(place: &Path) -> Vec<String> {
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.collect()
    };
    let agents = names(place).into_iter().flat_map(|version| {
        let files = names(&place.join(&version));
        let archs = files
            .into_iter()
            .filter_map(|file| Some(file.strip_prefix(FILE)?.to_owned()));
        archs
            .map(|arch| format!("{version} for {arch}"))
            .collect::<Vec<_>>()
    });
    agents.collect()
}

#[cfg(test)]
mod tests;
