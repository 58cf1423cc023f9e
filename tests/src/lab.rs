//! The lab: several real hosts on one machine, made for one run and gone after it.
//!
//! ```text
//! Lab ── run::Run ......... own folder, own /24 and bridge, and a watchdog that clears up
//!  ├── Host ............... unshare(net, mount, pid, uts, ipc) over a base::System, sshd, containerd, dockerd
//!  │    ├── exec, spawn ... nsenter into it
//!  │    └── power_off, power_on, start_docker, stop_docker, link_down, link_up
//!  ├── Registry ........... Debian's docker-registry on the bridge address
//!  ├── FaultyRegistry ..... a proxy in front of it that fails by plan
//!  ├── Machine ............ a whole one with systemd, emulated, for what namespaces cannot show
//!  └── Image .............. built from files and pushed over the registry's HTTP API
//! ```

mod base;
mod command;
mod error;
mod faulty;
mod fixture;
mod host;
mod http;
mod image;
mod layer;
mod machine;
mod made;
mod namespace;
mod net;
mod process;
mod programs;
mod registry;
mod run;
mod wait;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use base::System;
pub use command::{Cmd, Finished};
pub use error::{LabError, Result};
pub use faulty::{Fault, FaultyRegistry};
pub use fixture::binary as fixture_binary;
pub use host::Host;
pub use image::{Image, Pushed};
pub use machine::Machine;
pub use namespace::enter;
pub use process::Process;
pub use programs::Program;
pub use registry::{Login, Registry, Remote};
pub use wait::until;

use run::Run;

/// What the lab starts from outside its hosts, and the Debian package that has it.
const TOOLS: [(&str, &str); 7] = [
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("flock", "util-linux"),
    ("docker-registry", "docker-registry"),
    ("ssh-keygen", "openssh-client"),
];

/// One run of the lab. Dropping it, or the death of its process, ends its hosts and removes its files.
#[derive(Clone)]
pub struct Lab {
    run: Arc<Run>,
}

impl Lab {
    /// Starts a run: clears up after dead ones, makes the base if it is missing, and brings up the bridge.
    ///
    /// # Errors
    /// When the machine cannot have a lab, or making one fails.
    pub fn start() -> Result<Self> {
        Self::available()?;
        System::Debian13.ensure()?;
        Ok(Self {
            run: Arc::new(Run::start()?),
        })
    }

    /// Says whether this machine can have a lab, and if not, why.
    ///
    /// # Errors
    /// [`LabError::Unavailable`] with what is missing.
    pub fn available() -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::Unavailable("root".to_owned()));
        }
        match TOOLS.iter().find(|(tool, _)| !on_path(tool)) {
            Some((tool, package)) => {
                Err(LabError::Unavailable(format!("{tool} (package {package})")))
            }
            None => Ok(()),
        }
    }

    /// A lab, or `None` and one line on stderr where the machine cannot have one.
    ///
    /// # Panics
    /// When a lab cannot be made although it could, or with `LONGSHORE_LAB=require` when it is unavailable:
    /// a machine meant to run these suites must not pass by skipping them.
    #[must_use]
    #[expect(
        clippy::print_stderr,
        reason = "a skipped suite must say so in the test's output"
    )]
    pub fn start_or_skip() -> Option<Self> {
        match Self::start() {
            Ok(lab) => Some(lab),
            Err(LabError::Unavailable(why)) if !required() => {
                eprintln!("skipped: lab tests need {why}");
                None
            }
            Err(error) => panic!("no lab: {error}"),
        }
    }

    /// Starts one host and waits until its engine answers.
    ///
    /// # Errors
    /// When it does not come up; the message ends with the host's own log.
    pub fn host(&self, name: &str) -> Result<Host> {
        self.host_with(System::usual()?, name)
    }

    /// The same with another system, which is made once if it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or does not come up.
    pub fn host_with(&self, system: System, name: &str) -> Result<Host> {
        system.ensure()?;
        Host::start(Arc::clone(&self.run), system, name)
    }

    /// Starts several hosts at the same time, in the order of their names.
    ///
    /// # Errors
    /// The first failure; hosts that did start are stopped again.
    pub fn hosts<const N: usize>(&self, names: [&str; N]) -> Result<[Host; N]> {
        let started: Vec<Result<Host>> = std::thread::scope(|scope| {
            let starts = names.map(|name| scope.spawn(move || self.host(name)));
            starts.into_iter().map(joined).collect()
        });
        let hosts = started.into_iter().collect::<Result<Vec<_>>>()?;
        hosts
            .try_into()
            .map_err(|_| LabError::Other("a host is missing".to_owned()))
    }

    /// Starts a registry on the bridge address, open to everyone.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn registry(&self) -> Result<Registry> {
        Registry::start(Arc::clone(&self.run), None)
    }

    /// Starts a registry that wants [`Login::TEST`].
    ///
    /// # Errors
    /// When it does not answer in time.
    pub fn registry_with_login(&self) -> Result<Registry> {
        Registry::start(Arc::clone(&self.run), Some(Login::TEST))
    }

    /// The address of this machine on the lab's network, where hosts can reach a test's own server.
    #[must_use]
    pub fn gateway(&self) -> std::net::Ipv4Addr {
        self.run.net().gateway()
    }

    /// The private key that root's sshd on every host of this lab accepts.
    #[must_use]
    pub fn ssh_key(&self) -> PathBuf {
        self.run.path("key")
    }

    /// The run's folder, for a test's own files; gone with the lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.run.folder()
    }
}

fn joined(start: std::thread::ScopedJoinHandle<'_, Result<Host>>) -> Result<Host> {
    start
        .join()
        .unwrap_or_else(|_| Err(LabError::Other("starting a host panicked".to_owned())))
}

fn required() -> bool {
    std::env::var_os("LONGSHORE_LAB").is_some_and(|value| value == "require")
}

fn on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}
