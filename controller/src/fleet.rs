//! `fleet.toml`: all hosts and stacks, found by walking up and checked to the last key.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use globset::Glob;
use proto::fault::{Fault, FaultKind};
use proto::hook::Hook;
use proto::id::{FleetName, HostName, ProjectName, ServiceName, StackName};
use proto::path::{HostDir, RelPath};
use proto::probe::Probe;
use proto::stack::VarName;

pub mod address;
pub mod diagnostic;
mod document;
mod hooks;
pub mod label;
mod parse;
mod probe;
#[cfg(test)]
mod tests;
pub mod value;

use address::{Address, SshTarget};
use diagnostic::Diagnostic;
use label::Label;
use value::Env;

use crate::suggest;

/// The file's name.
pub const FILE_NAME: &str = "fleet.toml";
/// Far more than any fleet needs; keeps a wrong path from being read into memory.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Errors shown at once.
const SHOWN: usize = 20;

/// Everything that one `fleet.toml` says.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// The file itself.
    pub file: PathBuf,
    /// The folder it lies in, which its paths are relative to.
    pub root: PathBuf,
    /// The fleet's name, as certificates spell it.
    pub name: FleetName,
    /// The two authorities' public certificates.
    pub ca: PathBuf,
    /// The revocation list.
    pub crl: Option<PathBuf>,
    /// In the order of the file.
    pub hosts: Vec<Host>,
    /// In the order of the file.
    pub stacks: Vec<Stack>,
}

/// A server with an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Where its agent listens; through SSH, only the port counts.
    pub address: Address,
    /// How ssh reaches it.
    pub ssh: Option<SshTarget>,
    /// Groups it belongs to.
    pub labels: Vec<Label>,
    /// Stacks it runs, in the order of the file; each of them exists.
    pub stacks: Vec<StackName>,
    /// Project directories that are not where they would be by default.
    pub dirs: BTreeMap<StackName, HostDir>,
    /// How its agent is reached.
    pub transport: Transport,
    /// Values for this host alone, by stack; they win over the stack's own.
    pub env: BTreeMap<StackName, Env>,
}

/// How an agent is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Directly.
    #[default]
    Tls,
    /// Through an SSH session with the host; it has an `ssh` then.
    Ssh,
}

/// A Compose project as `fleet.toml` describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    /// Its name.
    pub name: StackName,
    /// Its folder on the workstation.
    pub path: PathBuf,
    /// Compose files, instead of those that Compose would pick.
    pub compose_files: Vec<RelPath>,
    /// The folder that its files may come from, as it is written beside `path`; empty: `path` itself.
    pub root: PathBuf,
    /// Instead of `.env`; of a name that several define, the last wins.
    pub env_files: Vec<RelPath>,
    /// Active profiles; `None` leaves them to `COMPOSE_PROFILES`.
    pub profiles: Option<Vec<String>>,
    /// Instead of what Compose would derive.
    pub project_name: Option<ProjectName>,
    /// Files to ship besides those that Compose names.
    pub ship: Vec<Glob>,
    /// What is not shipped, whoever names it: patterns in the syntax of `.gitignore`.
    pub exclude: Vec<String>,
    /// Variables taken from the operator's shell when set there.
    pub inherit: Vec<VarName>,
    /// Variables that may stay undefined.
    pub allow_undefined: Vec<VarName>,
    /// Interpolation values.
    pub env: Env,
    /// What its containers must answer before they are judged good.
    pub probes: Vec<Probe>,
    /// How long its services may take to become good.
    pub deadlines: BTreeMap<ServiceName, Duration>,
    /// What is run before and after a deploy, in that order.
    pub hooks: Vec<StackHook>,
}

/// A hook, and where it names its service: whether there is one of that name, only Compose knows.
#[derive(Debug, Clone, PartialEq)]
pub struct StackHook {
    /// The hook.
    pub hook: Hook,
    service_at: Diagnostic,
}

impl StackHook {
    /// Why it could not run in a stack of these services.
    ///
    /// # Errors
    /// When its service is not among them.
    pub fn check<'a>(
        &self,
        stack: &StackName,
        services: impl Iterator<Item = &'a str>,
    ) -> Result<(), FleetError> {
        let wanted = self.hook.service.as_str();
        let services: Vec<&str> = services.collect();
        if services.contains(&wanted) {
            return Ok(());
        }
        let hint = suggest::hint(wanted, services);
        let mut problem = self.service_at.clone();
        problem.what =
            format!("stack {stack} has no service `{wanted}`, or not with these profiles");
        problem.hint = hint;
        Err(FleetError::Invalid(vec![problem]))
    }
}

