//! Replaces the agent: takes a new one in, lets the launcher try it, and keeps it once a controller has worked with it.
//!
//! The launcher (`deploy/launch`) says in its environment where it is and whether this agent is on trial. What it goes
//! by is described there: `current`, `next-TRIES`, `previous`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proto::fault::{Fault, FaultKind};
use proto::upgrade::NewAgent;
use tokio::sync::Semaphore;

mod incoming;
mod place;
mod starter;

pub use incoming::{Incoming, Whole};
use place::Place;

/// Where the launcher is.
const LAUNCHER: &str = "LONGSHORE_LAUNCHER";
/// Which link led to this agent, when it is on trial.
const NEXT: &str = "LONGSHORE_NEXT";

/// What becomes of an agent that is offered.
#[derive(Debug)]
pub enum Offered {
    /// It is this one.
    Running,
    /// Its bytes are wanted.
    Wanted(Incoming),
}

/// The one that knows which agent this is, and may replace it.
#[derive(Debug, Default)]
pub struct Upgrades {
    launcher: Option<PathBuf>,
    place: Option<Place>,
    build: String,
    instance: String,
    /// The link that led here, until somebody has worked with this agent.
    trial: Mutex<Option<PathBuf>>,
    /// One at a time.
    under_way: Option<Arc<Semaphore>>,
    replaced: AtomicBool,
}

impl Upgrades {
    /// As this process was started.
    #[must_use]
    pub fn of_this_process() -> Self {
        let binary = std::env::current_exe().unwrap_or_default();
        Self::started(&binary, |name| std::env::var_os(name))
    }

    /// The agent of `binary`, started with these variables.
    #[must_use]
    pub fn started(binary: &Path, get: impl Fn(&str) -> Option<OsString>) -> Self {
        let launcher = get(LAUNCHER).map(PathBuf::from);
        let folder = launcher.as_deref().and_then(Path::parent);
        let name = binary.file_name().unwrap_or_default().to_string_lossy();
        let build = name.strip_prefix("agent-").unwrap_or_default();
        Self {
            place: folder.map(Place::at),
            launcher,
            build: build.to_owned(),
            instance: instance(),
            trial: Mutex::new(get(NEXT).map(PathBuf::from)),
            under_way: Some(Arc::new(Semaphore::new(1))),
            replaced: AtomicBool::new(false),
        }
    }

    /// Which agent this is; empty when it was not installed as such.
    #[must_use]
    pub fn build(&self) -> &str {
        &self.build
    }

    /// Another one with each start.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The new agent that was tried last and that no controller has worked with, if this one had to come back for it.
    #[must_use]
    pub fn gone_back(&self) -> Option<String> {
        let name = self.place.as_ref()?.failed()?;
        Some(name.strip_prefix("agent-").unwrap_or(&name).to_owned())
    }

    /// What starts this agent and belongs to another build; nothing where it was not installed.
    #[must_use]
    pub fn started_by_another(&self) -> Option<String> {
        starter::differs(self.launcher.as_deref()?, Path::new(starter::UNIT_FILE))
    }

    /// A controller has understood this agent's handshake and goes on: a new agent has proved itself.
    pub fn worked_with(&self) {
        let mut trial = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(place), Some(next)) = (&self.place, trial.as_deref()) else {
            return;
        };
        match place.keep(next) {
            Ok(()) => {
                tracing::info!(build = self.build, "this agent is kept");
                *trial = None;
            }
            // The next call tries again, and in the end the old agent comes back.
            Err(error) => tracing::error!(%error, "this agent cannot be kept"),
        }
    }

    /// Takes an agent that is offered in place of this one.
    ///
    /// # Errors
    /// When it is for another machine, another one is being taken, there is no room, or this one was not started by the
    /// launcher.
    pub fn offered(&self, new: NewAgent) -> Result<Offered, Fault> {
        if new.build() == self.build {
            return Ok(Offered::Running);
        }
        let (Some(place), Some(under_way)) = (&self.place, &self.under_way) else {
            return Err(not_launched());
        };
        let here = architecture();
        if new.architecture != here {
            let what = format!(
                "this host is {here}, and the agent is for {}",
                new.architecture
            );
            return Err(Fault::new(FaultKind::Refused, what));
        }
        let turn = under_way.clone().try_acquire_owned().map_err(|_| {
            Fault::new(FaultKind::Busy, "this agent is being replaced already")
                .hint("run the same command again in a minute")
        })?;
        Ok(Offered::Wanted(Incoming::open(place.clone(), new, turn)?))
    }

    /// Makes a whole agent the next one that is started. This one is to end soon.
    ///
    /// # Errors
    /// When the disk refuses; then this agent stays.
    pub fn replace_by(&self, new: &Whole) -> Result<(), Fault> {
        let place = self.place.as_ref().ok_or_else(not_launched)?;
        place.put_next(&new.name).map_err(|error| {
            Fault::new(FaultKind::Failed, "the new agent cannot be put in place").because(&error)
        })?;
        self.replaced.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Whether this agent ends so that another can start.
    #[must_use]
    pub fn replaced(&self) -> bool {
        self.replaced.load(Ordering::SeqCst)
    }

    /// Becomes the launcher, with this process' arguments: whoever watches over this process sees no end of it.
    /// Returns only when that fails.
    #[must_use]
    pub fn start_again(&self) -> io::Error {
        match &self.launcher {
            Some(launcher) => Command::new(launcher)
                .args(std::env::args_os().skip(1))
                .exec(),
            None => io::ErrorKind::NotFound.into(),
        }
    }
}

fn not_launched() -> Fault {
    let what = "this agent was not started by its launcher, so no other could take its place";
    Fault::new(FaultKind::Refused, what)
        .hint("run install.sh on the host; its unit starts the launcher")
}

/// As image platforms spell it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn instance() -> String {
    let mut bytes = [0; 8];
    // Without any it is as with an agent that does not tell.
    match getrandom::fill(&mut bytes) {
        Ok(()) => format!("{:016x}", u64::from_ne_bytes(bytes)),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests;
