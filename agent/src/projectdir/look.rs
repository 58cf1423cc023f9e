//! What lies at a path of a project directory now, and whether it is what was laid out there.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use proto::fault::Fault;
use proto::id::BlobId;
use proto::path::RelPath;
use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ProjectDir;

/// What tells without reading it that a file was not written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, u64),
    /// Seconds and nanoseconds of the last change of its content, owner or mode.
    changed: (i64, u64),
}

/// A file that was looked at: as long as its stamp is the same, so is its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// When it was looked at.
    pub stamp: Stamp,
    /// What it held.
    pub blob: BlobId,
}

/// Who owns a file, and who may do what with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnHost {
    /// Nothing.
    Nothing,
    /// A file.
    File {
        /// What it holds, and when that was so.
        known: Known,
        /// Bytes.
        size: u64,
        /// Whose it is.
        ownership: Ownership,
    },
    /// A folder.
    Folder,
    /// A symbolic link, a socket, or another thing that has no content of its own.
    Other,
    /// A part of the path above it is a file.
    BelowFile,
    /// A part of the path above it is a symbolic link.
    BelowLink,
}

impl OnHost {
    /// What it holds, where it is a file.
    #[must_use]
    pub fn blob(&self) -> Option<BlobId> {
        match self {
            Self::File { known, .. } => Some(known.blob),
            _ => None,
        }
    }
}

impl ProjectDir {
    /// Looks at a path; `known` saves reading a file that was not written since.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look(&self, path: &RelPath, known: Option<&Known>) -> Result<OnHost, Fault> {
        let failed = |errno| self.error("read", path, errno);
        let open = self.open_beneath(path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK);
        let fd = match open {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(OnHost::Nothing),
            Err(Errno::NOTDIR) => return Ok(OnHost::BelowFile),
            Err(Errno::LOOP) if self.above(path).is_err() => return Ok(OnHost::BelowLink),
            // A link in its place, a socket, a device without a driver.
            Err(Errno::LOOP | Errno::XDEV | Errno::NXIO | Errno::NODEV) => {
                return Ok(OnHost::Other);
            }
            Err(errno) => return Err(failed(errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Ok(OnHost::Folder),
            _ => return Ok(OnHost::Other),
        }
        let stamp = stamp(&stat);
        let blob = match known.filter(|known| known.stamp == stamp) {
            Some(known) => known.blob,
            None => digest(fd).map_err(failed)?,
        };
        Ok(OnHost::File {
            known: Known { stamp, blob },
            size: stamp.size,
            ownership: Ownership {
                uid: stat.st_uid,
                gid: stat.st_gid,
                mode: stat.st_mode & 0o777,
            },
        })
    }

    /// The files below a folder, in order, up to `most` of them; folders without files do not count.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn files_below(&self, folder: &RelPath, most: usize) -> Result<Vec<RelPath>, Fault> {
        let failed = |errno| self.error("read", folder, errno);
        let mut found = Vec::new();
        let mut open = vec![folder.clone()];
        while let Some(folder) = open.pop() {
            let flags = OFlags::DIRECTORY | OFlags::RDONLY;
            let fd = self.open_beneath(folder.as_str(), flags).map_err(failed)?;
            for entry in Dir::read_from(&fd).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name == "." || name == ".." {
                    continue;
                }
                // A name that is no path of ours is somebody else's all the same.
                let path = folder.join(&name).unwrap_or_else(|_| folder.clone());
                let stat = rustix::fs::statat(&fd, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
                let kind = stat.map(|stat| FileType::from_raw_mode(stat.st_mode));
                match kind {
                    Ok(FileType::Directory) if path != folder => open.push(path),
                    _ => found.push(path),
                }
                if found.len() >= most {
                    return Ok(found);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

pub(super) fn stamp(stat: &Stat) -> Stamp {
    Stamp {
        device: stat.st_dev,
        inode: stat.st_ino,
        size: u64::try_from(stat.st_size).unwrap_or_default(),
        modified: (stat.st_mtime, stat.st_mtime_nsec),
        changed: (stat.st_ctime, stat.st_ctime_nsec),
    }
}

fn digest(fd: OwnedFd) -> Result<BlobId, Errno> {
    let mut file = File::from(fd);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer);
        let count = read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        match buffer.get(..count) {
            Some([]) | None => break,
            Some(piece) => hash.update(piece),
        }
    }
    Ok(BlobId::from_bytes(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    #[test]
    fn everything_that_can_lie_there_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "one").unwrap();
        std::fs::set_permissions(at("file"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("folder", at("aside")).unwrap();
        let dir = ProjectDir::open(folder.path()).unwrap();
        let look = |name: &str| dir.look(&path(name), None).unwrap();
        let OnHost::File {
            size, ownership, ..
        } = look("file")
        else {
            panic!("it is a file")
        };
        let owner = std::fs::metadata(at("file")).unwrap().uid();
        assert_eq!((size, ownership.mode, ownership.uid), (3, 0o640, owner));
        assert_eq!(look("none"), OnHost::Nothing);
        assert_eq!(look("folder"), OnHost::Folder);
        assert_eq!(look("link"), OnHost::Other);
        assert_eq!(look("file/below"), OnHost::BelowFile);
        assert_eq!(look("aside/below"), OnHost::BelowLink);
    }

    #[test]
    fn what_was_written_since_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "one").unwrap();
        let dir = ProjectDir::open(folder.path()).unwrap();
        let OnHost::File { known, .. } = dir.look(&path("file"), None).unwrap() else {
            panic!("it is a file")
        };
        let lies = Known {
            blob: BlobId::from_bytes([7; 32]),
            ..known
        };
        let seen = dir.look(&path("file"), Some(&lies)).unwrap();
        assert_eq!(seen.blob(), Some(lies.blob), "it was not read");
        std::fs::write(&file, "three").unwrap();
        let seen = dir.look(&path("file"), Some(&lies)).unwrap();
        assert!(seen.blob() != Some(lies.blob) && seen.blob() != Some(known.blob));
    }

    #[test]
    fn files_below_a_folder_are_found_and_counted_no_further() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/empty/deep")).unwrap();
        std::fs::create_dir_all(folder.path().join("a/full")).unwrap();
        for name in ["a/full/x", "a/y"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let dir = ProjectDir::open(folder.path()).unwrap();
        let found = dir.files_below(&path("a"), 10).unwrap();
        assert_eq!(found, [path("a/full/x"), path("a/y")]);
        assert_eq!(dir.files_below(&path("a"), 1).unwrap().len(), 1);
        assert!(dir.files_below(&path("a/empty"), 1).unwrap().is_empty());
    }
}
