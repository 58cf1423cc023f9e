//! Takes a file of a project directory into the store, so that it can be put back as it was.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use proto::fault::Fault;
use proto::id::BlobId;
use proto::path::RelPath;
use proto::stack::ShippedFile;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::ProjectDir;
use crate::store::Blobs;

/// What was found at a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// A file; its content is in the store now.
    File(ShippedFile),
    /// Nothing.
    Nothing,
    /// A folder, a link, or more than was asked for.
    Other,
}

impl ProjectDir {
    /// Takes what is at `path` if it is a file of `most` bytes at most.
    ///
    /// # Errors
    /// When it cannot be read or stored.
    pub fn take(&self, path: &RelPath, most: u64, blobs: &Blobs) -> Result<Taken, Fault> {
        let failed = |errno| self.error("read", path, errno);
        let fd = match self.open_beneath(path.as_str(), OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(Taken::Nothing),
            // A link, a socket, or a file where the path has a folder.
            Err(Errno::LOOP | Errno::XDEV | Errno::NXIO | Errno::NOTDIR) => {
                return Ok(Taken::Other);
            }
            Err(errno) => return Err(failed(errno)),
        };
        let io = |error: std::io::Error| failed(Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let file = File::from(fd);
        let meta = file.metadata().map_err(io)?;
        if !Metadata::is_file(&meta) || meta.len() > most {
            return Ok(Taken::Other);
        }
        let mut content = Vec::new();
        file.take(most + 1).read_to_end(&mut content).map_err(io)?;
        let size = content.len() as u64;
        if size > most {
            return Ok(Taken::Other);
        }
        let blob = BlobId::from_bytes(Sha256::digest(&content).into());
        if !blobs.claim(&blob) {
            blobs.receive(blob, size)?.push(0, &content)?;
        }
        Ok(Taken::File(ShippedFile {
            path: path.clone(),
            mode: meta.permissions().mode() & 0o777,
            size,
            blob,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn a_file_is_taken_as_it_is_and_put_back_as_it_was() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let project = tempfile::tempdir().unwrap();
        let path = project.path().join("run.sh");
        std::fs::write(&path, "one").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).unwrap();
        let dir = ProjectDir::open(project.path()).unwrap();
        let name: RelPath = "run.sh".parse().unwrap();
        let Taken::File(file) = dir.take(&name, 3, store.blobs()).unwrap() else {
            panic!("it is a file")
        };
        assert_eq!((file.mode, file.size), (0o750, 3));
        std::fs::write(&path, "two").unwrap();
        assert!(!dir.holds(&file));
        dir.write(&file, store.blobs()).unwrap();
        assert!(dir.holds(&file));
    }

    #[test]
    fn what_is_no_plain_file_is_not_read() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let project = tempfile::tempdir().unwrap();
        std::fs::create_dir(project.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", project.path().join("link")).unwrap();
        std::fs::write(project.path().join("large"), "four").unwrap();
        std::fs::write(project.path().join("empty"), "").unwrap();
        let dir = ProjectDir::open(project.path()).unwrap();
        let take = |name: &str| dir.take(&name.parse().unwrap(), 3, store.blobs()).unwrap();
        for name in ["folder", "link", "large", "large/below"] {
            assert_eq!(take(name), Taken::Other, "{name}");
        }
        assert_eq!(take("none"), Taken::Nothing);
        assert!(matches!(take("empty"), Taken::File(file) if store.blobs().has(&file.blob)));
    }
}
