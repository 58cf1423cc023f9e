//! Private files of the agent's state: written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};

use crate::witness;

/// A failure of the state directory.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct FileError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
    damaged: bool,
}

impl FileError {
    /// Names what was done, and to which file.
    #[must_use]
    pub fn new(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            verb,
            path: path.to_owned(),
            source,
            damaged: false,
        }
    }

    /// The file can be read, and is not what was written.
    #[must_use]
    pub fn damaged(path: &Path, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            damaged: true,
            ..Self::new("understand", path, io::Error::other(why))
        }
    }

    /// Whether the file is there, and not what was written.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        let full = error.source.kind() == io::ErrorKind::StorageFull;
        let fault = Self::new(FaultKind::Failed, error.to_string()).cause(error.source.to_string());
        if error.damaged {
            fault.hint("its disk or a person has changed it; a copy of it from a backup mends it")
        } else if full {
            fault.hint("free some space on the host, then run the same command again")
        } else {
            fault
        }
    }
}

/// Makes a folder that only root may enter, with its parents.
///
/// # Errors
/// When the file system refuses.
pub fn private_dir(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| FileError::new("create folder", path, error))
}

/// Writes a file of mode 0600: readers see the old content or the new, also after a power cut.
///
/// # Errors
/// When the file system refuses; the old file is then untouched.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        witness::changed(&temporary);
        fs::rename(&temporary, path)?;
        sync_parent(path)
    };
    write().map_err(|error| FileError::new("write", path, error))?;
    witness::changed(path);
    Ok(())
}

/// Makes a rename in `path`'s folder durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Reads a file whole.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|error| FileError::new("read", path, error))
}

/// Removes a file; gone already is success.
///
/// # Errors
/// When the file system refuses.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path, error))
        }
        _ => {
            witness::changed(path);
            Ok(())
        }
    }
}
