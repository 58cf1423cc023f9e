//! What is sent of a stack: its description, its files by content, and where each content is read from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::sync::Arc;

use proto::fault::{Fault, FaultKind};
use proto::id::{BlobId, ProjectName};
use proto::path::{InvalidPath, RelPath};
use proto::stack::{ShippedFile, StackOffer, StackSpec};

use crate::dotenv::DotEnv;
use crate::fleet::{FILE_NAME, Fleet};
use crate::stack::{Layout, Outside, ROOT, StackError, open_regular};
use crate::target::Selection;

mod available;
mod digest;
mod gather;
mod limits;
mod references;
#[cfg(test)]
mod tests;
mod unused;

use gather::Gatherer;

/// A stack, ready to be staged on a host.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The description; `files` is complete once the agent's wishes were added.
    pub spec: StackSpec,
    /// Every content of `spec.files`.
    pub content: BTreeMap<BlobId, Source>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// Names that could be taken from the operator's shell.
    pub set_in_shell: BTreeSet<String>,
    folder: PathBuf,
    dotenv: DotEnv,
    default_project: Option<ProjectName>,
}

/// Where a content is read from.
#[derive(Clone)]
pub enum Source {
    /// Small enough to have been kept since it was hashed.
    Bytes(Arc<[u8]>),
    /// Read again when it is sent; the agent notices if it has changed since.
    File(PathBuf),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A shipped file may well be a secret.
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl Source {
    /// The content, from its beginning.
    ///
    /// # Errors
    /// When the file has gone or cannot be read any more.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Bytes(bytes) => Box::new(Cursor::new(Arc::clone(bytes))),
            Self::File(path) => Box::new(open_regular(path)?),
        })
    }
}

/// Why a stack cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The stack itself.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// A selection of something that `fleet.toml` does not have.
    #[error("{0} does not run stack {1}")]
    NotThere(String, String),
    /// A path that cannot be inside the stack.
    #[error("a path named by {by} cannot be shipped")]
    Path {
        /// Who names it.
        by: String,
        /// Why not.
        #[source]
        source: InvalidPath,
    },
    /// A symlink on the way leads out of the stack.
    #[error("{path}, named by {by}, leads to {}, outside the stack's folder", target.display())]
    Outside {
        /// As it was named.
        path: String,
        /// Where it really is.
        target: PathBuf,
        /// Who names it.
        by: String,
    },
    /// Neither a file nor a folder.
    #[error("{path}, named by {by}, is a {kind}; only files and folders can be shipped")]
    Special {
        /// As it was named.
        path: String,
        /// What it is.
        kind: &'static str,
        /// Who names it.
        by: String,
    },
    /// A folder where a file is needed.
    #[error("{path}, named by {by}, is a folder")]
    Folder {
        /// As it was named.
        path: String,
        /// Who names it.
        by: String,
    },
    /// Not there, or not to be read.
    #[error("cannot read {path}, named by {by}")]
    Unreadable {
        /// As it was named.
        path: String,
        /// Who names it.
        by: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Values that Compose would not take from the `.env`.
    #[error("reserved: {} of .env would change how Compose itself runs", names.join(", "))]
    OfTheProcess {
        /// Variables that a `.env` sets and the Compose files refer to.
        names: Vec<String>,
    },
    /// Too many files.
    #[error("stack {stack} would ship {count} files; {limit} is the most")]
    TooMany {
        /// Which stack.
        stack: String,
        /// How many, or `more than …`.
        count: String,
        /// How many are allowed.
        limit: usize,
        /// The fullest folders.
        most: Vec<String>,
    },
    /// Too many bytes.
    #[error("stack {stack} would ship {size} of files; {limit} is the most")]
    TooLarge {
        /// Which stack.
        stack: String,
        /// How much.
        size: String,
        /// How much is allowed.
        limit: String,
        /// The largest files and folders.
        most: Vec<String>,
    },
}

impl From<BundleError> for Fault {
    fn from(error: BundleError) -> Self {
        if let BundleError::Stack(error) = error {
            return error.into();
        }
        let mut fault = Self::new(FaultKind::InvalidStack, error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            fault = fault.because(source);
        }
        match error {
            BundleError::Path { .. } | BundleError::Outside { .. } => fault.hint(ROOT),
            BundleError::TooMany { most, .. } | BundleError::TooLarge { most, .. } => {
                fault.output(most).hint(format!(
                    "data belongs on the host: use an absolute path or a volume, narrow `ship`, or name what is not to be shipped: exclude = [\"data/\"] in {FILE_NAME}"
                ))
            }
            BundleError::Unreadable { path, source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                fault.hint(leave_out(&path))
            }
            BundleError::Special { path, .. } => fault.hint(leave_out(&path)),
            BundleError::OfTheProcess { .. } => fault.hint(
                "give it another name in .env and in the Compose file; a service's own env_file may have it",
            ),
            _ => fault,
        }
    }
}

