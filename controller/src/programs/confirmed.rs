//! Which programs somebody has allowed `fleet.toml` to run on this workstation: an empty file for each, named
//! after the digest of its words. There is nothing in them to be damaged, and two commands cannot lose each
//! other's answers.

use std::io;
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use sha2::{Digest, Sha256};

use crate::private::{self, FileError};

/// Programs that were confirmed for one fleet.
#[derive(Debug, Clone)]
pub(crate) struct Confirmed {
    folder: PathBuf,
}

/// The memory of confirmed programs cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell which programs were confirmed here")]
pub(crate) struct MemoryError(#[from] FileError);

impl From<MemoryError> for Fault {
    fn from(error: MemoryError) -> Self {
        let fault = Self::new(FaultKind::Failed, error.to_string()).because(&error.0);
        match error.0 {
            // Whoever can add a file there can have any program run.
            FileError::Exposed { path, .. } => fault.hint(format!("chmod go= {}", path.display())),
            _ => fault,
        }
    }
}

impl Confirmed {
    /// The memory in `folder`, which is made when something is first remembered.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Whether somebody has confirmed exactly these words.
    ///
    /// # Errors
    /// When others have access to the memory, or it cannot be read.
    pub(crate) fn knows(&self, argv: &[String]) -> Result<bool, MemoryError> {
        private::check(&self.folder)?;
        let path = self.path(argv);
        match path.symlink_metadata() {
            Ok(there) => Ok(there.is_file()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(unreadable(&path, source).into()),
        }
    }

    /// Remembers these words.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add(&self, argv: &[String]) -> Result<(), MemoryError> {
        private::create_folder(&self.folder)?;
        Ok(private::write_secret(&self.path(argv), "")?)
    }

    fn path(&self, argv: &[String]) -> PathBuf {
        self.folder.join(digest(argv))
    }
}

fn unreadable(path: &Path, source: io::Error) -> FileError {
    FileError::Io {
        verb: "read",
        path: path.to_owned(),
        source,
    }
}

/// Each word with its length in front: no two lists of words have the same digest.
fn digest(argv: &[String]) -> String {
    let mut digest = Sha256::new();
    for word in argv {
        digest.update((word.len() as u64).to_be_bytes());
        digest.update(word);
    }
    let bytes = digest.finalize();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn exactly_what_was_confirmed_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let confirmed = Confirmed::new(dir.path().join("a/commands"));
        assert!(!confirmed.knows(&words("pass show db")).unwrap());
        confirmed.add(&words("pass show db")).unwrap();
        confirmed.add(&words("pass show db")).unwrap();
        let again = Confirmed::new(dir.path().join("a/commands"));
        assert!(again.knows(&words("pass show db")).unwrap());
        for other in ["pass show", "pass show d b", "passshow db", "pass show db "] {
            assert!(!again.knows(&words(other)).unwrap(), "{other}");
        }
        assert!(!again.knows(&["pass show db".to_owned()]).unwrap());
        let file = again.path(&words("pass show db"));
        assert_eq!((mode(&again.folder), mode(&file)), (0o700, 0o600));
    }

    #[test]
    fn a_memory_that_others_may_change_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let confirmed = Confirmed::new(dir.path().join("commands"));
        confirmed.add(&words("pass")).unwrap();
        fs::set_permissions(&confirmed.folder, PermissionsExt::from_mode(0o770)).unwrap();
        let fault = Fault::from(confirmed.knows(&words("pass")).unwrap_err());
        assert!(fault.hints[0].starts_with("chmod go= "), "{fault:?}");
    }

    #[test]
    fn a_memory_that_is_no_folder_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("commands");
        private::write_secret(&path, "something").unwrap();
        let confirmed = Confirmed::new(path.clone());
        assert!(confirmed.knows(&words("pass")).is_err());
        assert!(confirmed.add(&words("pass")).is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "something");
    }
}
