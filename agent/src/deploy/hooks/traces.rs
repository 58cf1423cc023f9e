//! What a hook leaves behind when the agent dies under it, on disk before it begins, and how that is cleared up.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Job;
use super::output::remove_parts;
use crate::files::{self, FileError};
use crate::record;

/// What may be left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::deploy) enum Trace {
    /// A command in a running container, by the engine's id for it.
    Exec(String),
    /// A container, by its name.
    Container(String),
}

impl Trace {
    fn path(folder: &Path) -> PathBuf {
        folder.join("hook.json")
    }

    /// That of a hook that was begun and whose end was not noticed.
    pub(in crate::deploy) fn load(folder: &Path) -> Result<Option<Self>, FileError> {
        record::read(&Self::path(folder))
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), FileError> {
        record::write(&Self::path(folder), self)
    }

    pub(super) fn forget(folder: &Path) -> Result<(), FileError> {
        files::remove(&Self::path(folder))
    }
}

impl Job {
    /// Ends what a hook of an earlier agent may still be doing. What cannot be ended holds up nobody.
    pub(in crate::deploy) async fn clear_traces(&self) {
        remove_parts(&self.store.deploy_folder(&self.deploy));
        let trace = match Trace::load(&self.folder()) {
            Ok(None) => return,
            Ok(Some(trace)) => trace,
            Err(error) => {
                self.warn(format!("{error}: a hook of this deploy may still run"));
                return;
            }
        };
        if self.wait_for_engine().await.is_err() && self.stopping.is_cancelled() {
            return;
        }
        let ended = match &trace {
            Trace::Exec(exec) => self.engine.end_exec(exec).await,
            Trace::Container(name) => self.engine.remove_container(name).await,
        };
        if let Err(error) = ended {
            self.warn(format!("a hook of this deploy may still run: {error}"));
        }
        if let Err(error) = Trace::forget(&self.folder()) {
            tracing::warn!(%error, "a record of a hook stays");
        }
    }
}
