//! Files that identities live in: written whole or not at all, and secret ones readable by their owner only.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use zeroize::Zeroizing;

/// Nothing that is read here is longer; a device or a log named by mistake must not fill the memory.
const LONGEST: u64 = 1024 * 1024;
const OTHERS: u32 = 0o077;
/// Whoever changes a folder's files is done within milliseconds; tries to lock it, and how long apart they are.
const TRIES: u32 = 500;
const APART: Duration = Duration::from_millis(10);

/// A file could not be read, written or trusted.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system said no.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// `read`, `write`, `create`.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Somebody else owns a private file.
    #[error("{} belongs to user {owner}, not to the agent's", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Its user id.
        owner: u32,
    },
    /// Others can read a private file.
    #[error("{} holds a secret and others may read it (mode {mode:04o})", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not the kind of file that was meant.
    #[error("{} {why}", path.display())]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl FileError {
    fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    /// Whether the file simply does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl From<FileError> for Fault {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Io { source, .. } => {
                Self::new(FaultKind::Failed, error.to_string()).cause(source.to_string())
            }
            FileError::Exposed { path, .. } => Self::new(FaultKind::Denied, error.to_string())
                .hint(format!("chmod go= {}", path.display()))
                .hint("if others could have read it, replace the identity it holds"),
            FileError::Foreign { path, .. } => Self::new(FaultKind::Denied, error.to_string())
                .hint(format!("chown root: {}", path.display())),
            FileError::Unfit { .. } => Self::new(FaultKind::Failed, error.to_string()),
        }
    }
}

/// Reads a secret; a file that others may read is refused.
///
/// # Errors
/// When it is missing, unreadable, open to others or not text.
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let file = File::open(path).map_err(FileError::io("read", path))?;
    check_mode(path, &file.metadata().map_err(FileError::io("read", path))?)?;
    read_text(path, file)
}

/// Reads a file that anyone may see.
///
/// # Errors
/// When it is missing, unreadable or not text.
pub fn read(path: &Path) -> Result<String, FileError> {
    let file = File::open(path).map_err(FileError::io("read", path))?;
    Ok(read_text(path, file)?.to_string())
}

fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), FileError> {
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        let path = path.to_owned();
        return Err(FileError::Exposed { path, mode });
    }
    // Whoever owns a file can replace it, whatever its mode.
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        let path = path.to_owned();
        return Err(FileError::Foreign { path, owner });
    }
    Ok(())
}

fn read_text(path: &Path, file: File) -> Result<Zeroizing<String>, FileError> {
    let mut text = Zeroizing::new(String::new());
    let unfit = |why| FileError::Unfit {
        path: path.to_owned(),
        why,
    };
    match file.take(LONGEST + 1).read_to_string(&mut text) {
        Ok(bytes) if bytes as u64 > LONGEST => Err(unfit("is far too long")),
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(unfit("is not text")),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

/// Puts a secret in place, readable by its owner only.
///
/// # Errors
/// When any step fails; the old file then stays.
pub fn write_secret(path: &Path, text: &str) -> Result<(), FileError> {
    replace(path, text, 0o600).map_err(FileError::io("write", path))
}

fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent.join(format!(".{name}.{:016x}", u64::from_be_bytes(suffix)));
    let result = write_new(&temporary, text, mode)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(parent)?.sync_all());
    if result.is_err() {
        // After a successful rename there is nothing to remove, and that is fine.
        fs::remove_file(&temporary).ok();
    }
    result
}

fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Makes a folder, and those above it, that only its owner may enter; one that exists is left as it is.
///
/// # Errors
/// When it cannot be made.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(FileError::io("create", path))
}

/// Keeps other processes from changing a folder's files for as long as the result lives; 5 s at most are waited for
/// it. `None` when there is no such folder.
///
/// # Errors
/// When somebody else keeps it, or it cannot be opened.
pub fn lock(folder: &Path) -> Result<Option<File>, FileError> {
    let file = match File::open(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(FileError::io("read", folder))?,
    };
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) => thread::sleep(APART),
            Err(TryLockError::Error(error)) => return Err(FileError::io("lock", folder)(error)),
        }
    }
    Err(FileError::Unfit {
        path: folder.to_owned(),
        why: "is being changed by somebody else",
    })
}

/// Removes a file; one that is gone already is fine.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_for_its_owner_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "old").unwrap();
        write_secret(&path, "new").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(read_secret(&path).unwrap().as_str(), "new");
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no leftovers"
        );
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_secret(&path, "canary").unwrap();
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_secret(&path).unwrap_err();
            assert!(matches!(error, FileError::Exposed { .. }), "{error}");
            let fault = Fault::from(error);
            assert_eq!(fault.kind, FaultKind::Denied);
            assert!(!format!("{fault:?}").contains("canary"));
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("by a folder")).unwrap();
        assert!(write_secret(&path, "text").is_err());
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no leftovers"
        );
    }
}