/// Why there is no fleet to work with.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// Neither here nor above.
    #[error("no {FILE_NAME} in {} or any folder above it", .0.display())]
    NotFound(PathBuf),
    /// The file is there but cannot be read.
    #[error("cannot read {}", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file says something that makes no sense; never empty.
    #[error("{}", headline(.0))]
    Invalid(Vec<Diagnostic>),
}

fn headline(problems: &[Diagnostic]) -> String {
    match problems {
        [] => format!("{FILE_NAME} is not valid"),
        [one] => one.headline(),
        [first, ..] => format!("{} has {} errors", first.file.display(), problems.len()),
    }
}

impl From<FleetError> for Fault {
    fn from(error: FleetError) -> Self {
        let fault = Self::new(FaultKind::InvalidStack, error.to_string());
        match error {
            FleetError::NotFound(_) => fault
                .hint("go to the fleet's folder, or name the file with --fleet")
                .hint("`controller init` makes a new fleet"),
            FleetError::Unreadable(_, source) => fault.because(&source),
            FleetError::Invalid(problems) => match problems.as_slice() {
                [one] => {
                    let fault = fault.output(one.snippet());
                    match &one.hint {
                        Some(hint) => fault.hint(hint),
                        None => fault,
                    }
                }
                many => {
                    let blocks = many.iter().take(SHOWN).map(Diagnostic::to_string);
                    let rest = many.len().saturating_sub(SHOWN);
                    let rest = (rest > 0).then(|| format!("and {rest} more"));
                    let lines = blocks.chain(rest).flat_map(|block| {
                        block.lines().map(str::to_owned).collect::<Vec<String>>()
                    });
                    fault.output(lines)
                }
            },
        }
    }
}

impl Fleet {
    /// The `fleet.toml` to use: `explicit` (the file, or its folder), else the nearest one in `start`
    /// or above it.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(start: &Path, explicit: Option<&Path>) -> Result<PathBuf, FleetError> {
        if let Some(path) = explicit {
            let path = start.join(path);
            return Ok(if path.is_dir() {
                path.join(FILE_NAME)
            } else {
                path
            });
        }
        start
            .ancestors()
            .map(|folder| folder.join(FILE_NAME))
            .find(|file| file.is_file())
            .ok_or_else(|| FleetError::NotFound(start.to_owned()))
    }

    /// Reads and checks `file`.
    ///
    /// # Errors
    /// When it cannot be read, or says anything that makes no sense.
    pub fn load(file: &Path) -> Result<Self, FleetError> {
        let text = read(file).map_err(|error| FleetError::Unreadable(file.to_owned(), error))?;
        Self::parse(file, &text)
    }

    /// Checks `text`; `file` says where it came from, and what its paths are relative to.
    ///
    /// # Errors
    /// When the text says anything that makes no sense; every problem is in the error.
    pub fn parse(file: &Path, text: &str) -> Result<Self, FleetError> {
        parse::parse_fleet(file, text).map_err(FleetError::Invalid)
    }

    /// The host of that name.
    #[must_use]
    pub fn host(&self, name: &HostName) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == *name)
    }

    /// Where the list of revoked operators is.
    #[must_use]
    pub fn revocations(&self) -> PathBuf {
        let beside = || self.root.join("revoked.crl");
        self.crl.clone().unwrap_or_else(beside)
    }

    /// The stack of that name.
    #[must_use]
    pub fn stack(&self, name: &StackName) -> Option<&Stack> {
        self.stacks.iter().find(|stack| stack.name == *name)
    }
}

fn read(file: &Path) -> io::Result<String> {
    // A fifo would be waited for without a deadline.
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    let size = std::fs::File::open(file)?
        .take(FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if size as u64 > FILE_BYTES {
        return Err(io::Error::other("it is larger than 4 MiB"));
    }
    Ok(text)
}

/// A profile's name, by Compose's own rule; never something that looks like an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile(String);

impl std::str::FromStr for Profile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let letter = |c: char| c.is_ascii_alphanumeric();
        let rest = |c: char| letter(c) || ['.', '-', '_'].contains(&c);
        // `*` is Compose's word for all of them.
        if text == "*" || text.starts_with(letter) && text.chars().all(rest) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is not a profile name"))
        }
    }
}

impl From<Profile> for String {
    fn from(profile: Profile) -> Self {
        profile.0
    }
}
