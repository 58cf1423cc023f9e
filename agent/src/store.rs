//! The agent's state directory: blobs, staged stacks, revisions, deploys; one agent at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, StackName};
use proto::stack::StackSpec;

use crate::audit::Audit;
use crate::files::{self, FileError};
use crate::hostkey::HostKey;

mod blobs;
mod format;
mod pulled;
mod reserve;
mod revisions;
mod stages;
mod unused;

pub use blobs::{BlobWriter, Blobs};
pub use format::Newer;
pub use pulled::{Pulled, PulledName};
pub use reserve::Reserve;
pub use revisions::{Applied, AsFound, ImagePin, Revision, Took};
pub use stages::{Inputs, Stage};

/// Handle on the state directory; holds its lock while it lives.
pub struct Store {
    root: PathBuf,
    key: HostKey,
    blobs: Blobs,
    audit: Arc<Audit>,
    newer: Option<Newer>,
    pulled: Pulled,
    _lock: File,
}

impl Store {
    /// Opens the directory and makes what is missing.
    ///
    /// # Errors
    /// When it cannot be used, or another agent uses it.
    pub fn open(root: &Path) -> Result<Self, Fault> {
        for folder in ["", "stages", "stacks", "deploys", "staging", "work"] {
            files::private_dir(&root.join(folder))?;
        }
        let lock = lock(&root.join("lock"))?;
        let newer = format::settle(root)?;
        let key = HostKey::load_or_create(&root.join("key"))?;
        let blobs = Blobs::open(&root.join("blobs"))?;
        let store = Self {
            root: root.to_owned(),
            key,
            blobs,
            audit: Arc::new(Audit::open(&root.join("audit"))),
            newer,
            pulled: Pulled::at(root.join("pulled.json")),
            _lock: lock,
        };
        if let Some(newer) = store.newer() {
            tracing::error!(fault = %newer.fault(), "this agent only reads");
            return Ok(store);
        }
        store.clear_staging()?;
        if let Err(error) = store.reserve().fill() {
            // Who deploys is told.
            tracing::error!(%error, source = ?std::error::Error::source(&error), "no room is kept for emergencies");
        }
        Ok(store)
    }

    /// Who has to be asked for changes, where a newer agent wrote what is here.
    #[must_use]
    pub fn newer(&self) -> Option<&Newer> {
        self.newer.as_ref()
    }

    /// Whether this agent may change what is here.
    ///
    /// # Errors
    /// When a newer agent wrote it: what this one does not know of would be lost.
    pub fn writable(&self) -> Result<(), Fault> {
        self.newer
            .as_ref()
            .map_or(Ok(()), |newer| Err(newer.fault()))
    }

    /// Half-made staging folders of an agent that was killed.
    fn clear_staging(&self) -> Result<(), FileError> {
        let folder = self.root.join("staging");
        std::fs::remove_dir_all(&folder).map_err(|e| FileError::new("clear", &folder, e))?;
        files::private_dir(&folder)
    }

    /// The state directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Image names that longshore has pulled.
    #[must_use]
    pub fn pulled(&self) -> &Pulled {
        &self.pulled
    }

    /// Room kept for the end of deploys.
    #[must_use]
    pub fn reserve(&self) -> Reserve {
        Reserve::of(&self.root)
    }

    /// The host's secret for keyed ids.
    #[must_use]
    pub fn key(&self) -> &HostKey {
        &self.key
    }

    /// The record of every changing call.
    #[must_use]
    pub fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// File contents by digest.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Where a stack's project lives unless the host says otherwise; stays in place for good.
    #[must_use]
    pub fn project_directory(&self, stack: &StackName) -> PathBuf {
        self.stack_folder(stack).join("project")
    }

    /// Where a stack's project lives.
    #[must_use]
    pub fn directory_of(&self, spec: &StackSpec) -> PathBuf {
        let elsewhere = spec.directory.as_ref().map(|it| it.as_path().to_owned());
        elsewhere.unwrap_or_else(|| self.project_directory(&spec.stack))
    }

    /// A fresh private folder to lay a stack out in; its owner removes it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn staging_folder(&self) -> Result<tempdir::TempDir, FileError> {
        tempdir::TempDir::new(&self.root.join("staging"))
    }

    /// The journal folder of a deploy.
    #[must_use]
    pub fn deploy_folder(&self, deploy: &DeployId) -> PathBuf {
        self.root.join("deploys").join(deploy.to_string())
    }

    /// What an unfinished deploy needs to go on; may hold secrets, and goes with the deploy's end.
    #[must_use]
    pub fn work_folder(&self, deploy: &DeployId) -> PathBuf {
        self.root.join("work").join(deploy.to_string())
    }

    /// Every stack that has a folder here.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn stacks(&self) -> Result<Vec<StackName>, FileError> {
        let names = list(&self.root.join("stacks"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Every deploy that has a folder here.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn deploys(&self) -> Result<Vec<DeployId>, FileError> {
        let names = list(&self.root.join("deploys"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn stack_folder(&self, stack: &StackName) -> PathBuf {
        self.root.join("stacks").join(stack.as_str())
    }
}

fn list(folder: &Path) -> Result<Vec<String>, FileError> {
    let read = |error| FileError::new("list", folder, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        names.extend(entry.map_err(read)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn lock(path: &Path) -> Result<File, Fault> {
    let file = File::create(path).map_err(|error| FileError::new("create", path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Fault::new(
            FaultKind::Refused,
            format!(
                "another agent already uses {}",
                path.with_file_name("").display()
            ),
        )
        .hint("stop the other one first: systemctl stop longshore-agent")),
        Err(TryLockError::Error(error)) => Err(FileError::new("lock", path, error).into()),
    }
}

/// Temporary folders that vanish with their owner.
pub mod tempdir {
    use std::path::{Path, PathBuf};

    use crate::files::{self, FileError};

    /// A folder of mode 0700, removed on drop.
    pub struct TempDir(PathBuf);

    impl TempDir {
        pub(super) fn new(parent: &Path) -> Result<Self, FileError> {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(|error| {
                let error = std::io::Error::other(error.to_string());
                FileError::new("name", parent, error)
            })?;
            let path = parent.join(format!("{:016x}", u64::from_le_bytes(random)));
            files::private_dir(&path)?;
            Ok(Self(path))
        }

        /// Where it is.
        #[must_use]
        pub fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            if let Err(error) = std::fs::remove_dir_all(&self.0) {
                tracing::warn!(path = %self.0.display(), %error, "a staging folder stays until the next start");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_while_the_first_lives() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open(folder.path()).unwrap();
        let fault = Store::open(folder.path()).err().unwrap();
        assert!(
            fault.what.starts_with("another agent already uses"),
            "{fault}"
        );
        drop(first);
        Store::open(folder.path()).unwrap();
    }

    #[test]
    fn a_staging_folder_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let staging = store.staging_folder().unwrap();
        let path = staging.path().to_owned();
        assert!(path.is_dir());
        drop(staging);
        assert!(!path.exists());
    }
}
