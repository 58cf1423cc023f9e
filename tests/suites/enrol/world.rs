//! A workstation with a fleet, agents to hand out and a login, and servers that are nobody's yet.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
pub(crate) use tests::command::Ended;
use tests::command::program;
use tests::lab::{Host, Lab, Machine};

const PASSPHRASE: &str = "a passphrase for tests only";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) struct World {
    pub(crate) lab: Lab,
    admin: TempDir,
}

/// The suite's world; `None`, and a word on standard error, where there can be none.
pub(crate) fn world() -> Option<&'static World> {
    static WORLD: OnceLock<Option<World>> = OnceLock::new();
    // Never dropped: the lab's watchdog clears up when this process ends.
    WORLD.get_or_init(World::make).as_ref()
}

fn private_file(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl World {
    fn make() -> Option<Self> {
        let lab = Lab::start_or_skip()?;
        let world = Self {
            lab,
            admin: tempfile::tempdir().unwrap(),
        };
        private_file(&world.passphrase(), PASSPHRASE);
        world.agents();
        fs::create_dir(world.admin.path().join("fleet")).unwrap();
        let keys = [world.lab.ssh_key(), Machine::key()];
        let keys = keys.map(|key| format!("  IdentityFile {}\n", key.display()));
        let config = format!("Host *\n{}", keys.concat());
        private_file(&world.home().join(".ssh/config"), &config);
        let desk = Desk {
            world: &world,
            folder: world.admin.path().join("fleet"),
            home: world.home(),
            _own: None,
        };
        desk.run(&["init", "--name", "opq", "--operator", "ana"], &[])
            .done();
        Some(world)
    }

    /// What `deploy/agents` makes, from this build; without debug information, as it ships.
    fn agents(&self) {
        let folder = self.home().join("data/agents").join(VERSION);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("agent-linux-amd64");
        let strip = Command::new("strip")
            .arg("-o")
            .arg(&file)
            .arg(program("agent"))
            .status();
        if !strip.is_ok_and(|status| status.success()) {
            fs::copy(program("agent"), &file).unwrap();
        }
        let digest = Sha256::digest(fs::read(&file).unwrap());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(
            folder.join("SHA256SUMS"),
            format!("{digest}  agent-linux-amd64\n"),
        )
        .unwrap();
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.admin.path().join("home")
    }

    pub(crate) fn passphrase(&self) -> PathBuf {
        self.admin.path().join("passphrase")
    }

    /// A checkout of the fleet of its own, with no host in it.
    pub(crate) fn desk(&self) -> Desk<'_> {
        let own = tempfile::tempdir().unwrap();
        for file in ["ca.pem", "revoked.crl", "fleet.toml"] {
            let from = self.admin.path().join("fleet").join(file);
            fs::copy(from, own.path().join(file)).unwrap();
        }
        Desk {
            world: self,
            folder: own.path().to_owned(),
            home: self.home(),
            _own: Some(own),
        }
    }

    /// A fleet of its own, whose authorities nobody else uses.
    pub(crate) fn fleet(&self, name: &str) -> Desk<'_> {
        let own = tempfile::tempdir().unwrap();
        let (folder, home) = (own.path().join("fleet"), own.path().join("home"));
        for folder in [&folder, &home] {
            fs::create_dir(folder).unwrap();
        }
        symlink(self.home().join("data"), home.join("data")).unwrap();
        let desk = Desk {
            world: self,
            folder,
            home,
            _own: Some(own),
        };
        desk.run(&["init", "--name", name, "--operator", "ana"], &[])
            .done();
        desk
    }

    /// A server without anything of longshore, whose services are started by what plays systemd.
    pub(crate) fn server(&self, name: &str) -> Host {
        let host = self.lab.host(name).unwrap();
        dressed(&host);
        host
    }
}

/// Gives a host what plays systemd, until it is started again.
pub(crate) fn dressed(host: &Host) {
    let systemctl = include_str!("systemctl.sh");
    let journalctl = "#!/bin/sh\ntail -n 12 /var/log/agent.log\n";
    for (name, text) in [("systemctl", systemctl), ("journalctl", journalctl)] {
        let path = format!("/usr/local/sbin/{name}");
        host.write_file(path, text, 0o755).unwrap();
    }
    host.sh("mkdir -p /run/systemd/system").unwrap();
}

/// One checkout of the fleet.
pub(crate) struct Desk<'w> {
    world: &'w World,
    pub(crate) folder: PathBuf,
    home: PathBuf,
    _own: Option<TempDir>,
}

impl Desk<'_> {
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("controller"));
        command.args(words).current_dir(&self.folder).env_clear();
        command
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.world.home())
            .env("LONGSHORE_HOME", &self.home)
            .env("LONGSHORE_CA_PASSPHRASE_FILE", self.world.passphrase())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, words: &[&str], env: &[(&str, &str)]) -> Ended {
        let mut command = self.command(words);
        let output = command.envs(env.iter().copied()).output().unwrap();
        Ended::from(output)
    }

    /// The words of `host add` for a server, logged in as `user`, with its key told.
    pub(crate) fn words(&self, host: &Host, user: &str) -> Vec<String> {
        let key = self.fingerprint(host);
        let ssh = format!("{user}@{}", host.ip());
        let words = [
            "host",
            "add",
            host.name(),
            "--ssh",
            &ssh,
            "--host-key",
            &key,
        ];
        words.map(str::to_owned).to_vec()
    }

    pub(crate) fn add(&self, host: &Host, more: &[&str]) -> Ended {
        self.add_as(host, "root", more)
    }

    pub(crate) fn add_as(&self, host: &Host, user: &str, more: &[&str]) -> Ended {
        let words = self.words(host, user);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(more);
        self.run(&words, &[])
    }

    fn fingerprint(&self, host: &Host) -> String {
        let key = self.folder.join(format!("{}.pub", host.name()));
        fs::write(&key, host.ssh_host_key().unwrap()).unwrap();
        let output = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(&key)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().nth(1).unwrap().to_owned()
    }

    pub(crate) fn fleet_file(&self) -> String {
        fs::read_to_string(self.folder.join("fleet.toml")).unwrap()
    }
}

/// What of longshore is on a server: names and contents, without what changes by itself.
pub(crate) fn traces(host: &Host) -> String {
    host.sh(
        "find /etc/longshore /usr/local /etc/systemd/system/longshore-agent.service -type f -o -type l 2>/dev/null |
         sort | while read -r path; do echo \"$path $(sha256sum <\"$path\")\"; done",
    )
    .unwrap()
}
