//! The version before this one, built from its own commit, and this one: either controller works with either agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tests::full;
use tests::lab::{Cmd, Host, Process};

use crate::world::{Ended, WEB, World, program, secret_file, world};

/// The folder that `deploy/previous` printed.
const PREVIOUS: &str = "LONGSHORE_PREVIOUS";
const LAUNCH: &str = "/usr/local/lib/longshore/launch";

/// A fleet that the version before made, and one server of it.
struct Fleet<'w> {
    host: Host,
    launcher: Process,
    world: &'w World,
    folder: TempDir,
    /// Its controller and its agent.
    before: PathBuf,
}

/// Somebody's workstation, and which controller is on it.
struct Desk<'f, 'w> {
    fleet: &'f Fleet<'w>,
    home: &'static str,
    controller: PathBuf,
}

impl<'w> Fleet<'w> {
    fn new(world: &'w World, before: PathBuf) -> Self {
        let host = world.lab.host("older").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let desk = |words: &[&str]| run(&before.join("controller"), folder.path(), "ana", words);
        fs::create_dir(folder.path().join("fleet")).unwrap();
        secret_file(&folder.path().join("passphrase"), "for tests only");
        desk(&["init", "--name", "opq", "--operator", "ana"]).done();
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        for file in ["install.sh", "launch", "longshore-agent.service"] {
            let to = format!("/root/{file}");
            host.install(deploy.join(file), to).unwrap();
        }
        host.install(before.join("agent"), "/root/agent").unwrap();
        host.sh("/root/install.sh /root/agent").unwrap();
        let request = host.sh("agent enroll --name older").unwrap();
        fs::write(folder.path().join("fleet/request"), request).unwrap();
        let address = format!("{}:7433", host.ip());
        let approve = ["host", "approve", "older", "--request", "request"];
        let grant = desk(&[&approve[..], &["--address", &address]].concat()).done();
        let accept = Cmd::new(["agent", "accept"]).input(grant.as_bytes());
        host.exec(&accept).unwrap().ok().unwrap();
        let run = Cmd::new([LAUNCH, "--keep", "run"]).env("LONGSHORE_PAUSE", "0.1");
        let launcher = host.spawn(&run).unwrap();
        launcher
            .wait_for("listening", Duration::from_secs(20))
            .unwrap();
        let fleet = Self {
            host,
            launcher,
            world,
            folder,
            before,
        };
        fleet.write_stack();
        fleet
    }

    fn write_stack(&self) {
        let file = self.folder.path().join("fleet/fleet.toml");
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("[hosts.older]\n", "[hosts.older]\nstacks = [\"older\"]\n");
        let stack = format!(
            "\n[stacks.older]\npath = \"stack\"\n\n[stacks.older.env]\nREGISTRY = \"{}\"\n",
            self.world.registry.address()
        );
        fs::write(&file, text + &stack).unwrap();
        fs::create_dir(self.folder.path().join("fleet/stack")).unwrap();
        fs::write(self.folder.path().join("fleet/stack/compose.yaml"), WEB).unwrap();
    }

    fn old(&self, home: &'static str) -> Desk<'_, 'w> {
        self.desk(home, self.before.join("controller"))
    }

    fn new_one(&self, home: &'static str) -> Desk<'_, 'w> {
        self.desk(home, program("controller"))
    }

    fn desk(&self, home: &'static str, controller: PathBuf) -> Desk<'_, 'w> {
        Desk {
            fleet: self,
            home,
            controller,
        }
    }

    /// An operator who deploys, and whose controller is the version before throughout.
    fn bo(&self) {
        let (ana, bo) = (self.old("ana"), self.old("bo"));
        bo.run(&["operator", "request", "bo", "--out", "request"])
            .done();
        let approve = ["operator", "approve", "bo", "--role", "deployer"];
        let request = ["--request", "request", "--out", "signed"];
        ana.run(&[&approve[..], &request].concat()).done();
        bo.run(&["operator", "accept", "signed"]).done();
    }

