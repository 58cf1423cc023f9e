//! A whole machine with systemd, emulated: what namespaces cannot show, units, restarts and reboots.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::command::Cmd;
use super::error::{During, Result};
use super::made::made;
use super::run::cache;
use super::wait::until;
use crate::loopback::Loopback;

/// Counted up when `machine.sh` changes.
const NAME: &str = "machine-1";
const MAKE: &str = include_str!("machine.sh");
/// A slow mirror is not a hang.
const MAKING: Duration = Duration::from_secs(1200);
/// Without hardware that helps, a start takes a minute or two.
const START: Duration = Duration::from_secs(900);

/// A Debian 13 server of its own; dropping it ends it, and what it wrote is forgotten.
pub struct Machine {
    folder: PathBuf,
    emulator: Child,
    own: Loopback,
    /// Names its latest start.
    boot: String,
}

/// Where its sshd is on the address that it has on this machine.
const SSH: u16 = 2022;
/// Where its agent is there.
const AGENT: u16 = 7433;

impl Machine {
    /// Starts one, from a disk that is made once, and waits for its sshd.
    ///
    /// # Errors
    /// When the disk cannot be made, or it does not come up.
    pub fn start() -> Result<Self> {
        let folder = made(NAME, MAKE, MAKING)?;
        let own = Loopback::take().during(|| "finding an address".to_owned())?;
        let (ssh, agent) = (own.port(SSH), own.port(AGENT));
        let network = format!("user,id=n0,hostfwd=tcp:{ssh}-:22,hostfwd=tcp:{agent}-:7433");
        let disk = format!(
            "if=none,id=d0,file={},format=raw,snapshot=on,cache=unsafe",
            folder.join("disk.img").display()
        );
        let console = folder.join(console(&own));
        let emulator = Command::new("qemu-system-x86_64")
            // This emulator's 16-byte compare-and-swap makes kernels panic.
            .args([
                "-M",
                "q35",
                "-cpu",
                "max,-cx16",
                "-accel",
                "tcg,thread=multi",
                "-smp",
                "2",
                "-m",
                "2048",
            ])
            .args(["-nodefaults", "-display", "none"])
            .arg("-serial")
            .arg(format!("file:{}", console.display()))
            .arg("-kernel")
            .arg(folder.join("vmlinuz"))
            .arg("-initrd")
            .arg(folder.join("initrd.img"))
            .args([
                "-append",
                "console=ttyS0 net.ifnames=0 mitigations=off audit=0",
            ])
            .args(["-drive", &disk, "-device", "virtio-blk-pci,drive=d0"])
            .args(["-netdev", &network, "-device", "virtio-net-pci,netdev=n0"])
            .args(["-device", "virtio-rng-pci", "-monitor", "stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .during(|| "starting qemu-system-x86_64 (package qemu-system-x86)".to_owned())?;
        let mut machine = Self {
            folder,
            emulator,
            own,
            boot: String::new(),
        };
        machine.wait()?;
        Ok(machine)
    }

    /// Waits until it lets somebody in after another start than the latest one.
    fn wait(&mut self) -> Result<()> {
        self.boot = until("a machine that has started", START, || {
            let now = self.sh("cat /proc/sys/kernel/random/boot_id").ok()?;
            (now != self.boot).then_some(now)
        })?;
        Ok(())
    }

    /// What leads to its sshd.
    #[must_use]
    pub fn ssh_address(&self) -> SocketAddr {
        self.own.port(SSH)
    }

    /// What leads to its agent.
    #[must_use]
    pub fn agent_address(&self) -> SocketAddr {
        self.own.port(AGENT)
    }

    /// The key that its root accepts; there is a file once one has been started.
    #[must_use]
    pub fn key() -> PathBuf {
        cache().join(NAME).join("key")
    }

    /// The public key of its sshd.
    #[must_use]
    pub fn host_key(&self) -> PathBuf {
        self.folder.join("host.pub")
    }

    /// Runs a shell line that must succeed; gives its output.
    ///
    /// # Errors
    /// When it fails; the message has all it said.
    pub fn sh(&self, line: &str) -> Result<String> {
        let key = Self::key();
        let at = self.ssh_address();
        let port = at.port().to_string();
        let words = [
            "ssh",
            "-i",
            &key.to_string_lossy(),
            "-p",
            &port,
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "ConnectTimeout=30",
            &format!("root@{}", at.ip()),
            line,
        ];
        let cmd = Cmd::new(words).deadline(Duration::from_secs(300));
        cmd.run(cmd.prepare(&[]))?.ok()
    }

    /// Restarts it in order: everything in it is told to end first.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn reboot(&mut self) -> Result<()> {
        // The connection ends before the command does.
        let _cut = self.sh("systemctl reboot");
        self.wait()
    }

    /// Takes its power for a moment: nothing in it gets a signal, and what was not on its disk is lost.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn cut_power(&mut self) -> Result<()> {
        if let Some(monitor) = &mut self.emulator.stdin {
            let what = || "talking to the emulator".to_owned();
            monitor.write_all(b"system_reset\n").during(what)?;
        }
        self.wait()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _killed = self.emulator.kill();
        let _ended = self.emulator.wait();
        let _gone = fs::remove_file(self.folder.join(console(&self.own)));
    }
}

/// The file that has what one of them writes to its console.
fn console(own: &Loopback) -> String {
    format!("console-{}.log", own.ip())
}
