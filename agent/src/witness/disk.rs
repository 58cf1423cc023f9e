//! A disk that a test listens to, and that fails where it says so: each call of the file system is asked about first.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// What is about to be done to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'a> {
    /// Its content is read.
    Read,
    /// It is made, or opened to be written.
    Make,
    /// Bytes are written to it.
    Write,
    /// Its content is made durable.
    Sync,
    /// It takes the place of this one, and with it the name.
    Rename(&'a Path),
    /// What it lists, being a folder, is made durable.
    SyncDir,
    /// It is removed.
    Remove,
}

impl Call<'_> {
    /// Whether it needs room on the disk.
    #[must_use]
    pub fn takes_room(&self) -> bool {
        matches!(self, Self::Make | Self::Write | Self::Sync)
    }
}

type Disk = Arc<dyn Fn(Call<'_>, &Path) -> io::Result<()> + Send + Sync>;

static DISKS: LazyLock<Mutex<HashMap<PathBuf, Disk>>> = LazyLock::new(Mutex::default);

fn disks() -> MutexGuard<'static, HashMap<PathBuf, Disk>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk is good again, and nobody listens, when this is dropped.
pub struct Watched(PathBuf);

impl Drop for Watched {
    fn drop(&mut self) {
        disks().remove(&self.0);
    }
}

/// Asks `disk` before each call that concerns a path below `root`; its error is the call's.
pub fn watch(
    root: &Path,
    disk: impl Fn(Call<'_>, &Path) -> io::Result<()> + Send + Sync + 'static,
) -> Watched {
    disks().insert(root.to_owned(), Arc::new(disk));
    Watched(root.to_owned())
}

pub(crate) fn ask(call: Call<'_>, path: &Path) -> io::Result<()> {
    let found = {
        let all = disks();
        let mut below = all.iter().filter(|(root, _)| path.starts_with(root));
        below.next().map(|(_, disk)| Arc::clone(disk))
    };
    found.map_or(Ok(()), |disk| disk(call, path))
}

/// A write that fails has written half.
pub(crate) fn write(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let failed = ask(Call::Write, path);
    if failed.is_err() {
        file.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
        return failed;
    }
    file.write_all(bytes)
}
