//! One host: boots it, runs commands in it, and takes its engine, its network or its power away.

mod boot;
mod engine;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::base::System;
use super::command::{Cmd, Finished, tool};
use super::error::{During, LabError, Result};
use super::namespace;
use super::process::Process;
use super::run::Run;

use boot::Power;

/// A server of the lab, with its own network, processes, name, sshd, containerd and dockerd.
pub struct Host {
    run: Arc<Run>,
    system: System,
    name: String,
    address: Ipv4Addr,
    /// None while the power is off.
    power: Mutex<Option<Power>>,
    spawned: AtomicU32,
}

impl Host {
    pub(crate) fn start(run: Arc<Run>, system: System, name: &str) -> Result<Self> {
        let address = run.net().next_address();
        let host = Self {
            run,
            system,
            name: name.to_owned(),
            address,
            power: Mutex::new(None),
            spawned: AtomicU32::new(0),
        };
        host.make_folders()?;
        host.power_on()?;
        Ok(host)
    }

    /// Its name, which is also its hostname.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address, reachable from this machine and from the other hosts.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.address
    }

    /// Its process 1, as this machine numbers it.
    ///
    /// # Errors
    /// While the power is off.
    pub fn pid(&self) -> Result<u32> {
        let power = self.power();
        power
            .as_ref()
            .map(Power::pid)
            .ok_or_else(|| LabError::Other(format!("{} is powered off", self.name)))
    }

    /// Its root folder as this machine sees it, mounts included. An absolute symbolic link in it would be
    /// followed from this machine's root.
    ///
    /// # Errors
    /// While the power is off.
    pub fn root(&self) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.pid()?)))
    }

    /// The engine's socket as this machine sees it.
    ///
    /// # Errors
    /// While the power is off.
    pub fn docker_socket(&self) -> Result<PathBuf> {
        Ok(self.root()?.join("run/docker.sock"))
    }

    /// Runs a command to its end, whatever its exit code.
    ///
    /// # Errors
    /// When it cannot be started or its deadline passes; it is killed then.
    pub fn exec(&self, cmd: &Cmd) -> Result<Finished> {
        cmd.run(namespace::enter(self.pid()?, cmd))
    }

    /// Runs a shell line that must succeed; gives its output.
    ///
    /// # Errors
    /// When it fails; the message has all it said.
    pub fn sh(&self, line: &str) -> Result<String> {
        self.exec(&Cmd::shell(line))?.ok()
    }

    /// Starts a command that stays, such as the agent; what it prints is kept for [`Process::output`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, cmd: &Cmd) -> Result<Process> {
        let number = self.spawned.fetch_add(1, Ordering::Relaxed);
        let log = self.folder().join(format!("spawned-{number}.log"));
        Process::start(namespace::enter(self.pid()?, cmd), cmd.text(), log)
    }

    /// Writes a file with this mode, and its folders.
    ///
    /// # Errors
    /// When the path is not absolute or cannot be written.
    pub fn write_file(
        &self,
        path: impl AsRef<Path>,
        bytes: impl AsRef<[u8]>,
        mode: u32,
    ) -> Result<()> {
        let path = self.outside(path.as_ref())?;
        let what = || format!("writing {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(&path)).during(what)?;
        fs::write(&path, bytes).during(what)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).during(what)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_file(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let path = self.outside(path.as_ref())?;
        fs::read(&path).during(|| format!("reading {}", path.display()))
    }

    /// Copies a file of this machine into the host, mode included: a program such as the agent.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn install(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
        let to = self.outside(to.as_ref())?;
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).during(|| format!("making {}", folder.display()))?;
        }
        // Not by this process: what it writes is busy for as long as a child that is just being started has it too.
        // And a program that runs cannot be written over, only replaced.
        let words = ["cp".as_ref(), "--remove-destination".as_ref()];
        let paths = [from.as_ref().as_os_str(), to.as_os_str()];
        tool(words.into_iter().chain(paths)).map(drop)
    }

    /// The public key of its sshd, `ssh-ed25519 …`, as a known-hosts file wants it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn ssh_host_key(&self) -> Result<String> {
        let text = self.read_file("/etc/ssh/ssh_host_ed25519_key.pub")?;
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(text.split(' ').take(2).collect::<Vec<_>>().join(" "))
    }

    /// Cuts its network: nothing arrives, nothing is refused.
    ///
    /// # Errors
    /// When the link cannot be switched.
    pub fn link_down(&self) -> Result<()> {
        tool(["ip", "link", "set", &self.link(), "down"]).map(drop)
    }

    /// Gives its network back.
    ///
    /// # Errors
    /// When the link cannot be switched.
    pub fn link_up(&self) -> Result<()> {
        tool(["ip", "link", "set", &self.link(), "up"]).map(drop)
    }

    fn make_folders(&self) -> Result<()> {
        for name in ["upper", "work", "root", "docker", "containerd"] {
            let folder = self.folder().join(name);
            fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
        }
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        self.run.path("hosts").join(&self.name)
    }

    fn link(&self) -> String {
        self.run.net().link(self.address)
    }

    fn outside(&self, path: &Path) -> Result<PathBuf> {
        let relative = path
            .strip_prefix("/")
            .map_err(|_| LabError::Other(format!("{} is not absolute", path.display())))?;
        Ok(self.root()?.join(relative))
    }

    fn power(&self) -> MutexGuard<'_, Option<Power>> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Host {
    #[expect(
        clippy::print_stderr,
        reason = "shown with the test that failed, whose panic this is a part of"
    )]
    fn drop(&mut self) {
        // What failed may have failed in the engine, and its log goes with the host.
        if std::thread::panicking() {
            eprintln!("host {}, its engine:\n{}", self.name, self.docker_log());
        }
        let _ended = self.power_off();
        // The link and the rest of the run's leavings go with the run; the data is big, so it goes now.
        let _left = fs::remove_dir_all(self.folder());
    }
}
