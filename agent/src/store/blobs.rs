//! File contents by digest: received in pieces, checked whole, kept under their SHA-256.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::fault::{Fault, FaultKind};
use proto::id::BlobId;
use sha2::{Digest, Sha256};

use super::unused::Claims;
use crate::files::{self, FileError};
use crate::witness;
use crate::witness::disk::{self, Call};

/// The folder of blobs.
#[derive(Clone)]
pub struct Blobs {
    pub(super) root: PathBuf,
    pub(super) claims: Claims,
    unsettled: Unsettled,
}

/// Folders in which a content got its name, which a power cut could still take.
#[derive(Clone, Default)]
struct Unsettled(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Unsettled {
    fn folders(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, content: &Path) {
        self.folders().extend(content.parent().map(Path::to_owned));
    }
}

impl Blobs {
    /// Opens the folder and removes what an interrupted upload left.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn open(root: &Path) -> Result<Self, FileError> {
        let incoming = root.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming).map_err(|e| FileError::new("clear", &incoming, e))?;
        }
        files::private_dir(&incoming)?;
        Ok(Self {
            root: root.to_owned(),
            claims: Claims::default(),
            unsettled: Unsettled::default(),
        })
    }

    /// Makes what was received durable, names included: from here on records may refer to it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn settle(&self) -> Result<(), FileError> {
        let folders = self.unsettled.folders().clone();
        for folder in folders {
            files::sync_dir(&folder).map_err(|e| FileError::new("sync", &folder, e))?;
            self.unsettled.folders().remove(&folder);
        }
        Ok(())
    }

    pub(super) fn path(&self, blob: &BlobId) -> PathBuf {
        let name = blob.to_string();
        let (shard, _) = name.split_at_checked(2).unwrap_or((&name, ""));
        self.root.join(shard).join(&name)
    }

    /// Whether the content is here.
    #[must_use]
    pub fn has(&self, blob: &BlobId) -> bool {
        self.path(blob).is_file()
    }

    /// Starts to receive a blob of known size.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn receive(&self, blob: BlobId, size: u64) -> Result<BlobWriter, FileError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|e| FileError::new("name", &self.root, io::Error::other(e.to_string())))?;
        let name = format!("{:016x}", u64::from_le_bytes(random));
        let temporary = self.root.join("incoming").join(name);
        let file = disk::ask(Call::Make, &temporary)
            .and_then(|()| {
                OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&temporary)
            })
            .map_err(|error| FileError::new("create", &temporary, error))?;
        Ok(BlobWriter {
            file,
            temporary,
            target: self.path(&blob),
            unsettled: self.unsettled.clone(),
            blob,
            size,
            written: 0,
            hash: Sha256::new(),
            done: false,
        })
    }

    /// Copies a blob's content to a new file, checking it on the way: a disk may have changed it.
    ///
    /// # Errors
    /// When it is missing, damaged, or the file system refuses.
    pub fn copy_to(&self, blob: &BlobId, target: &mut File, name: &Path) -> Result<(), Fault> {
        let path = self.path(blob);
        let mut source = File::open(&path).map_err(|e| FileError::new("open", &path, e))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = source
                .read(&mut buffer)
                .map_err(|e| FileError::new("read", &path, e))?;
            let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
                break;
            };
            hash.update(piece);
            disk::write(target, name, piece).map_err(|e| FileError::new("write", name, e))?;
        }
        let actual: [u8; 32] = hash.finalize().into();
        if actual == *blob.as_bytes() {
            return Ok(());
        }
        // Take it away, so that the next stage asks for it again.
        files::remove(&path)?;
        Err(Fault::new(
            FaultKind::Failed,
            format!("stored content {} is damaged", blob.short()),
        )
        .hint("run the same command again: the content is sent anew"))
    }
}

/// One blob on its way in. Dropped before its end, it leaves nothing.
pub struct BlobWriter {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    unsettled: Unsettled,
    blob: BlobId,
    size: u64,
    written: u64,
    hash: Sha256,
    done: bool,
}

