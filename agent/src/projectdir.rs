//! The project directory: shipped files replaced one by one and atomically, never through a symbolic link.
//!
//! Containers may write into bound folders, so a path inside the directory is hostile: every step down is taken
//! by `walk`, which follows no link.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::path::RelPath;
use proto::stack::ShippedFile;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::store::Blobs;
use crate::witness;
use crate::witness::disk::{self, Call};

mod taken;
mod walk;

pub use taken::Taken;

/// A failure inside the project directory.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {path} in {}", directory.display())]
struct ProjectError {
    verb: &'static str,
    path: String,
    directory: PathBuf,
    #[source]
    source: std::io::Error,
}

impl From<ProjectError> for Fault {
    fn from(error: ProjectError) -> Self {
        let link = matches!(error.source.raw_os_error(), Some(code)
            if [Errno::LOOP, Errno::XDEV].map(Errno::raw_os_error).contains(&code));
        let fault = Self::new(FaultKind::Failed, error.to_string()).cause(error.source.to_string());
        if error.source.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
            fault.hint(format!(
                "the agent's unit may write only where it says so: systemctl edit longshore-agent, [Service], ReadWritePaths={}",
                error.directory.display()
            ))
        } else if crate::files::no_room(&error.source) {
            fault.hint("free some space on the host (df -h and df -i tell where), then run the same command again")
        } else if link {
            fault.hint("a part of that path is a symbolic link on the host; longshore does not write through links")
        } else {
            fault
        }
    }
}

/// An open project directory.
pub struct ProjectDir {
    path: PathBuf,
    root: OwnedFd,
    /// Folders in which a name changed, which a power cut could still undo.
    unsettled: RefCell<BTreeSet<String>>,
}

