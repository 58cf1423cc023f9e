//! A whole machine with systemd, emulated, joined by `host add`: its unit, its engine and its power are real.

mod deploys;
mod keeping;
mod upgrading;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tests::full;
use tests::lab::{Image, Machine, Registry, until};

use crate::world::{Desk, Ended, VERSION, World, world};

/// Emulated, everything takes its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Versions that there are of the stack's image.
const TAGS: u32 = 7;

/// Two services; the engine does not start the second one again after a restart of the machine.
const STACK: &str = "\
services:
  web:
    image: ${REGISTRY}/org/web:${TAG}
    environment: { FIXTURE_HEALTHY_AFTER_MS: \"${SLOW}\" }
    restart: always
    volumes: [\"data:/data\"]
    healthcheck: { test: [CMD, /fixture, health], interval: 2s, timeout: 20s, retries: 10 }
  once:
    image: ${REGISTRY}/org/web:${TAG}
    restart: \"no\"
volumes:
  data:
";

/// The machine as a host of a fleet, with a stack called `web`; one test at a time has one.
struct Joined {
    machine: Machine,
    desk: Desk<'static>,
    home: TempDir,
    registry: Registry,
    _turn: MutexGuard<'static, ()>,
}

/// Starts a machine and adds it; nothing unless the long run is wanted.
fn joined() -> Option<Joined> {
    static ONE: Mutex<()> = Mutex::new(());
    let world = world()?;
    if !full::wanted() {
        return None;
    }
    let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let joined = Joined {
        machine: Machine::start().unwrap(),
        desk: world.desk(),
        home: copy_of_home(world),
        registry: world.lab.registry().unwrap(),
        _turn: turn,
    };
    joined.add();
    Some(joined)
}

/// What is offered here must not be what another test hands out.
fn copy_of_home(world: &World) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(world.home().join("."))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    copy
}

impl Joined {
    fn add(&self) {
        for tag in 1..=TAGS {
            let image = Image::fixture("web", &tag.to_string()).unwrap();
            image
                .push(&self.registry, &format!("org/web:{tag}"))
                .unwrap();
        }
        let address = self.registry.address();
        // The engine takes this from its file without being started again.
        let trust = format!(
            "mkdir -p /etc/docker && echo '{{\"insecure-registries\":[\"{address}\"]}}' >/etc/docker/daemon.json &&
             systemctl start docker && systemctl reload docker"
        );
        self.machine.sh(&trust).unwrap();
        let file = self.desk.fleet_file() + "\n[stacks.web]\npath = \"web\"\n";
        fs::write(self.desk.folder.join("fleet.toml"), file).unwrap();
        fs::create_dir(self.desk.folder.join("web")).unwrap();
        fs::write(self.desk.folder.join("web/compose.yaml"), STACK).unwrap();
        self.write(1, 0);
        let output = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(self.machine.host_key())
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let key = text.split_whitespace().nth(1).unwrap();
        let ssh = format!("root@{}", self.machine.ssh_address());
        let address = self.machine.agent_address().to_string();
        let began = Instant::now();
        let mut words = vec!["host", "add", "machine", "--ssh", &ssh];
        words.extend(["--address", &address, "--host-key", key, "--stack", "web"]);
        let said = self.run(&words).done();
        let took = began.elapsed().as_secs_f64();
        full::report(&format!("host add on an emulated machine: {took:.1} s"));
        let whole = said.contains("✓ service") && said.contains("✓ link");
        assert!(whole, "{said}");
    }

    /// The stack in this version, healthy only after so many milliseconds.
    fn write(&self, tag: u32, slow: u32) {
        let registry = self.registry.address();
        let text = format!("REGISTRY={registry}\nTAG={tag}\nSLOW={slow}\n");
        fs::write(self.desk.folder.join("web/.env"), text).unwrap();
    }

    fn run(&self, words: &[&str]) -> Ended {
        Ended::from(self.command(words).output().unwrap())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.desk.command(words);
        command.env("LONGSHORE_HOME", self.home.path());
        command
    }

    /// Starts the controller, and waits until it has printed a line with this word.
    fn run_until(&self, words: &[&str], word: &str) -> Beside {
        let child = self.command(words).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains(word) {
            match lines.next() {
                Some(line) => said += &(line.unwrap() + "\n"),
                None => panic!("{word:?} was never said:\n{said}"),
            }
        }
        let rest = std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            lines.fold(said, |said, line| said + &line + "\n")
        });
        Beside { child, rest }
    }

    fn works(&self) -> bool {
        self.run(&["status", "machine"]).code == 0
    }

    /// Waits for a predicate as long as a machine that starts again may take.
    #[track_caller]
    fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let held = until(what, PATIENCE, || holds().then_some(()));
        if let Err(error) = held {
            let log = "journalctl -u longshore-agent --no-pager | tail -n 60; docker ps -a";
            panic!("{error}\n{}", self.machine.sh(log).unwrap_or_default());
        }
    }

    fn pid(&self) -> String {
        self.machine
            .sh("systemctl show -P MainPID longshore-agent")
            .unwrap_or_default()
    }

    fn kill_agent(&self) {
        self.machine
            .sh("kill -9 $(systemctl show -P MainPID longshore-agent)")
            .unwrap();
    }

    /// The stack's containers as `name image state`, one a line.
    fn containers(&self) -> String {
        let line = "docker ps -a --format '{{.Names}} {{.Image}} {{.State}}' | sort";
        let text = self.machine.sh(line).unwrap_or_default();
        text.replace(&format!("{}/", self.registry.address()), "")
    }

    fn ids(&self) -> String {
        self.machine.sh("docker ps -q --no-trunc | sort").unwrap()
    }

    /// So many seconds for each try of a new agent.
    fn trial(&self, seconds: u32) {
        let line = format!(
            "mkdir -p /etc/systemd/system/longshore-agent.service.d &&
             printf '[Service]\\nEnvironment=LONGSHORE_TRIAL={seconds}\\n' >/etc/systemd/system/longshore-agent.service.d/t.conf &&
             systemctl daemon-reload && systemctl restart longshore-agent"
        );
        self.machine.sh(&line).unwrap();
        self.eventually("an agent that answers", || self.works());
    }

    fn agents(&self, version: &str) -> PathBuf {
        self.home.path().join("data/agents").join(version)
    }

    /// The agent that the machine was given at first.
    fn agent(&self) -> Vec<u8> {
        fs::read(self.agents(VERSION).join("agent-linux-amd64")).unwrap()
    }

    /// Puts an agent where the controller finds it; its build.
    fn offer(&self, version: &str, agent: &[u8]) -> String {
        let (folder, sum) = (self.agents(version), sum(agent));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("agent-linux-amd64"), agent).unwrap();
        let line = format!("{sum}  agent-linux-amd64\n");
        fs::write(folder.join("SHA256SUMS"), line).unwrap();
        format!("{version}-{sum:.8}")
    }
}

/// A controller that runs beside a test.
struct Beside {
    child: Child,
    rest: std::thread::JoinHandle<String>,
}

impl Beside {
    /// Its code and everything it said.
    fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, self.rest.join().unwrap())
    }
}

fn sum(content: &[u8]) -> String {
    let sum = Sha256::digest(content);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}
