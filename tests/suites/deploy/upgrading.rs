//! `host upgrade`: agents that are installed as on a real server replace each other, and bad ones go back by themselves.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tests::lab::{Cmd, Host, Process};

use crate::beside::Beside;
use crate::world::{Case, Ended, World, eventually, program, world};

const LIB: &str = "/usr/local/lib/longshore";
/// Names the step at which an agent dies.
const DIE: &str = "/run/die";
/// What the workspace's own agent says it is.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A server with its agent installed by `install.sh`, under the launcher as its only supervisor.
struct Server<'w> {
    launcher: Process,
    host: Host,
    case: Case<'w>,
}

/// The workspace's agent without what only a debugger reads, and with another end: an agent that is another build.
fn agent(end: &str) -> Vec<u8> {
    static STRIPPED: OnceLock<Vec<u8>> = OnceLock::new();
    let stripped = STRIPPED.get_or_init(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut strip = Command::new("strip");
        strip.arg("-o").arg(file.path()).arg(program("agent"));
        // Without binutils it is sent as it is.
        if strip.status().is_ok_and(|status| status.success()) {
            return fs::read(file.path()).unwrap();
        }
        fs::read(program("agent")).unwrap()
    });
    [stripped.as_slice(), end.as_bytes()].concat()
}

/// An agent that says it is `version`, and when it is to serve does this.
fn script(version: &str, run: &str) -> Vec<u8> {
    let says = format!("[ \"$1\" != version ] || {{ echo agent {version}; exit; }}");
    format!("#!/bin/sh\n{says}\n{run}\n").into_bytes()
}

/// Puts an agent where the controller finds it; what else has that version waits.
fn offer(world: &World, version: &str, agent: &[u8]) -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = world.home().join("data/agents").join(version);
    fs::create_dir_all(&folder).unwrap();
    let name = match std::env::consts::ARCH {
        "aarch64" => "agent-linux-arm64",
        _ => "agent-linux-amd64",
    };
    fs::write(folder.join(name), agent).unwrap();
    let sums = format!("{}  {name}\n", sum(agent));
    fs::write(folder.join("SHA256SUMS"), sums).unwrap();
    turn
}

