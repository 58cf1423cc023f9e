//! What files of the host hold that a stack reads there: its state depends on them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::id::BlobId;
use sha2::{Digest as _, Sha256};

/// The most of a file of the host that is read: those that Compose reads are small.
const HOST_FILE: u64 = 16 * 1024 * 1024;

/// A network file system that does not answer is not waited for.
const HOST_FILES_DEADLINE: Duration = Duration::from_secs(5);

/// What files of the host hold; `None` for one that is not there, or no file that can be read.
pub(super) async fn contents_of(files: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, Option<BlobId>> {
    let unread = || files.iter().map(|path| (path.clone(), None)).collect();
    if files.is_empty() {
        return unread();
    }
    let paths = files.clone();
    let read = tokio::task::spawn_blocking(move || {
        let all = paths.into_iter();
        all.map(|path| {
            let content = content_of(&path);
            (path, content)
        })
        .collect()
    });
    match tokio::time::timeout(HOST_FILES_DEADLINE, read).await {
        Ok(Ok(contents)) => contents,
        _ => unread(),
    }
}

fn content_of(path: &Path) -> Option<BlobId> {
    // A device or a pipe must not even be opened.
    let there = std::fs::metadata(path).ok()?;
    (there.is_file() && there.len() <= HOST_FILE).then_some(())?;
    let mut content = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(HOST_FILE).read_to_end(&mut content).ok()?;
    Some(BlobId::from_bytes(Sha256::digest(&content).into()))
}