/// Names the first folder of the path: what an application keeps there is as a rule all of one kind.
fn leave_out(path: &str) -> String {
    let folder = path.split('/').next().unwrap_or(path);
    format!(
        "if it is data that stays where it is, leave it out: exclude = [\"/{folder}\"] for the stack in {FILE_NAME}"
    )
}

impl Bundle {
    /// Reads the selected stack for the selected host: what is known to be needed before the agent has
    /// looked into the Compose files.
    ///
    /// # Errors
    /// When the stack is not in order, or has files that cannot be shipped.
    pub fn new(
        fleet: &Fleet,
        selection: &Selection,
        outside: Outside<'_>,
    ) -> Result<Self, BundleError> {
        let shell = outside.shell;
        let found = fleet
            .host(&selection.host)
            .zip(fleet.stack(&selection.stack));
        let Some((host, stack)) = found else {
            let (host, stack) = (selection.host.to_string(), selection.stack.to_string());
            return Err(BundleError::NotThere(host, stack));
        };
        let layout = Layout::read(stack, host.env.get(&stack.name), outside)?;
        let mut gatherer = Gatherer::new(&layout.folder, &stack.exclude)?;
        for named in layout.compose_files.iter().chain(&layout.env_files) {
            gatherer.file(named)?;
        }
        let mut warnings = layout.warnings;
        for glob in &stack.ship {
            let by = format!("ship of [stacks.{}] in {FILE_NAME}", stack.name);
            if !gatherer.glob(glob, &by)? {
                warnings.push(format!("{by}: {:?} matches no file", glob.glob()));
            }
        }
        let path = |named: crate::stack::Named| named.path;
        let spec = StackSpec {
            stack: stack.name.clone(),
            project: layout.project,
            compose_files: layout.compose_files.into_iter().map(path).collect(),
            env_files: layout.env_files.into_iter().map(path).collect(),
            folder: layout.project_folder,
            directory: host.dirs.get(&stack.name).cloned(),
            profiles: layout.profiles,
            values: layout.values,
            allow_undefined: stack.allow_undefined.clone(),
            exclude: stack.exclude.clone(),
            files: Vec::new(),
            probes: stack.probes.clone(),
            deadlines: stack.deadlines.clone(),
            hooks: stack.hooks.iter().map(|it| it.hook.clone()).collect(),
        };
        let mut bundle = Self {
            spec,
            content: BTreeMap::new(),
            warnings,
            set_in_shell: shell.names(),
            folder: layout.folder,
            dotenv: layout.dotenv,
            default_project: layout.default_project,
        };
        bundle.take(gatherer)?;
        bundle.warn_of_shell(shell);
        Ok(bundle)
    }

    /// The stack as it is described to an agent, with the names of what else there is in its folder.
    #[must_use]
    pub fn offer(&self) -> StackOffer {
        let mut available = available::files(&self.folder, &self.spec.exclude);
        let shipped = |path: &RelPath| self.spec.files.binary_search_by(|it| it.path.cmp(path));
        available.retain(|path| shipped(path).is_err());
        StackOffer {
            spec: self.spec.clone(),
            available,
            default_project: self.default_project.clone(),
        }
    }

    /// Adds those of `paths` that exist, folders with everything in them, and returns what was not in
    /// the bundle before.
    ///
    /// # Errors
    /// When one of them leads out of the stack, cannot be read, or makes the bundle too large.
    pub fn add_wanted(&mut self, paths: &[String]) -> Result<Vec<ShippedFile>, BundleError> {
        let mut gatherer = Gatherer::new(&self.folder, &self.spec.exclude)?;
        for path in paths {
            gatherer.wanted(path, "the Compose files")?;
        }
        self.take(gatherer)
    }

    /// Hashes what was gathered and is new.
    fn take(&mut self, gatherer: Gatherer) -> Result<Vec<ShippedFile>, BundleError> {
        let mut found = gatherer.finish();
        let known = |path: &RelPath| self.spec.files.binary_search_by(|file| file.path.cmp(path));
        found.retain(|path, _| known(path).is_err());
        let stack = self.spec.stack.as_str();
        limits::check(stack, &self.spec.files, &found)?;
        let mut added = Vec::with_capacity(found.len());
        for (path, found) in found {
            let (blob, size, source) = digest::read(&found.real).map_err(|source| {
                let (path, by) = (path.to_string(), found.by);
                BundleError::Unreadable { path, by, source }
            })?;
            added.push(ShippedFile {
                path,
                mode: found.mode,
                size,
                blob,
            });
            self.content.entry(blob).or_insert(source);
        }
        self.spec.files.extend(added.iter().cloned());
        self.spec.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.check_process_names()?;
        // A file that grew while it was read counts with what was read.
        limits::check(stack, &self.spec.files, &BTreeMap::new())?;
        Ok(added)
    }
}
