//! Private files of the agent's state: written whole or not at all.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use proto::fault::{Fault, FaultKind};

use crate::witness;
use crate::witness::disk::{self, Call};

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

    /// Whether there is no room for it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        no_room(&self.source)
    }

    /// Whether nothing may be written there at all.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.source.kind() == io::ErrorKind::ReadOnlyFilesystem
    }

    /// Whether the file is simply not there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Whether a call failed because the disk has no space, or no more files, for us.
#[must_use]
pub fn no_room(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        let full = error.is_full();
        let fault = Self::new(FaultKind::Failed, error.to_string()).cause(error.source.to_string());
        if error.damaged {
            fault.hint("its disk or a person has changed it; a copy of it from a backup mends it")
        } else if full {
            fault.hint("free some space on the host (df -h and df -i tell where), then run the same command again")
        } else {
            fault
        }
    }
}

/// Makes a folder that only root may enter, with its parents; it is there after a power cut.
///
/// # Errors
/// When the file system refuses.
pub fn private_dir(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        private_dir(parent)?;
    }
    let make = || -> io::Result<()> {
        disk::ask(Call::Make, path)?;
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync_parent(path),
        }
    };
    make().map_err(|error| FileError::new("create folder", path, error))
}

/// Makes a file of mode 0600, or empties the one that is there.
///
/// # Errors
/// When the file system refuses.
pub fn create_private(path: &Path) -> Result<File, FileError> {
    let make = || {
        disk::ask(Call::Make, path)?;
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        open.open(path)
    };
    make().map_err(|error| FileError::new("create", path, error))
}

/// Writes a file of mode 0600: readers see the old content or the new, also after a power cut.
///
/// # Errors
/// When the file system refuses; the old file is then untouched.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = path.with_extension("tmp");
    let _turn = Turn::take(&temporary);
    let write = || -> io::Result<()> {
        disk::ask(Call::Make, &temporary)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        disk::write(&mut file, &temporary, content)?;
        disk::ask(Call::Sync, &temporary)?;
        file.sync_all()?;
        witness::changed(&temporary);
        disk::ask(Call::Rename(&temporary), path)?;
        fs::rename(&temporary, path)?;
        sync_parent(path)
    };
    if let Err(error) = write() {
        // What is half written holds space that may be short.
        drop(fs::remove_file(&temporary));
        return Err(FileError::new("write", path, error));
    }
    witness::changed(path);
    Ok(())
}

/// The passing names in use. Two who write one record at the same time would write into one file, and the second would
/// find it gone. Nobody else writes here: the state directory has one agent.
static TAKEN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
static LEFT: Condvar = Condvar::new();

/// The right to a passing name, until dropped.
struct Turn<'a>(&'a Path);

impl<'a> Turn<'a> {
    fn take(name: &'a Path) -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while !taken.get_or_insert_default().insert(name.to_owned()) {
            taken = LEFT.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        Self(name)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get_or_insert_default().remove(self.0);
        LEFT.notify_all();
    }
}

/// Makes what a folder lists durable: what was made, renamed or removed in it.
///
/// # Errors
/// When the file system refuses.
pub fn sync_dir(folder: &Path) -> io::Result<()> {
    disk::ask(Call::SyncDir, folder)?;
    File::open(folder)?.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_dir)
}

/// Reads a file whole.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    disk::ask(Call::Read, path)
        .and_then(|()| fs::read(path))
        .map_err(|error| FileError::new("read", path, error))
}

/// Removes a file; gone already is success.
///
/// # Errors
/// When the file system refuses.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match disk::ask(Call::Remove, path).and_then(|()| fs::remove_file(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::new("remove", path, error))
        }
        _ => {
            witness::changed(path);
            Ok(())
        }
    }
}

/// Removes a file whose being gone is a fact that others build on, also after a power cut.
///
/// # Errors
/// When the file system refuses.
pub fn remove_for_good(path: &Path) -> Result<(), FileError> {
    remove(path)?;
    sync_parent(path).map_err(|error| FileError::new("remove", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_write_one_file_at_once_all_succeed_and_it_is_whole_at_any_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.json");
        let contents = ["a".repeat(9_000), "b".repeat(20)];
        write_private(&path, contents[0].as_bytes()).unwrap();
        std::thread::scope(|scope| {
            for content in &contents {
                let (path, contents) = (&path, &contents);
                scope.spawn(move || {
                    for _ in 0..100 {
                        write_private(path, content.as_bytes()).unwrap();
                        let read = String::from_utf8(read(path).unwrap()).unwrap();
                        assert!(contents.contains(&read), "{} bytes", read.len());
                    }
                });
            }
        });
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1);
    }
}
