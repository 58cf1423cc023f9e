//! Power: boots a host in new namespaces, and ends all of it at once, as pulling the plug does.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::Host;
use crate::lab::command::kill_group;
use crate::lab::error::{During, LabError, Result};

/// Process 1 of every host.
const INIT: &str = include_str!("../init.sh");

/// Mounts and keys take a tenth of a second; several hosts on a busy machine take longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// A host that is on. Its process 1 lives for as long as `unshare`'s input is open, so it dies with us.
pub(super) struct Power {
    unshare: Child,
    pid: u32,
}

impl Power {
    /// Process 1 of the host.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Kills process 1, and with it everything in the host; returns when all of it is gone.
    fn cut(mut self) {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let _gone =
            pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
        // `unshare` ends when process 1 does, which the kernel lets go only after all the others.
        let _reaped = self.unshare.wait();
    }
}

impl Host {
    /// Boots it on the disk it had, starts the engine, if there is one, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up; the message ends with the host's own log.
    pub fn power_on(&self) -> Result<()> {
        let power = self.boot().map_err(|error| self.with_log(error))?;
        *self.power() = Some(power);
        // Where nobody has installed it yet there is none.
        if self.sh("command -v dockerd").is_err() {
            return Ok(());
        }
        self.start_docker()
    }

    /// Pulls the plug: nothing in the host gets a signal or a moment. Its disk stays.
    ///
    /// # Errors
    /// When its link cannot be removed.
    pub fn power_off(&self) -> Result<()> {
        let power = self.power().take();
        if let Some(power) = power {
            power.cut();
            // The kernel may have been quicker.
            let _gone = crate::lab::command::tool(["ip", "link", "delete", &self.link()]);
        }
        Ok(())
    }

    fn boot(&self) -> Result<Power> {
        let mut unshare = self.unshare()?;
        let lines = lines(unshare.stdout.take());
        let result = self.plug_in(&mut unshare, &lines);
        match result {
            Ok(pid) => Ok(Power { unshare, pid }),
            Err(error) => {
                kill_group(&mut unshare);
                Err(error)
            }
        }
    }

    fn unshare(&self) -> Result<Child> {
        let (address, gateway) = (
            self.address.to_string(),
            self.run.net().gateway().to_string(),
        );
        Command::new("unshare")
            .args([
                "--mount",
                "--pid",
                "--net",
                "--uts",
                "--ipc",
                "--fork",
                "--kill-child",
            ])
            .args(["bash", "-c", INIT, "init"])
            .args([self.system.folder(), self.folder()])
            .args([self.name(), &address, &gateway, &self.run.net().cidr()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.log("log")?)
            .process_group(0)
            .spawn()
            .during(|| format!("starting {}", self.name))
    }

    /// Waits for process 1, gives it its network, and waits until it has set itself up.
    fn plug_in(&self, unshare: &mut Child, lines: &Receiver<String>) -> Result<u32> {
        let pid: u32 = self.line(lines)?.parse().map_err(|_| self.broken())?;
        self.run.note_process(&self.name, pid)?;
        self.run.net().plug(self.address, pid)?;
        let stdin = unshare.stdin.as_mut().ok_or_else(|| self.broken())?;
        stdin
            .write_all(b"plugged\n")
            .during(|| format!("talking to {}", self.name))?;
        self.line(lines).map(|_up| pid)
    }

    fn line(&self, lines: &Receiver<String>) -> Result<String> {
        lines.recv_timeout(DEADLINE).map_err(|_| self.broken())
    }

    fn broken(&self) -> LabError {
        LabError::Other(format!("host {} did not boot", self.name))
    }

    fn with_log(&self, error: LabError) -> LabError {
        let log = std::fs::read_to_string(self.folder().join("log")).unwrap_or_default();
        LabError::Other(format!("{error}\n{log}"))
    }

    fn log(&self, name: &str) -> Result<std::fs::File> {
        let path = self.folder().join(name);
        std::fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .during(|| format!("opening {}", path.display()))
    }
}

fn lines(pipe: Option<ChildStdout>) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(pipe?).lines();
        lines
            .map_while(std::result::Result::ok)
            .try_for_each(|line| send.send(line))
            .ok()
    });
    receive
}
