//! Puts a kept output where the stack wants it on the host: whole or not at all, and never over another file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use proto::fault::Fault;
use proto::hook::{Names, Save, SavePlace};

use crate::files::{self, FileError};

/// Names that are tried before giving up.
const TRIES: u32 = 1000;

/// The file on the host, where it is to lie there.
pub(super) fn on_host(save: &Save, names: &Names) -> Option<PathBuf> {
    (save.place == SavePlace::Host).then(|| PathBuf::from(save.file.expand(names)))
}

/// Moves a file there, or beside what lies there already; where it is now.
pub(super) fn put(from: &Path, target: &Path) -> Result<PathBuf, Fault> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    files::private_dir(folder).map_err(|error| explained(error, folder))?;
    let near = near(from, folder)
        .map_err(|error| explained(FileError::new("write", target, error), folder))?;
    let linked = link(&near, target);
    // From here on it has its name, or is not wanted.
    fs::remove_file(&near).ok();
    let path = linked.map_err(|error| FileError::new("write", target, error))?;
    if near != from {
        fs::remove_file(from).ok();
    }
    Ok(path)
}

/// The same content in the target's own file system.
fn near(from: &Path, folder: &Path) -> io::Result<PathBuf> {
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".longshore.{}.{name}", std::process::id()));
    // A link that lies there from an earlier run, or by ill will, must not be written through.
    fs::remove_file(&beside).ok();
    match fs::hard_link(from, &beside) {
        Ok(()) => return Ok(beside),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        Err(error) => return Err(error),
    }
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let copied = io::copy(&mut File::open(from)?, &mut copy).and_then(|_| copy.sync_all());
    if copied.is_err() {
        fs::remove_file(&beside).ok();
    }
    copied.map(|()| beside)
}

/// Gives it its name; a name that is taken, by a link too, is never followed.
fn link(near: &Path, target: &Path) -> io::Result<PathBuf> {
    for number in 1..TRIES {
        let path = numbered(target, number);
        match fs::hard_link(near, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => {
                let folder = path.parent().unwrap_or(Path::new("/"));
                return done
                    .and_then(|()| File::open(folder)?.sync_all())
                    .map(|()| path);
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

/// `a.sql`, `a-2.sql`, `a-3.sql`.
fn numbered(target: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return target.to_owned();
    }
    let stem = target.file_stem().unwrap_or_default().to_string_lossy();
    let name = match target.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    target.with_file_name(name)
}

fn explained(error: FileError, folder: &Path) -> Fault {
    let read_only = error.is_read_only();
    let fault = Fault::from(error);
    if !read_only {
        return fault;
    }
    fault.hint(format!(
        "the agent's unit lets it write nothing there: systemctl edit longshore-agent, [Service], ReadWritePaths={}",
        folder.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    fn spool(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("saved-0.part");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    #[test]
    fn nothing_is_overwritten_and_no_link_followed() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = there.path().join("deep/er/a.sql");
        let other = there.path().join("other");
        let first = put(&spool(here.path(), "one"), &target).unwrap();
        assert_eq!(first, target);
        symlink(&other, target.with_file_name("a-2.sql")).unwrap();
        let second = put(&spool(here.path(), "two"), &target).unwrap();
        assert_eq!(second, target.with_file_name("a-3.sql"));
        assert_eq!(fs::read_to_string(&first).unwrap(), "one");
        assert_eq!(fs::read_to_string(&second).unwrap(), "two");
        assert!(!other.exists());
        assert_eq!(fs::metadata(&second).unwrap().mode() & 0o777, 0o600);
        let folder = fs::metadata(target.parent().unwrap()).unwrap();
        assert_eq!(folder.mode() & 0o777, 0o700);
        assert_eq!(
            fs::read_dir(here.path()).unwrap().count(),
            0,
            "no leftovers"
        );
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 3);
    }
}
