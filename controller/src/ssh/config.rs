//! What `~/.ssh/config` and `/etc/ssh/ssh_config` say about one host, as far as longshore follows them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fleet::address::SshTarget;

mod expand;
mod file;
mod settle;
#[cfg(test)]
mod tests;
mod words;

use file::Reader;

/// The configuration of ssh cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Others may write a file that says where to go.
    #[error("{} belongs to somebody else, or others may write to it", .0.display())]
    Exposed(PathBuf),
    /// A line is wrong, or asks for what longshore does not do.
    #[error("{}:{line}: {what}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Nothing says who we are there.
    #[error("nothing says which user to be there")]
    NoUser,
}

/// What ssh takes from the process that starts it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The operator's home folder.
    pub home: PathBuf,
    /// The operator's own name; may be empty.
    pub user: String,
    /// The environment.
    pub variables: BTreeMap<String, String>,
    /// The configuration for the whole machine.
    pub system: PathBuf,
}

impl Surroundings {
    /// From the environment's variables. `HOME` decides where `~` is.
    #[must_use]
    pub fn new(variables: BTreeMap<String, String>) -> Self {
        let value = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        let user = value("USER").or_else(|| value("LOGNAME"));
        let user = user.cloned().or_else(own_name).unwrap_or_default();
        Self {
            home: PathBuf::from(value("HOME").map_or("/", String::as_str)),
            user,
            variables,
            system: PathBuf::from("/etc/ssh"),
        }
    }
}

/// The name of who runs this, where no variable says it.
fn own_name() -> Option<String> {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = users.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    })
}

/// What to do about a host key that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Show it and ask.
    Ask,
    /// Refuse it.
    Refuse,
    /// Take it, and remember it.
    Take,
}

/// How one host is reached.
#[derive(Debug)]
pub(super) struct Settings {
    /// A name or an address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The name that known_hosts has for it, if not its own.
    pub(super) alias: Option<String>,
    /// Key files, in the order they are tried.
    pub(super) identities: Vec<PathBuf>,
    /// Keys of the agent are tried only if a key file names them.
    pub(super) identities_only: bool,
    /// The socket of ssh-agent.
    pub(super) agent: Option<PathBuf>,
    /// Hosts to go through, the last of which reaches this one.
    pub(super) jump: Vec<SshTarget>,
    /// The files with known host keys; new ones are added to the first.
    pub(super) known_hosts: Vec<PathBuf>,
    /// Files of the machine, only read.
    pub(super) global_known_hosts: Vec<PathBuf>,
    pub(super) hash_known_hosts: bool,
    pub(super) unknown: Unknown,
    pub(super) connect_timeout: Option<Duration>,
    /// What was left out of the configuration.
    pub(super) notes: Vec<String>,
}

/// What the configuration says about `target`, whose own user and port win.
pub(super) fn settings(target: &SshTarget, around: &Surroundings) -> Result<Settings, ConfigError> {
    let mut reader = Reader {
        around,
        typed: &target.host,
        entries: Vec::new(),
        notes: Vec::new(),
    };
    let own = around.home.join(".ssh");
    reader.read(&own.join("config"), &own)?;
    reader.read(&around.system.join("ssh_config"), &around.system)?;
    let Reader { entries, notes, .. } = reader;
    let mut settings = settle::settle(target, around, &entries)?;
    settings.notes = notes;
    Ok(settings)
}

/// The configuration `text` of the operator, judged for `target`: for the fuzzer, which has no files.
///
/// # Errors
/// What is wrong with it.
pub fn check(text: &str, target: &SshTarget, around: &Surroundings) -> Result<(), ConfigError> {
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = file::Place::new(Path::new("config"), index + 1);
        if let Some((keyword, arguments)) = words::split(line).map_err(|what| place.error(what))? {
            entries.push(file::Entry {
                keyword,
                arguments,
                place,
            });
        }
    }
    settle::settle(target, around, &entries).map(drop)
}