impl BlobWriter {
    /// Which blob it is.
    #[must_use]
    pub fn blob(&self) -> BlobId {
        self.blob
    }

    /// Takes the next piece; answers whether the blob is complete and stored.
    ///
    /// # Errors
    /// When the piece is out of order, too much, or the content is not what was announced.
    pub fn push(&mut self, offset: u64, data: &[u8]) -> Result<bool, Fault> {
        let refuse = |what: String| Err(Fault::new(FaultKind::InvalidRequest, what));
        if offset != self.written {
            return refuse(format!(
                "content at byte {offset}, {} was next",
                self.written
            ));
        }
        self.written += data.len() as u64;
        if self.written > self.size {
            return refuse(format!(
                "more content than the {} bytes announced",
                self.size
            ));
        }
        self.hash.update(data);
        disk::write(&mut self.file, &self.temporary, data)
            .map_err(|e| FileError::new("write", &self.temporary, e))?;
        if self.written < self.size {
            return Ok(false);
        }
        let actual: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
        if actual != *self.blob.as_bytes() {
            return refuse(format!(
                "content of {} does not match its digest",
                self.blob.short()
            ));
        }
        self.store()?;
        Ok(true)
    }

    fn store(&mut self) -> Result<(), FileError> {
        if let Some(shard) = self.target.parent() {
            files::private_dir(shard)?;
        }
        // Durable before it is named.
        disk::ask(Call::Sync, &self.temporary)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| FileError::new("sync", &self.temporary, e))?;
        self.unsettled.note(&self.target);
        disk::ask(Call::Rename(&self.temporary), &self.target)
            .and_then(|()| fs::rename(&self.temporary, &self.target))
            .map_err(|e| FileError::new("rename", &self.target, e))?;
        self.done = true;
        witness::changed(&self.target);
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.done {
            // What stays is cleared at the next start.
            drop(fs::remove_file(&self.temporary));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(content: &[u8]) -> BlobId {
        BlobId::from_bytes(Sha256::digest(content).into())
    }

    fn open() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        (folder, blobs)
    }

    fn incoming(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder.path().join("incoming"))
            .unwrap()
            .count()
    }

    #[test]
    fn a_blob_in_pieces_is_stored_once_complete() {
        let (folder, blobs) = open();
        let mut writer = blobs.receive(id(b"hello"), 5).unwrap();
        assert!(!writer.push(0, b"he").unwrap());
        assert!(!blobs.has(&id(b"hello")));
        assert!(writer.push(2, b"llo").unwrap());
        assert!(blobs.has(&id(b"hello")));
        assert_eq!(incoming(&folder), 0);
    }

    #[test]
    fn an_empty_blob_is_a_blob() {
        let (_folder, blobs) = open();
        assert!(blobs.receive(id(b""), 0).unwrap().push(0, b"").unwrap());
    }

    #[test]
    fn wrong_content_is_refused_and_leaves_nothing() {
        let (folder, blobs) = open();
        let mut writer = blobs.receive(id(b"hello"), 5).unwrap();
        assert!(writer.push(0, b"hullo").is_err());
        drop(writer);
        assert!(!blobs.has(&id(b"hello")));
        let mut writer = blobs.receive(id(b"hello"), 5).unwrap();
        assert!(writer.push(1, b"ello").is_err());
        drop(writer);
        let mut writer = blobs.receive(id(b"hello"), 5).unwrap();
        assert!(writer.push(0, b"hello!").is_err());
        drop(writer);
        assert_eq!(incoming(&folder), 0);
    }

    #[test]
    fn damaged_content_is_noticed_and_dropped() {
        let (folder, blobs) = open();
        assert!(
            blobs
                .receive(id(b"hello"), 5)
                .unwrap()
                .push(0, b"hello")
                .unwrap()
        );
        fs::write(blobs.path(&id(b"hello")), b"jello").unwrap();
        let target = folder.path().join("out");
        let mut file = File::create(&target).unwrap();
        assert!(blobs.copy_to(&id(b"hello"), &mut file, &target).is_err());
        assert!(!blobs.has(&id(b"hello")));
    }
}
