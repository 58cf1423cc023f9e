//! Staged stacks: what a controller brought, with what Compose made of it, kept by keyed digest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::id::{BlobId, StageId};
use proto::stack::StackSpec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Store;
use crate::engine::Named;
use crate::files::FileError;
use crate::record;
use crate::resolved::ResolvedStack;

/// A stack that is wholly on the host and resolves. Holds secret values, so its file is private.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stage {
    /// Names exactly this content, read by this Compose, for this directory.
    pub id: StageId,
    /// What was brought.
    pub spec: StackSpec,
    /// What Compose made of it.
    pub resolved: ResolvedStack,
    /// Compose's warnings.
    pub warnings: Vec<String>,
    /// What else there is to know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Which Compose.
    pub compose_version: String,
    /// The folder that its files are laid out in, and that it was resolved for.
    pub directory: PathBuf,
}

/// What a resolution depends on besides the stack itself.
#[derive(Debug, Serialize)]
pub struct Inputs<'a> {
    /// Which Compose.
    pub compose: &'a str,
    /// Where the stack's files will be.
    pub directory: &'a Path,
    /// What files of the host hold that it reads; `None` for one that cannot be read.
    pub host: &'a BTreeMap<PathBuf, Option<BlobId>>,
    /// The resolution itself, where it may depend on files that nobody can name.
    pub outcome: Option<&'a serde_json::Value>,
}

impl Stage {
    /// Whether the first agents would misread it.
    fn needs_a_newer_agent(&self) -> bool {
        let odd = |name: &str| name.len() > 63 || name.starts_with(['_', '.']);
        let mut services = self.resolved.services.iter();
        self.spec.folder.is_some()
            || self.spec.env_files.len() > 1
            || services.any(|service| odd(service.name.as_str()))
    }

    /// Compose's project directory: where relative paths of the Compose files start.
    #[must_use]
    pub fn project_directory(&self) -> PathBuf {
        match &self.spec.folder {
            Some(folder) => folder.under(&self.directory),
            None => self.directory.clone(),
        }
    }
}

impl Store {
    /// The id of a stack's content; changes with anything that could change the resolution.
    #[must_use]
    pub fn stage_id(&self, spec: &StackSpec, inputs: &Inputs<'_>) -> StageId {
        // The number goes up with what is read from a resolution, so that an older reading is not taken for it.
        StageId::from_bytes(self.key().id("stage 7", &(spec, inputs)))
    }

    pub(super) fn stage_path(&self, id: &StageId) -> PathBuf {
        self.root.join("stages").join(format!("{id}.json"))
    }

    /// A stage by id; `None` when it is not known here.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn stage(&self, id: &StageId) -> Result<Option<Stage>, FileError> {
        remembered(&self.stage_path(id))
    }

    /// Keeps a stage.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save_stage(&self, stage: &Stage) -> Result<(), FileError> {
        if stage.needs_a_newer_agent() {
            super::format::raise(&self.root)?;
        }
        record::write(&self.stage_path(&stage.id), stage)
    }

    /// What Compose files name, remembered by the files' content so that an unchanged stack starts no process.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn named(&self, key: &str) -> Result<Option<Named>, FileError> {
        remembered(&self.root.join("stages").join(format!("{key}.paths")))
    }

    /// Remembers [`Self::named`].
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save_named(&self, key: &str, named: &Named) -> Result<(), FileError> {
        record::write(
            &self.root.join("stages").join(format!("{key}.paths")),
            named,
        )
    }
}

/// What was only remembered is made anew when it is damaged.
fn remembered<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    match record::read(path) {
        Err(error) if error.is_damaged() => {
            tracing::error!(%error, "making it anew");
            // A folder in its place could not be written over.
            if path.is_dir() {
                let gone = std::fs::remove_dir_all(path);
                gone.map_err(|error| FileError::new("remove", path, error))?;
            }
            Ok(None)
        }
        read => read,
    }
}
