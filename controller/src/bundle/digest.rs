//! Reads one file: its SHA-256, its size, and its bytes if they are few.

use std::io::{self, Read};
use std::path::Path;

use proto::id::BlobId;
use proto::limits::BUNDLE_BYTES;
use sha2::{Digest, Sha256};

use super::Source;
use crate::stack::open_regular;

/// Files up to this size are kept, so that what is sent is exactly what was hashed.
const KEPT_BYTES: usize = 64 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

/// Hashes the file at `path`.
pub(super) fn read(path: &Path) -> io::Result<(BlobId, u64, Source)> {
    let file = open_regular(path)?;
    // One more than is allowed is enough for the limit to see it.
    let mut file = file.take(BUNDLE_BYTES + 1);
    let mut start = Vec::new();
    file.by_ref()
        .take(KEPT_BYTES as u64 + 1)
        .read_to_end(&mut start)?;
    let mut hash = Sha256::new();
    hash.update(&start);
    if start.len() <= KEPT_BYTES {
        let blob = BlobId::from_bytes(hash.finalize().into());
        return Ok((blob, start.len() as u64, Source::Bytes(start.into())));
    }
    let mut size = start.len() as u64;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(buffer.get(..read).unwrap_or_default());
        size += read as u64;
    }
    let blob = BlobId::from_bytes(hash.finalize().into());
    Ok((blob, size, Source::File(path.to_owned())))
}
