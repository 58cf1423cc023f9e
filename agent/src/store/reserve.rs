//! Room kept free for the end of a deploy: on a disk that others have filled, going back and saying why still works.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::files::{self, FileError};
use crate::witness::disk::{self, Call};

/// As many files, so that there are names to have where these are short.
const FILES: usize = 8;
/// Bytes of each. Together they hold a stack's records and the largest of its files, one at a time.
const BYTES: u64 = 256 * 1024;

/// The folder with the room.
#[derive(Debug, Clone)]
pub struct Reserve(PathBuf);

impl Reserve {
    /// The reserve of a state directory.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        Self(root.join("reserve"))
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        (0..FILES).map(|number| self.0.join(number.to_string()))
    }

    /// Takes the room, if it is not taken.
    ///
    /// # Errors
    /// When there is none.
    pub fn fill(&self) -> Result<(), FileError> {
        files::private_dir(&self.0)?;
        for path in self.files() {
            let there = fs::metadata(&path).is_ok_and(|meta| meta.len() == BYTES);
            if !there {
                take(&path).map_err(|error| FileError::new("keep room in", &path, error))?;
            }
        }
        Ok(())
    }

    /// Gives it up for what is more important now.
    pub fn release(&self) {
        for path in self.files() {
            // What cannot be removed is no room for anybody.
            drop(fs::remove_file(path));
        }
    }
}

/// Room, not a hole: a file of holes takes none.
fn take(path: &Path) -> io::Result<()> {
    let take = || -> io::Result<()> {
        disk::ask(Call::Make, path)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, BYTES) {
            Err(Errno::OPNOTSUPP) => io::copy(&mut io::repeat(0).take(BYTES), &mut file).map(drop),
            taken => Ok(taken?),
        }
    };
    take().inspect_err(|_| drop(fs::remove_file(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_once_and_given_up_whole() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(folder.path());
        reserve.release();
        reserve.fill().unwrap();
        reserve.fill().unwrap();
        let held = |reserve: &Reserve| fs::read_dir(&reserve.0).unwrap().count();
        assert_eq!(held(&reserve), FILES);
        fs::write(folder.path().join("reserve/3"), b"cut").unwrap();
        reserve.fill().unwrap();
        assert!(
            reserve
                .files()
                .all(|path| path.metadata().unwrap().len() == BYTES)
        );
        reserve.release();
        assert_eq!(held(&reserve), 0);
    }

    #[test]
    fn a_full_disk_says_so_and_keeps_nothing_half_taken() {
        let folder = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(folder.path());
        reserve.fill().unwrap();
        reserve.release();
        let full = |_: Call<'_>, _: &Path| Err(io::ErrorKind::StorageFull.into());
        let trouble = disk::watch(folder.path(), full);
        assert!(reserve.fill().unwrap_err().is_full());
        drop(trouble);
        reserve.fill().unwrap();
    }
}