fn sum(content: &[u8]) -> String {
    let sum = Sha256::digest(content);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn build(version: &str, agent: &[u8]) -> String {
    format!("{version}-{:.8}", sum(agent))
}

impl<'w> Server<'w> {
    /// One whose new agents have so many seconds for each try.
    fn new(world: &'w World, name: &str, trial: u32, first: &[u8]) -> Self {
        let host = world.lab.host(name).unwrap();
        let agent = world.enrol(&host);
        agent.terminate();
        agent.wait(Duration::from_secs(20)).unwrap();
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        for file in ["install.sh", "launch", "longshore-agent.service"] {
            let to = format!("/root/{file}");
            host.install(deploy.join(file), to).unwrap();
        }
        host.write_file("/root/agent", first, 0o644).unwrap();
        let installed = host.sh(&format!("/root/install.sh /root/agent {}", sum(first)));
        assert!(installed.unwrap().contains("launch --keep run"));
        let case = world.case(name);
        let file = case.folder.path().join("fleet.toml");
        let more = format!(
            "[hosts.{name}]\naddress = \"{}:7433\"\nstacks = [\"{name}\"]\n\n",
            host.ip()
        );
        // The first of its fleet.
        let text = fs::read_to_string(&file).unwrap();
        let text = text.replace("[hosts.emilia]", &(more + "[hosts.emilia]"));
        fs::write(&file, text).unwrap();
        let run = Cmd::new([&format!("{LIB}/launch"), "--keep", "run"])
            .env("LONGSHORE_TRIAL", trial.to_string())
            .env("LONGSHORE_PAUSE", "0.1")
            .env("LONGSHORE_DIE", DIE);
        let launcher = host.spawn(&run).unwrap();
        launcher
            .wait_for("listening", Duration::from_secs(20))
            .unwrap();
        Self {
            launcher,
            host,
            case,
        }
    }

    fn name(&self) -> &str {
        self.host.name()
    }

    fn upgrade(&self, more: &[&str]) -> Ended {
        let mut words = vec!["host", "upgrade", self.name()];
        words.extend(more);
        self.case.controller(&words)
    }

    /// What `current`, `previous` and whatever else there is lead to.
    fn links(&self) -> String {
        let line = format!(
            "cd {LIB}; for link in $(find . -type l | sort); do echo ${{link#./}} $(readlink $link); done"
        );
        self.host.sh(&line).unwrap()
    }

    #[track_caller]
    fn runs(&self, build: &str) {
        let line = format!("current agent-{build}\n");
        let links = self.links();
        assert!(links.contains(&line), "{links}\n{}", self.launcher.output());
        assert!(!links.contains("next-"), "{links}");
        self.case.controller(&["audit", self.name()]).done();
    }
}

#[test]
fn an_agent_is_replaced_and_kept_and_what_runs_does_not_notice() {
    let Some(world) = world() else { return };
    let (first, second) = (agent(""), agent("second"));
    let server = Server::new(world, "newer", 20, &first);
    server.case.controller(&["deploy", "newer", "--yes"]).done();
    let containers = || {
        server
            .host
            .sh("docker ps -a --no-trunc --format '{{.ID}} {{.Status}}' | cut -c 1-70")
            .unwrap()
    };
    let before = containers();
    let turn = offer(world, VERSION, &second);
    let (old, new) = (build(VERSION, &first), build(VERSION, &second));
    let said = server.upgrade(&[]).done();
    assert!(
        said.contains(&format!("newer: agent {old} is now {new}")),
        "{said}"
    );
    server.runs(&new);
    assert!(server.links().contains(&format!("previous agent-{old}\n")));
    let said = server.upgrade(&["-o", "json"]).done();
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told[0]["outcome"], "current", "{said}");
    assert_eq!(told[0]["build"], new.as_str());
    assert_eq!(
        before.split_whitespace().next(),
        containers().split_whitespace().next()
    );
    let audit = server.case.controller(&["audit", "newer"]).done();
    assert!(audit.contains(&format!("upgrade to {new}")), "{audit}");
    // The one before the one before goes.
    drop(turn);
    let third = agent("third");
    let _turn = offer(world, VERSION, &third);
    server.upgrade(&[]).done();
    server.runs(&build(VERSION, &third));
    let agents = server
        .host
        .sh(&format!("ls {LIB} | grep -c ^agent-"))
        .unwrap();
    assert_eq!(agents.trim(), "2");
}

#[test]
fn bad_agents_go_back_by_themselves_or_are_not_even_started() {
    let Some(world) = world() else { return };
    let first = agent("");
    let server = Server::new(world, "worse", 3, &first);
    let good = build(VERSION, &first);
    for (version, run) in [("9.0.1", "exit 1"), ("9.0.2", "exec sleep 600")] {
        let bad = script(version, run);
        let turn = offer(world, version, &bad);
        let said = server.upgrade(&["--to", version]);
        let words = [
            format!("worse: went back to agent {good}"),
            build(version, &bad),
        ];
        said.with(3, &words.each_ref().map(String::as_str));
        drop(turn);
        server.runs(&good);
        let tried = format!("agent {} was tried", build(version, &bad));
        let doctor = server.case.controller(&["doctor", "worse"]);
        doctor.with(1, &[&tried, "controller host upgrade worse"]);
    }
    let mut foreign = agent("");
    foreign[18] ^= 1;
    for (version, bad, why) in [
        ("9.0.3", foreign, "it is built for another machine"),
        (
            "9.0.4",
            script("9.0.5", ""),
            "it says it is \"agent 9.0.5\"",
        ),
        (
            "9.0.6",
            script("9.0.6", "").replaced("echo", "false"),
            "exit code 1",
        ),
    ] {
        let turn = offer(world, version, &bad);
        server
            .upgrade(&["--to", version])
            .with(1, &["not upgraded", why]);
        drop(turn);
        server.runs(&good);
    }
    server
        .upgrade(&["--to", "7.7.7"])
        .with(1, &["there is no agent 7.7.7 for", "deploy/agents"]);
    // After all of it a good one is taken.
    let second = agent("second");
    let _turn = offer(world, VERSION, &second);
    server.upgrade(&[]).done();
    server.runs(&build(VERSION, &second));
}

trait Replaced {
    fn replaced(self, what: &str, by: &str) -> Self;
}

impl Replaced for Vec<u8> {
    fn replaced(self, what: &str, by: &str) -> Self {
        String::from_utf8(self).unwrap().replace(what, by).into()
    }
}

