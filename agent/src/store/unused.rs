//! What is on the host and how long nobody has used it, for the sweep; and its removal.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::id::{BlobId, DeployId, RevisionId, StackName, StageId};

use super::{Blobs, Stage, Store, list};
use crate::clock;
use crate::deploy;
use crate::files::{self, FileError};

/// Using a file and removing an unused one exclude each other: what was found a moment ago is not gone the next.
#[derive(Clone, Default)]
pub(super) struct Claims(Arc<Mutex<()>>);

impl Claims {
    /// Whether the file is there; if it is, it counts as used now.
    fn claim(&self, path: &Path) -> bool {
        let _alone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clock::mark_used(path).is_ok()
    }

    fn remove_unused_for(&self, path: &Path, least: Duration) -> Result<(), FileError> {
        let _alone = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match age(path)? {
            Some(age) if age >= least => files::remove(path),
            _ => Ok(()),
        }
    }
}

fn age(path: &Path) -> Result<Option<Duration>, FileError> {
    match clock::unused_for(path) {
        Ok(age) => Ok(Some(age)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new("look at", path, error)),
    }
}

impl Blobs {
    /// Whether the content is here; if it is, no sweep takes it for a day.
    #[must_use]
    pub fn claim(&self, blob: &BlobId) -> bool {
        self.claims.claim(&self.path(blob))
    }

    /// Every content here, with how long nobody has used it.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn ages(&self) -> Result<BTreeMap<BlobId, Duration>, FileError> {
        let mut ages = BTreeMap::new();
        for shard in list(&self.root)? {
            if shard.len() != 2 {
                continue;
            }
            for name in list(&self.root.join(shard))? {
                if let Ok(blob) = name.parse() {
                    let age = age(&self.path(&blob))?;
                    ages.extend(age.map(|age| (blob, age)));
                }
            }
        }
        Ok(ages)
    }

    /// Removes a content, unless somebody has used it since.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_unused_for(&self, blob: &BlobId, least: Duration) -> Result<(), FileError> {
        self.claims.remove_unused_for(&self.path(blob), least)
    }
}

impl Store {
    /// Removes what hooks of a deploy have printed.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_saved(&self, deploy: &DeployId) -> Result<(), FileError> {
        let folder = self.deploy_folder(deploy);
        for name in list(&folder)?.iter().filter(|name| deploy::is_saved(name)) {
            files::remove(&folder.join(name))?;
        }
        Ok(())
    }

    /// A stage that is used again: no sweep takes it for a day.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn claim_stage(&self, id: &StageId) -> Result<Option<Stage>, FileError> {
        if self.blobs.claims.claim(&self.stage_path(id)) {
            self.stage(id)
        } else {
            Ok(None)
        }
    }

    /// Every stage, with how long nobody has used it.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn stages(&self) -> Result<BTreeMap<StageId, Duration>, FileError> {
        let mut stages = BTreeMap::new();
        for name in list(&self.root.join("stages"))? {
            let id = name.strip_suffix(".json").and_then(|id| id.parse().ok());
            if let Some(id) = id {
                let age = age(&self.stage_path(&id))?;
                stages.extend(age.map(|age| (id, age)));
            }
        }
        Ok(stages)
    }

    /// Removes a stage, unless somebody has used it since.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_stage_unused_for(&self, id: &StageId, least: Duration) -> Result<(), FileError> {
        let path = self.stage_path(id);
        self.blobs.claims.remove_unused_for(&path, least)
    }

    /// Forgets which paths Compose files name: they are found out again when somebody asks.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_paths_unused_for(&self, least: Duration) -> Result<(), FileError> {
        let folder = self.root.join("stages");
        let names = list(&folder)?.into_iter();
        for name in names.filter(|name| name.ends_with(".paths")) {
            let path = folder.join(name);
            self.blobs.claims.remove_unused_for(&path, least)?;
        }
        Ok(())
    }

    /// Forgets a kept revision.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_revision(&self, stack: &StackName, id: &RevisionId) -> Result<(), FileError> {
        files::remove(&self.revision_path(stack, id))
    }

    /// Every deploy that has not ended.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn works(&self) -> Result<Vec<DeployId>, FileError> {
        let names = list(&self.root.join("work"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// How long nothing has happened to a deploy.
    ///
    /// # Errors
    /// When its folder cannot be read.
    pub fn deploy_unused_for(&self, deploy: &DeployId) -> Result<Duration, FileError> {
        let folder = self.deploy_folder(deploy);
        let journal: PathBuf = folder.join("events.jsonl");
        let age_of_folder = || age(&folder).map(Option::unwrap_or_default);
        age(&journal)?.map_or_else(age_of_folder, Ok)
    }

    /// Forgets a deploy.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_deploy(&self, deploy: &DeployId) -> Result<(), FileError> {
        let folder = self.deploy_folder(deploy);
        std::fs::remove_dir_all(&folder).map_err(|error| FileError::new("remove", &folder, error))
    }
}
