//! One run's folder, network and watchdog: what must be gone when the run is, however it ends.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::command::tool;
use super::error::{During, LabError, Result};
use super::namespace;
use super::net::Net;

/// The one script that clears a run up: at the end, after the owner's death, and for what an earlier machine
/// crash left.
const CLEAN: &str = include_str!("clean.sh");

/// One run. Its watchdog clears up when this is dropped or its process dies.
pub(crate) struct Run {
    folder: PathBuf,
    net: Net,
    watchdog: Child,
    /// Locked for as long as the owner lives; the kernel lets go even when it is killed.
    _owner: File,
}

impl Run {
    /// Clears up after dead runs, then takes a free subnet and starts the watchdog.
    pub(crate) fn start() -> Result<Self> {
        let runs = cache().join("runs");
        fs::create_dir_all(&runs).during(|| format!("making {}", runs.display()))?;
        // One at a time on the machine: choosing a subnet and finding dead runs must not race.
        let _turn = lock(&cache().join("runs.lock"))?;
        sweep(&runs)?;
        let net = Net::free()?;
        // The one before with the same number may still be going: its bridge goes before its folder.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (owner, next) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = runs.join(format!("{}-{owner}-{next}", net.bridge()));
        fs::create_dir(&folder).during(|| format!("making {}", folder.display()))?;
        let owner = lock(&folder.join("owner"))?;
        let watchdog = watch(&folder, Stdio::piped())?;
        let run = Self {
            folder,
            net,
            watchdog,
            _owner: owner,
        };
        // From here on a failure drops `run`, which clears up.
        run.fill()?;
        Ok(run)
    }

    fn fill(&self) -> Result<()> {
        for name in ["procs", "hosts"] {
            fs::create_dir(self.path(name)).during(|| format!("making {name}"))?;
        }
        fs::write(self.path("bridge"), self.net.bridge())
            .during(|| "noting the bridge".to_owned())?;
        self.net.up()?;
        let key = self.path("key");
        tool([
            "ssh-keygen".as_ref(),
            "-qt".as_ref(),
            "ed25519".as_ref(),
            "-N".as_ref(),
            "".as_ref(),
            "-f".as_ref(),
            key.as_os_str(),
        ])?;
        Ok(())
    }

    /// The run's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path in the run's folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// The run's network.
    pub(crate) fn net(&self) -> &Net {
        &self.net
    }

    /// Notes a process that the watchdog has to end.
    pub(crate) fn note_process(&self, name: &str, pid: u32) -> Result<()> {
        let start = namespace::start_time(pid)
            .ok_or_else(|| LabError::Other(format!("{name} ended at once")))?;
        let file = self.path("procs").join(name);
        fs::write(file, format!("{pid} {start}\n")).during(|| format!("noting {name}"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _cleared = self.watchdog.wait();
    }
}

/// Where the lab keeps its base and its runs: a real filesystem, which engines need for their data.
pub(crate) fn cache() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    cache
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from("/var/cache"))
        .join("longshore/lab")
}

/// Takes a lock file, waiting for its holder; dropping the file gives it back.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let what = || format!("locking {}", path.display());
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .during(what)?;
    file.lock().during(what)?;
    Ok(file)
}

fn watch(folder: &Path, stdin: Stdio) -> Result<Child> {
    Command::new("bash")
        .args(["-c", CLEAN, "clean"])
        .arg(folder)
        .stdin(stdin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Its own group: a Ctrl-C or a runner's kill of the test's group must not reach it.
        .process_group(0)
        .spawn()
        .during(|| "starting the watchdog".to_owned())
}

fn sweep(runs: &Path) -> Result<()> {
    for entry in fs::read_dir(runs)
        .during(|| "listing runs".to_owned())?
        .flatten()
    {
        let folder = entry.path();
        let owner = File::options()
            .create(true)
            .append(true)
            .open(folder.join("owner"));
        if owner.is_ok_and(|owner| owner.try_lock().is_ok()) {
            let mut cleaner = watch(&folder, Stdio::null())?;
            // Nobody waits for it: a big run takes its time on a busy machine, and its number is not free before.
            std::thread::spawn(move || cleaner.wait());
        }
    }
    Ok(())
}
