//! A process that stays, started in a host: its output, signals for it alone, and its end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::command::kill_group;
use super::error::{During, LabError, Result};
use super::{namespace, wait};

/// `nsenter` forks once to be in the host's process namespace; that takes no time.
const FORK: Duration = Duration::from_secs(10);

/// A process in a host. Dropping it kills it and its process group.
pub struct Process {
    text: String,
    log: PathBuf,
    pid: u32,
    nsenter: Mutex<Child>,
}

impl Process {
    pub(crate) fn start(mut command: Command, text: String, log: PathBuf) -> Result<Self> {
        let file = File::create(&log).during(|| format!("making {}", log.display()))?;
        let both = file
            .try_clone()
            .during(|| format!("making {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(both)
            .process_group(0);
        let mut nsenter = command.spawn().during(|| text.clone())?;
        let outer = nsenter.id();
        let found = wait::until("the process in the host", FORK, || {
            let ended = matches!(nsenter.try_wait(), Ok(Some(_)) | Err(_));
            // One that ended at once has no id any more; its output and code are what counts.
            if ended {
                Some(outer)
            } else {
                namespace::child_of(outer)
            }
        });
        let Ok(pid) = found else {
            kill_group(&mut nsenter);
            return Err(LabError::Other(format!("{text}: did not start")));
        };
        Ok(Self {
            text,
            log,
            pid,
            nsenter: Mutex::new(nsenter),
        })
    }

    /// Its id, as this machine numbers it; it is in `/proc` here.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// All it has printed, stdout and stderr in the order they were written.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it has printed `text`.
    ///
    /// # Errors
    /// When it has not in time, or has ended; the message has what it did print.
    pub fn wait_for(&self, text: &str, deadline: Duration) -> Result<()> {
        let what = format!("{}: printing {text:?}", self.text);
        let seen = wait::until(&what, deadline, || {
            // First whether it ended, then the output: what it printed last must count.
            let ended = self.ended().is_some();
            let seen = self.output().contains(text);
            (seen || ended).then_some(seen)
        });
        match seen {
            Ok(true) => Ok(()),
            Ok(false) => Err(LabError::Other(format!(
                "{what}: it ended\n{}",
                self.output()
            ))),
            Err(error) => Err(LabError::Other(format!("{error}\n{}", self.output()))),
        }
    }

    /// Asks it, and not its children, to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills it, and not its children, and waits until it is gone, as an out-of-memory kill does.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        let _reaped = self.nsenter().wait();
    }

    /// Freezes it, and not its children.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
        // `nsenter` stops itself when its child does.
        let nsenter = self.nsenter();
        let _gone = rustix::process::kill_process(Pid::from_child(&nsenter), Signal::CONT);
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.nsenter().try_wait().ok().flatten()
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// When it has not in time.
    pub fn wait(&self, deadline: Duration) -> Result<ExitStatus> {
        wait::until(&format!("{}: ending", self.text), deadline, || self.ended())
    }

    fn signal(&self, signal: Signal) {
        // Under the lock and only while it is not reaped: its id cannot be another's then.
        let mut nsenter = self.nsenter();
        if let Ok(None) = nsenter.try_wait() {
            let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
            let _gone = pid.map(|pid| rustix::process::kill_process(pid, signal));
        }
    }

    fn nsenter(&self) -> MutexGuard<'_, Child> {
        self.nsenter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill_group(&mut self.nsenter());
    }
}
