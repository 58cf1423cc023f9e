//! Which image names longshore has pulled: only those may go again when nothing needs them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::files::FileError;
use crate::record;

/// What is known of a name, by the image that it was pulled for.
type Names = BTreeMap<String, BTreeMap<String, PulledName>>;

/// When a name was pulled, and whether a revision has had it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulledName {
    /// Unix milliseconds.
    pub at_millis: u64,
    /// Whether it was part of a committed revision once.
    pub committed: bool,
}

/// The record of them.
#[derive(Debug)]
pub struct Pulled {
    path: PathBuf,
    /// Several images are pulled at once.
    writing: Mutex<()>,
}

impl Pulled {
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path,
            writing: Mutex::default(),
        }
    }

    /// All names, each with the images that it was pulled for. A record that is damaged is empty: its names stay on the
    /// host.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn all(&self) -> Result<Names, FileError> {
        match record::read(&self.path) {
            Err(error) if error.is_damaged() => {
                tracing::error!(%error, "names of images stay");
                Ok(Names::default())
            }
            read => Ok(read?.unwrap_or_default()),
        }
    }

    /// Notes that `name` was pulled, and stood for the image `id` then.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn note(&self, name: &str, id: &str) -> Result<(), FileError> {
        let pulled = PulledName {
            at_millis: clock::unix_millis(),
            committed: false,
        };
        self.change(|names| {
            let images = names.entry(name.to_owned()).or_default();
            images.insert(id.to_owned(), pulled);
        })
    }

    /// Writes what `change` makes of the record, if it makes anything else of it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn change(&self, change: impl FnOnce(&mut Names)) -> Result<(), FileError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.all()?;
        let mut names = before.clone();
        change(&mut names);
        names.retain(|_, images| !images.is_empty());
        if names == before {
            return Ok(());
        }
        record::write(&self.path, &names)
    }
}
