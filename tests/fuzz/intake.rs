//! Every place where bytes from elsewhere are first read, each as one function that panics when a property is broken.
//!
//! The same functions run in the plain test `fuzz`, over the kept corpus, and under libFuzzer (`deploy/fuzz`).

mod config;
mod engine;
mod fleet;
mod identity;
mod names;
mod screen;
mod ssh;
mod state;
mod wire;

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use proto::fault::Fault;
use tempfile::TempDir;

/// A place where bytes from elsewhere are first read.
pub(crate) struct Intake {
    /// Its name on the command line, and its folder in the corpus.
    pub(crate) name: &'static str,
    /// Takes the bytes; panics when a property does not hold.
    pub(crate) run: fn(&[u8]),
}

macro_rules! intakes {
    ($($name:literal => $run:path,)*) => {
        &[$(Intake { name: $name, run: $run }),*]
    };
}

/// All of them, by name.
pub(crate) const INTAKES: &[Intake] = intakes! {
    "agent-config" => config::agent,
    "audit" => state::audit,
    "authorities" => identity::authorities,
    "compose-config" => engine::compose_config,
    "compose-words" => engine::compose_words,
    "docker-config" => config::docker,
    "dotenv" => config::dotenv,
    "duration" => names::duration,
    "fleet" => fleet::fleet,
    "fleet-edit" => fleet::edit,
    "grant" => identity::grant,
    "identity-file" => identity::identity_file,
    "inspect" => engine::inspect,
    "journal" => state::journal,
    "known-hosts" => ssh::known_hosts,
    "log-frames" => engine::log_frames,
    "names" => names::names,
    "path" => names::path,
    "plan-file" => state::plan_file,
    "pull" => engine::pull,
    "records" => state::records,
    "request" => identity::request,
    "ssh-config" => ssh::config,
    "status" => wire::status,
    "target" => fleet::target,
    "terminal" => screen::terminal,
    "wire" => wire::wire,
};

#[cfg(test)]
pub(crate) use identity::now as certificates_are_valid;

/// The bytes as text; what is no text is refused long before these intakes.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Errors carry text, whatever a person is told through: the sentence, the chain of causes, the hints.
fn check_error(error: &dyn std::error::Error) {
    let mut next = Some(error);
    while let Some(error) = next {
        assert!(
            !error.to_string().trim().is_empty(),
            "{error:?} says nothing"
        );
        next = error.source();
    }
}

/// A fault says what failed, and nothing in it is empty.
fn check_fault(fault: &Fault) {
    assert!(!fault.what.trim().is_empty(), "{fault:?} says nothing");
    for text in fault.causes.iter().chain(&fault.hints) {
        assert!(!text.trim().is_empty(), "{fault:?} has an empty part");
    }
}

/// A folder of this thread's own, in which `write` puts one file.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a private file in place, as the owner of a secret would have it.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

/// Runs `with` over this thread's folder; one folder serves all inputs, so that each costs one write.
fn in_scratch<T>(with: impl FnOnce(&Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: OnceCell<Scratch> = const { OnceCell::new() };
    }
    SCRATCH.with(|scratch| with(scratch.get_or_init(Scratch::new)))
}
