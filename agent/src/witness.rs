//! Lets tests look at the host between any two changes of it, as a crash there would leave it; lets an agent die at any
//! of them, and a disk fail. Shipped, it is nothing.

#[cfg(not(any(test, feature = "test-util")))]
pub(crate) fn changed(_: &std::path::Path) {}

#[cfg(not(any(test, feature = "test-util")))]
pub(crate) fn reached(_: &'static str, _: &'static str) {}

#[cfg(not(any(test, feature = "test-util")))]
pub(crate) mod disk {
    use std::fs::File;
    use std::io::{self, Write as _};
    use std::path::Path;

    #[expect(dead_code, reason = "only a watched disk looks at what it is asked")]
    pub(crate) enum Call<'a> {
        Read,
        Make,
        Write,
        Sync,
        Rename(&'a Path),
        SyncDir,
        Remove,
    }

    pub(crate) fn ask(_: Call<'_>, _: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn write(file: &mut File, _: &Path, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
}

#[cfg(any(test, feature = "test-util"))]
mod death;
#[cfg(any(test, feature = "test-util"))]
pub mod disk;

#[cfg(any(test, feature = "test-util"))]
pub use watched::{Guard, watch};
#[cfg(any(test, feature = "test-util"))]
pub(crate) use watched::{changed, reached};

#[cfg(any(test, feature = "test-util"))]
mod watched {
    use std::collections::HashMap;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

    use super::death;

    type Witness = Arc<dyn Fn(&Path) + Send + Sync>;

    static WITNESSES: LazyLock<Mutex<HashMap<PathBuf, Witness>>> = LazyLock::new(Mutex::default);

    fn witnesses() -> MutexGuard<'static, HashMap<PathBuf, Witness>> {
        WITNESSES.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the watch when dropped.
    pub struct Guard(PathBuf);

    impl Drop for Guard {
        fn drop(&mut self) {
            witnesses().remove(&self.0);
        }
    }

    /// Calls `witness` with the path of each change below `root`, right after it.
    pub fn watch(root: &Path, witness: impl Fn(&Path) + Send + Sync + 'static) -> Guard {
        witnesses().insert(root.to_owned(), Arc::new(witness));
        Guard(root.to_owned())
    }

    pub(crate) fn changed(path: &Path) {
        death::step(|| death::name(path));
        let found = {
            let all = witnesses();
            let mut below = all.iter().filter(|(root, _)| path.starts_with(root));
            below.next().map(|(_, witness)| Arc::clone(witness))
        };
        if let Some(witness) = found {
            witness(path);
        }
    }

    /// A moment before or after something that happens outside the state directory.
    pub(crate) fn reached(when: &'static str, what: &'static str) {
        death::step(|| format!("{when} {what}"));
    }
}