impl ProjectDir {
    /// Opens the directory, making it if it is missing.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let failed = |source| ProjectError {
            verb: "open",
            path: ".".to_owned(),
            directory: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        Ok(Self {
            path: path.to_owned(),
            root,
            unsettled: RefCell::default(),
        })
    }

    fn error(&self, verb: &'static str, path: &RelPath, errno: Errno) -> Fault {
        let path = path.to_string();
        ProjectError {
            verb,
            path,
            directory: self.path.clone(),
            source: errno.into(),
        }
        .into()
    }

    fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        walk::open(&self.root, path, flags)
    }

    /// The folder that holds `path`, made if it is missing.
    fn parent(&self, path: &RelPath) -> Result<OwnedFd, Errno> {
        let folder = OFlags::DIRECTORY | OFlags::RDONLY;
        let Some((parents, _)) = path.as_str().rsplit_once('/') else {
            return self.open_beneath(".", folder);
        };
        match self.open_beneath(parents, folder) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        let mut here = self.open_beneath(".", folder)?;
        let mut walked = String::new();
        for part in parents.split('/') {
            match rustix::fs::mkdirat(&here, part, Mode::from_raw_mode(0o755)) {
                Ok(()) => {
                    let above = if walked.is_empty() { "." } else { &walked };
                    self.unsettled.borrow_mut().insert(above.to_owned());
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            walked = if walked.is_empty() {
                part.to_owned()
            } else {
                format!("{walked}/{part}")
            };
            here = self.open_beneath(&walked, folder)?;
        }
        Ok(here)
    }

    /// Replaces or makes one file; a reader sees the old or the new one.
    ///
    /// # Errors
    /// When the content is not in `blobs`, or the file system refuses.
    pub fn write(&self, file: &ShippedFile, blobs: &Blobs) -> Result<(), Fault> {
        let path = &file.path;
        let failed = |verb| move |errno| self.error(verb, path, errno);
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        let temporary = format!(".longshore-{}", file.blob.short());
        let parent = self.parent(path).map_err(failed("make the folder of"))?;
        remove_if_there(&parent, &temporary).map_err(failed("prepare"))?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let here = path.under(&self.path);
        let hidden = here.with_file_name(&temporary);
        self.ask(Call::Make, &hidden).map_err(failed("write"))?;
        let fd = rustix::fs::openat(
            &parent,
            temporary.as_str(),
            flags,
            Mode::from_raw_mode(0o600),
        )
        .map_err(failed("write"))?;
        let mut target = File::from(fd);
        let io = |verb| {
            move |error: std::io::Error| {
                self.error(
                    verb,
                    path,
                    Errno::from_io_error(&error).unwrap_or(Errno::IO),
                )
            }
        };
        let mut fill = || -> Result<(), Fault> {
            blobs.copy_to(&file.blob, &mut target, &hidden)?;
            // Set on the open file: the umask and a race for the name have no say.
            target
                .set_permissions(Permissions::from_mode(file.mode & 0o777))
                .map_err(io("set the mode of"))?;
            self.ask(Call::Sync, &hidden).map_err(failed("write"))?;
            target.sync_all().map_err(io("write"))?;
            let rename = Call::Rename(&hidden);
            self.ask(rename, &here).map_err(failed("replace"))?;
            rustix::fs::renameat(&parent, temporary.as_str(), &parent, name)
                .map_err(failed("replace"))
        };
        if let Err(fault) = fill() {
            // What is half written holds space that may be short.
            remove_if_there(&parent, &temporary).ok();
            return Err(fault);
        }
        self.note(path);
        witness::changed(&self.path);
        Ok(())
    }

    /// Whether the disk takes it; the error is the call's.
    fn ask(&self, call: Call<'_>, path: &Path) -> Result<(), Errno> {
        disk::ask(call, path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    fn note(&self, path: &RelPath) {
        let parent = path.as_str().rsplit_once('/').map_or(".", |(it, _)| it);
        self.unsettled.borrow_mut().insert(parent.to_owned());
    }

    /// Makes what was replaced and deleted durable: a record that says so may follow.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn settle(&self) -> Result<(), Fault> {
        for folder in self.unsettled.take() {
            let failed = |errno| {
                Fault::from(ProjectError {
                    verb: "sync",
                    path: folder.clone(),
                    directory: self.path.clone(),
                    source: Errno::into(errno),
                })
            };
            let here = match folder.as_str() {
                "." => self.path.clone(),
                below => self.path.join(below),
            };
            self.ask(Call::SyncDir, &here).map_err(failed)?;
            let flags = OFlags::DIRECTORY | OFlags::RDONLY;
            match self.open_beneath(&folder, flags) {
                Ok(open) => rustix::fs::fsync(open).map_err(failed)?,
                // Somebody removed it: nothing in it can come back.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// Whether the file on disk is exactly this one.
    #[must_use]
    pub fn holds(&self, file: &ShippedFile) -> bool {
        self.digest(&file.path).is_some_and(|(digest, mode)| {
            digest == *file.blob.as_bytes() && mode == file.mode & 0o777
        })
    }

    fn digest(&self, path: &RelPath) -> Option<([u8; 32], u32)> {
        let fd = self
            .open_beneath(path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK)
            .ok()?;
        let mut file = File::from(fd);
        let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = file.read(&mut buffer).ok()?;
            match buffer.get(..count) {
                Some([]) | None => break,
                Some(piece) => hash.update(piece),
            }
        }
        Some((hash.finalize().into(), meta.permissions().mode() & 0o777))
    }

    /// Deletes a file that left the stack, unless somebody changed it since it was shipped; says whether.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_if_ours(&self, file: &ShippedFile) -> Result<bool, Fault> {
        let Some((digest, _)) = self.digest(&file.path) else {
            return Ok(true);
        };
        if digest != *file.blob.as_bytes() {
            return Ok(false);
        }
        let failed = |errno| self.error("remove", &file.path, errno);
        let here = file.path.under(&self.path);
        self.ask(Call::Remove, &here).map_err(failed)?;
        let parent = self.parent(&file.path).map_err(failed)?;
        let name = file.path.as_str().rsplit('/').next().unwrap_or_default();
        remove_if_there(&parent, name).map_err(failed)?;
        self.note(&file.path);
        witness::changed(&self.path);
        Ok(true)
    }
}

fn remove_if_there(parent: &OwnedFd, name: &str) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use proto::id::BlobId;

    struct Case {
        _state: tempfile::TempDir,
        project: tempfile::TempDir,
        store: Store,
    }

    fn case() -> Case {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        Case {
            _state: state,
            project: tempfile::tempdir().unwrap(),
            store,
        }
    }

    fn ship(case: &Case, path: &str, mode: u32, content: &[u8]) -> ShippedFile {
        let blob = BlobId::from_bytes(Sha256::digest(content).into());
        let size = content.len() as u64;
        assert!(
            case.store
                .blobs()
                .receive(blob, size)
                .unwrap()
                .push(0, content)
                .unwrap()
        );
        ShippedFile {
            path: path.parse().unwrap(),
            mode,
            size,
            blob,
        }
    }

    #[test]
    fn a_file_is_written_with_its_folders_and_mode() {
        let case = case();
        let dir = ProjectDir::open(case.project.path()).unwrap();
        let file = ship(&case, "conf/deep/run.sh", 0o750, b"#!/bin/sh\n");
        dir.write(&file, case.store.blobs()).unwrap();
        assert!(dir.holds(&file));
        dir.write(
            &ship(&case, "conf/deep/run.sh", 0o640, b"new"),
            case.store.blobs(),
        )
        .unwrap();
        assert!(!dir.holds(&file));
        let names = std::fs::read_dir(case.project.path().join("conf/deep"))
            .unwrap()
            .count();
        assert_eq!(names, 1, "no temporary file stays");
    }

    #[test]
    fn nothing_is_written_through_a_symbolic_link() {
        let case = case();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), case.project.path().join("conf")).unwrap();
        let dir = ProjectDir::open(case.project.path()).unwrap();
        for path in ["conf/a", "conf/deep/a"] {
            let fault = dir
                .write(&ship(&case, path, 0o644, b"x"), case.store.blobs())
                .unwrap_err();
            assert!(fault.hints[0].contains("symbolic link"), "{fault:?}");
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_in_a_files_place_is_replaced_not_followed() {
        let case = case();
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), case.project.path().join("a")).unwrap();
        let dir = ProjectDir::open(case.project.path()).unwrap();
        dir.write(&ship(&case, "a", 0o644, b"x"), case.store.blobs())
            .unwrap();
        assert_eq!(std::fs::read(outside.path()).unwrap(), b"");
        assert_eq!(std::fs::read(case.project.path().join("a")).unwrap(), b"x");
    }

    #[test]
    fn a_file_that_somebody_changed_is_not_deleted() {
        let case = case();
        let dir = ProjectDir::open(case.project.path()).unwrap();
        let file = ship(&case, "a", 0o644, b"x");
        dir.write(&file, case.store.blobs()).unwrap();
        std::fs::write(case.project.path().join("a"), b"mine now").unwrap();
        assert!(!dir.remove_if_ours(&file).unwrap());
        assert!(case.project.path().join("a").exists());
        std::fs::write(case.project.path().join("a"), b"x").unwrap();
        assert!(dir.remove_if_ours(&file).unwrap());
        assert!(!case.project.path().join("a").exists());
    }
}
