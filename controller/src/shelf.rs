//! Files on this workstation for what hooks have printed: whole or not at all, checked, and never over another file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::hook::{Hook, SavePlace, Saved};
use proto::id::{BlobId, ServiceName};
use sha2::{Digest as _, Sha256};

use crate::private;

/// Names that are tried before giving up.
const TRIES: u32 = 1000;

/// What a stack's own `fleet.toml` says of its hooks' outputs.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// The fleet's folder.
    pub root: PathBuf,
    /// In the order in which hosts count them.
    pub hooks: Vec<Hook>,
}

/// A file that holds an output now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub path: PathBuf,
    /// It lay there before.
    pub before: bool,
}

impl Shelf {
    /// The file for a hook's output. Only values come from the host, and they stay within a file's name.
    ///
    /// # Errors
    /// When this workstation's `fleet.toml` does not say.
    pub fn file(&self, hook: u32, service: &ServiceName, saved: &Saved) -> Result<PathBuf, Fault> {
        let known = usize::try_from(hook).ok().and_then(|at| self.hooks.get(at));
        let known = known.filter(|known| known.service == *service);
        let save = known.and_then(|known| known.save.as_ref());
        let save = save.filter(|save| save.place == SavePlace::Workstation);
        let save = save.ok_or_else(|| {
            let what = format!("this fleet.toml does not say where the output of hook {hook} in {service} goes");
            Fault::new(FaultKind::UnknownName, what)
                .hint("go to the folder of the fleet.toml that the deploy was made from, then: controller attach")
        })?;
        Ok(self.root.join(save.file.expand(&saved.names)))
    }
}

/// The file that holds this output already, under its own name or one with a number.
///
/// # Errors
/// When a file that may be it cannot be read.
pub fn find(target: &Path, saved: &Saved) -> io::Result<Option<PathBuf>> {
    for number in 1..TRIES {
        let path = numbered(target, number);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(it) if it.is_file() && it.len() == saved.size && digest(&path)? == saved.blob => {
                return Ok(Some(path));
            }
            Ok(_) => {}
        }
    }
    Ok(None)
}

fn digest(path: &Path) -> io::Result<BlobId> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(BlobId::from_bytes(digest.finalize().into())),
            count => digest.update(&buffer[..count]),
        }
    }
}

/// An output on its way here. Dropped at any point, it leaves nothing.
pub struct Incoming {
    target: PathBuf,
    temporary: PathBuf,
    file: File,
    digest: Sha256,
    size: u64,
}

impl Incoming {
    /// Makes room for it beside its later place.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn open(target: PathBuf) -> Result<Self, Fault> {
        let folder = target.parent().unwrap_or(Path::new(".")).to_owned();
        private::create_folder(&folder)?;
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(|error| {
            Fault::new(FaultKind::Failed, "this system gives no random numbers").because(&error)
        })?;
        let name = format!(".longshore.{:016x}", u64::from_be_bytes(suffix));
        let temporary = folder.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|error| unwritable(&target, &error))?;
        Ok(Self {
            target,
            temporary,
            file,
            digest: Sha256::new(),
            size: 0,
        })
    }

    /// Bytes that are here.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| unwritable(&self.target, &error))?;
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Proves that it is what the host has kept, and gives it its name.
    ///
    /// # Errors
    /// When it is something else, or the file system refuses.
    pub fn finish(self, saved: &Saved) -> Result<PathBuf, Fault> {
        let blob = BlobId::from_bytes(self.digest.clone().finalize().into());
        if self.size != saved.size || blob != saved.blob {
            let what = "what arrived is not what the hook has printed";
            return Err(Fault::new(FaultKind::Failed, what)
                .cause(format!("{} of {} bytes", self.size, saved.size)));
        }
        let done = self.file.sync_all().and_then(|()| self.name_it());
        done.map_err(|error| unwritable(&self.target, &error))
    }

    fn name_it(&self) -> io::Result<PathBuf> {
        for number in 1..TRIES {
            let path = numbered(&self.target, number);
            // A link is made only where nothing lies.
            match fs::hard_link(&self.temporary, &path) {
                Ok(()) => {
                    let folder = path.parent().unwrap_or(Path::new("."));
                    File::open(folder)?.sync_all()?;
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // It has another name by now, or none.
        fs::remove_file(&self.temporary).ok();
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Fault {
    let what = format!("cannot write {}", path.display());
    Fault::new(FaultKind::Failed, what).because(error)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proto::hook::{Names, Save, TIMEOUT_SECONDS, When};
    use std::os::unix::fs::PermissionsExt as _;

    fn saved(text: &str) -> Saved {
        Saved {
            size: text.len() as u64,
            blob: BlobId::from_bytes(Sha256::digest(text).into()),
            names: Names {
                project: "../../etc/passwd".to_owned(),
                time: "20261121T101937Z".to_owned(),
                image: "0a1b".to_owned(),
                revision: String::new(),
            },
            file: None,
        }
    }

    fn shelf(root: &Path, file: &str) -> Shelf {
        let hook = Hook {
            when: When::Before,
            service: "db".parse().unwrap(),
            run: vec!["pg_dump".to_owned()],
            one_off: false,
            timeout_seconds: TIMEOUT_SECONDS,
            gate: None,
            save: Some(Save {
                place: SavePlace::Workstation,
                file: file.parse().unwrap(),
            }),
        };
        Shelf {
            root: root.to_owned(),
            hooks: vec![hook],
        }
    }

    fn bring(target: &Path, text: &str) -> Result<PathBuf, Fault> {
        let mut incoming = Incoming::open(target.to_owned())?;
        incoming.write(text.as_bytes())?;
        incoming.finish(&saved(text))
    }

    #[test]
    fn a_file_is_named_by_our_own_template_and_stays_below_the_fleet() {
        let root = Path::new("/srv/fleet");
        let db = "db".parse().unwrap();
        let shelf = shelf(root, "backups/{project}-{time}-{image}.sql");
        let file = shelf.file(0, &db, &saved("x")).unwrap();
        assert_eq!(
            file,
            root.join("backups/_.-..-etc-passwd-20261121T101937Z-0a1b.sql")
        );
        assert!(shelf.file(1, &db, &saved("x")).is_err());
        let other = "web".parse().unwrap();
        assert!(shelf.file(0, &other, &saved("x")).is_err());
    }

    #[test]
    fn nothing_is_overwritten_and_the_same_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("backups/a.sql");
        assert_eq!(bring(&target, "one").unwrap(), target);
        let second = bring(&target, "two").unwrap();
        assert_eq!(second, target.with_file_name("a-2.sql"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "one");
        assert_eq!(find(&target, &saved("two")).unwrap(), Some(second.clone()));
        assert_eq!(find(&target, &saved("six")).unwrap(), None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&second), mode(target.parent().unwrap())),
            (0o600, 0o700)
        );
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_something_else_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.sql");
        let mut incoming = Incoming::open(target).unwrap();
        incoming.write(b"on").unwrap();
        assert!(incoming.finish(&saved("one")).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
