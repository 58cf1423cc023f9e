//! The project directory: shipped files replaced one by one and atomically, never through a symbolic link.
//!
//! Containers may write into bound folders, so a path inside the directory is hostile: every step down is taken
//! by `walk`, which follows no link.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::path::RelPath;
use proto::stack::ShippedFile;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::store::Blobs;
use crate::witness;
use crate::witness::disk::{self, Call};

mod look;
mod taken;
mod walk;

pub use look::{Known, OnHost, Ownership, Stamp};
pub use taken::Taken;

/// Bytes of the names of a file's extended attributes, and of the value of one.
const ATTRIBUTES: usize = 64 * 1024;

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

    /// Replaces or makes one file; a reader sees the old or the new one. A new file is root's, with the mode it was
    /// shipped with.
    ///
    /// # Errors
    /// When the content is not in `blobs`, or the file system refuses.
    pub fn write(&self, file: &ShippedFile, blobs: &Blobs) -> Result<(), Fault> {
        self.write_as(file, None, blobs)
    }

    /// The same with an owner, a group and a mode. What else the file system notes of the file that is replaced, access
    /// lists and labels, stays.
    ///
    /// # Errors
    /// When the content is not in `blobs`, or the file system refuses.
    pub fn write_as(
        &self,
        file: &ShippedFile,
        ownership: Option<Ownership>,
        blobs: &Blobs,
    ) -> Result<(), Fault> {
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
            if let Ok(old) = self.open_beneath(path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK) {
                copy_attributes(&old, &target);
            }
            // Set on the open file: the umask and a race for the name have no say.
            let mode = ownership.map_or(file.mode, |it| it.mode) & 0o777;
            if let Some(Ownership { uid, gid, .. }) = ownership {
                let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
                rustix::fs::fchown(&target, Some(uid), Some(gid))
                    .map_err(failed("set the owner of"))?;
            }
            target
                .set_permissions(Permissions::from_mode(mode))
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
                // It was removed, or a file has taken its place: nothing in it can come back.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Ok(())
    }

    /// Whether the file on disk is exactly this one.
    #[must_use]
    pub fn holds(&self, file: &ShippedFile) -> bool {
        let lies = self.look(&file.path, None);
        matches!(lies, Ok(OnHost::File { known, ownership, .. })
            if known.blob == file.blob && ownership.mode == file.mode & 0o777)
    }

    /// Gives a file another mode.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn set_mode(&self, path: &RelPath, mode: u32) -> Result<(), Fault> {
        let failed = |errno| self.error("set the mode of", path, errno);
        let open = self.open_beneath(path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK);
        let fd = open.map_err(failed)?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode & 0o777)).map_err(failed)
    }

    /// Removes a file or a link, whatever it holds; gone already is success.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove(&self, path: &RelPath) -> Result<(), Fault> {
        let failed = |errno| self.error("remove", path, errno);
        let here = path.under(&self.path);
        self.ask(Call::Remove, &here).map_err(failed)?;
        let parent = match self.above(path) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        remove_if_there(&parent, name).map_err(failed)?;
        self.note(path);
        witness::changed(&self.path);
        Ok(())
    }

    /// Removes a folder that has nothing but folders in it.
    ///
    /// # Errors
    /// When there is a file in it, or the file system refuses.
    pub fn remove_empty(&self, folder: &RelPath) -> Result<(), Fault> {
        let failed = |errno| self.error("remove", folder, errno);
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        let fd = self.open_beneath(folder.as_str(), flags).map_err(failed)?;
        for entry in Dir::read_from(&fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                let below = folder.join(&name).map_err(|_| failed(Errno::NOTEMPTY))?;
                self.remove_empty(&below)?;
            }
        }
        let parent = self.above(folder).map_err(failed)?;
        let name = folder.as_str().rsplit('/').next().unwrap_or_default();
        rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR).map_err(failed)?;
        self.note(folder);
        Ok(())
    }

    /// The folder that holds `path`.
    fn above(&self, path: &RelPath) -> Result<OwnedFd, Errno> {
        let parents = path.as_str().rsplit_once('/').map_or(".", |(it, _)| it);
        self.open_beneath(parents, OFlags::DIRECTORY | OFlags::RDONLY)
    }
}

/// Extended attributes are a help: one that the file system or the sandbox does not take is left out.
fn copy_attributes(from: &OwnedFd, to: &File) {
    let mut names = Vec::with_capacity(ATTRIBUTES);
    let listed = rustix::fs::flistxattr(from, rustix::buffer::spare_capacity(&mut names));
    if listed.is_err() {
        return;
    }
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value = Vec::with_capacity(ATTRIBUTES);
        let read = rustix::fs::fgetxattr(from, name, rustix::buffer::spare_capacity(&mut value));
        if read.is_ok() {
            rustix::fs::fsetxattr(to, name, &value, XattrFlags::empty()).ok();
        }
    }
}

fn remove_if_there(parent: &OwnedFd, name: &str) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