#[test]
fn an_agent_is_never_replaced_during_a_deploy() {
    let Some(world) = world() else { return };
    let (first, second) = (agent(""), agent("second"));
    let server = Server::new(world, "amid", 20, &first);
    let _turn = offer(world, VERSION, &second);
    let words = ["deploy", "amid", "--yes", "--confirm-within", "10m"];
    let mut deploy = Beside::start(&server.case, &words);
    deploy.until("goes back in");
    server.upgrade(&[]).with(
        5,
        &[
            "not upgraded: another deploy holds stack amid",
            "ana started deploy",
        ],
    );
    server.case.controller(&["confirm", "amid/amid"]).done();
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    server.upgrade(&[]).done();
    server.runs(&build(VERSION, &second));
}

#[test]
fn a_rollout_of_agents_stops_at_the_first_host_that_goes_back() {
    let Some(world) = world() else { return };
    let first = agent("");
    let server = Server::new(world, "vanguard", 3, &first);
    let bad = script("9.1.0", "exit 1");
    let _turn = offer(world, "9.1.0", &bad);
    let words = [
        "host", "upgrade", "vanguard", "emilia", "loa", "--to", "9.1.0", "-o", "json",
    ];
    let ended = server.case.controller(&words);
    assert_eq!(ended.code, 4, "{}\n{}", ended.out, ended.err);
    let told: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    let outcomes: Vec<&str> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes.len(), 3);
    assert_eq!(
        outcomes.iter().filter(|it| **it == "skipped").count(),
        2,
        "{}",
        ended.out
    );
    // Agents that were started by hand are not replaced.
    let case = world.case("byhand");
    case.controller(&["host", "upgrade", "emilia", "--to", "9.1.0"])
        .with(1, &["was not started by its launcher", "install.sh"]);
}

#[test]
fn an_upgrade_that_dies_at_any_step_leaves_an_agent_and_the_next_one_completes_it() {
    let Some(world) = world() else { return };
    let mut now = agent("");
    let server = Server::new(world, "killed", 20, &now);
    // A link is removed and made before it is put in place; the last two are steps of the new agent.
    let steps = [
        "1 .new.next",
        "2 .new.next",
        "1 next-3",
        "1 previous",
        "1 current",
    ];
    for (round, step) in steps.into_iter().enumerate() {
        let next = agent(&format!("round {round}"));
        let turn = offer(world, VERSION, &next);
        server.host.write_file(DIE, step, 0o600).unwrap();
        let ended = server.upgrade(&[]);
        let words = format!("{step}: {}\n{}", ended.out, ended.err);
        assert_eq!(ended.code, 0, "{words}\n{}", server.launcher.output());
        let alive = server
            .host
            .sh(&format!("test -e {DIE} && echo alive; true"));
        assert_eq!(alive.unwrap(), "", "nobody died at {step}");
        server.runs(&build(VERSION, &next));
        assert!(
            server
                .links()
                .contains(&format!("previous agent-{}\n", build(VERSION, &now))),
            "{step}: {}",
            server.links()
        );
        drop(turn);
        now = next;
    }
}

/// The launcher and all it has started end at once, as a power cut does.
#[test]
fn a_host_that_loses_power_during_the_trial_starts_one_of_the_two() {
    let Some(world) = world() else { return };
    let first = agent("");
    let server = Server::new(world, "dark", 3, &first);
    let bad = script("9.2.0", "exec sleep 600");
    let _turn = offer(world, "9.2.0", &bad);
    let words = ["host", "upgrade", "dark", "--to", "9.2.0"];
    let upgrade = Beside::start(&server.case, &words);
    eventually("the new agent is tried", || {
        server.links().contains("next-2")
    });
    server.launcher.kill();
    server.host.sh("pkill -KILL -x sleep; true").unwrap();
    let run = Cmd::new([&format!("{LIB}/launch"), "--keep", "run"])
        .env("LONGSHORE_TRIAL", "3")
        .env("LONGSHORE_PAUSE", "0.1");
    let launcher = server.host.spawn(&run).unwrap();
    let (code, said) = upgrade.end();
    assert_eq!(code, 3, "{said}\n{}", launcher.output());
    server.runs(&build(VERSION, &first));
}
