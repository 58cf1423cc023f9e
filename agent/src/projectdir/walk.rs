//! A way down into a folder that never goes through a symbolic link.
//!
//! One call for each part, and not openat2: kernels before 5.6 and user-mode emulation lack it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY);

/// Opens `path`, of plain names or `.`, below `root`.
///
/// # Errors
/// The system's; `LOOP` where a part is a symbolic link.
pub(super) fn open(root: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let Some((parents, name)) = path.rsplit_once('/') else {
        return step(root, path, flags);
    };
    let mut here: Option<OwnedFd> = None;
    for part in parents.split('/') {
        let next = step(here.as_ref().unwrap_or(root), part, FOLDER)?;
        here = Some(next);
    }
    step(here.as_ref().unwrap_or(root), name, flags)
}

fn step(here: &OwnedFd, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    // Nothing that comes here has them: a guard, not a rule.
    if name == ".." || name.is_empty() {
        return Err(Errno::XDEV);
    }
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(here, name, flags, Mode::empty()) {
        // What is asked to be a folder is told to be none before it is told to be a link.
        Err(Errno::NOTDIR) if is_link(here, name) => Err(Errno::LOOP),
        result => result,
    }
}

fn is_link(here: &OwnedFd, name: &str) -> bool {
    let found = rustix::fs::statat(here.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}