    /// What `deploy/agents` makes, from this build.
    fn offer_new_agent(&self) {
        let version = env!("CARGO_PKG_VERSION");
        let folder = self.folder.path().join("ana/data/agents").join(version);
        fs::create_dir_all(&folder).unwrap();
        let name = match std::env::consts::ARCH {
            "aarch64" => "agent-linux-arm64",
            _ => "agent-linux-amd64",
        };
        let agent = fs::read(program("agent")).unwrap();
        fs::write(folder.join(name), &agent).unwrap();
        let sum = Sha256::digest(&agent);
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(folder.join("SHA256SUMS"), format!("{sum}  {name}\n")).unwrap();
    }

    fn container(&self) -> String {
        self.host
            .sh("docker ps --no-trunc --format '{{.ID}} {{.Image}}'")
            .unwrap()
    }
}

impl Desk<'_, '_> {
    fn run(&self, words: &[&str]) -> Ended {
        run(&self.controller, self.fleet.folder.path(), self.home, words)
    }

    /// What an operator does all day: the other version is deployed, then this one, and then taken back.
    #[track_caller]
    fn works(&self) {
        let runs_first = self.fleet.container().ends_with(":1\n");
        let tag = if runs_first { 2 } else { 1 };
        for tag in [tag, 3 - tag] {
            let env = format!("TAG={tag}\n");
            fs::write(self.fleet.folder.path().join("fleet/stack/.env"), env).unwrap();
            let plan = self.run(&["plan", "older"]);
            assert_eq!(plan.code, 2, "{}\n{}", plan.out, plan.err);
            self.run(&["deploy", "older", "--yes"]).done();
            self.runs(tag);
        }
        self.run(&["rollback", "older", "--yes"]).done();
        self.runs(tag);
        let status = self.run(&["status"]).done();
        assert!(status.contains("older"), "{status}");
        let logs = self.run(&["logs", "older", "-n", "5"]).done();
        assert!(!logs.trim().is_empty());
        let history = self.run(&["history", "older", "-o", "jsonl"]).done();
        assert!(history.lines().count() >= 3, "{history}");
        let audit = self.run(&["audit", "older"]).done();
        assert!(audit.contains("deploy"), "{audit}");
        // What it finds differs; that it gets there does not.
        let doctor = self.run(&["doctor"]);
        assert!(matches!(doctor.code, 0 | 1), "{}", doctor.err);
    }

    #[track_caller]
    fn runs(&self, tag: u32) {
        let container = self.fleet.container();
        assert!(
            container.ends_with(&format!("/org/web:{tag}\n")),
            "{container}"
        );
    }
}

fn run(controller: &Path, folder: &Path, home: &str, words: &[&str]) -> Ended {
    let mut command = Command::new(controller);
    command
        .args(words)
        .current_dir(folder.join("fleet"))
        .env_clear();
    command
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder.join(home))
        .env("LONGSHORE_HOME", folder.join(home))
        .env("LONGSHORE_CA_PASSPHRASE_FILE", folder.join("passphrase"));
    Ended::from(command.output().unwrap())
}

#[test]
fn controllers_and_agents_one_version_apart_work_together() {
    if !full::wanted() {
        return;
    }
    let Some(before) = std::env::var_os(PREVIOUS) else {
        full::report(&format!(
            "one version apart: NOT CLAIMED, {PREVIOUS} names no programs (see deploy/previous)"
        ));
        return;
    };
    let Some(world) = world() else { return };
    let fleet = Fleet::new(world, before.into());
    fleet.bo();
    // Before anybody has the new one.
    fleet.old("ana").works();
    // Ana is the first to have it.
    fleet.new_one("ana").works();
    fleet.old("bo").works();
    let running = fleet.container();
    fleet.offer_new_agent();
    let said = fleet.new_one("ana").run(&["host", "upgrade", "older"]);
    let said = said.done();
    assert!(
        said.contains("is now"),
        "{said}\n{}",
        fleet.launcher.output()
    );
    assert_eq!(fleet.container(), running);
    // What the agent before had done is still there to go back to.
    let history = fleet.new_one("ana").run(&["history", "older"]).done();
    assert!(history.lines().count() >= 9, "{history}");
    let back = fleet.old("bo").run(&["rollback", "older", "--yes"]);
    back.done();
    fleet.old("bo").works();
    fleet.new_one("ana").works();
    full::report(
        "one version apart: old and new controller with old and new agent planned, deployed, went back, read; the agent was upgraded between",
    );
}
