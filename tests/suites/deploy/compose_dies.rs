//! Compose itself dies, freezes or hangs in the middle of its work, on a real engine: what is left is whole.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tests::full;

use crate::alone::Alone;
use crate::beside::Beside;
use crate::between::{Between, Deed, INSTEAD};
use crate::whole::{Seen, claim_whole};
use crate::world::{WEB, World, eventually, world};

/// What is in the volume before the first death, and after the last.
const KEPT: &str = "what no death may lose";
/// Between a cancel and the end of everything: TERM, five seconds, KILL; the rest is this machine's.
const GONE: Duration = Duration::from_secs(5 + 3);

/// A host with a stack that has data in a volume, and somebody between its Compose and its engine.
struct Stage<'w> {
    alone: Alone<'w>,
    between: Between,
    tag: u32,
}

impl<'w> Stage<'w> {
    fn new(world: &'w World, name: &str) -> Self {
        let mut alone = Alone::new(world, name);
        let between = Between::of(&alone.host);
        alone.restart_agent();
        let web = WEB.replace(
            "    restart:",
            "    volumes: [\"data:/data\"]\n    restart:",
        );
        alone
            .case
            .write("compose.yaml", &format!("{web}volumes:\n  data:\n"));
        alone.deploy().done();
        let stage = Self {
            alone,
            between,
            tag: 1,
        };
        stage
            .alone
            .host
            .write_file(stage.kept(), KEPT, 0o644)
            .unwrap();
        stage
    }

    fn kept(&self) -> String {
        let name = self.alone.name();
        format!("/var/lib/docker/volumes/{name}_data/_data/kept")
    }

    /// The other version is what is wanted from now on.
    fn other_version(&mut self) {
        self.tag = 3 - self.tag;
        let tag = format!("TAG={}\n", self.tag);
        self.alone.case.write(".env", &tag);
    }

    /// Whole, with the data, and this version.
    #[track_caller]
    fn claim(&self, tag: u32, when: &str) -> Seen {
        let seen = claim_whole(&self.alone, when);
        let kept = self.alone.host.read_file(self.kept()).unwrap();
        assert_eq!(String::from_utf8_lossy(&kept), KEPT, "{when}");
        let image = "docker ps --format {{.Image}}";
        let image = self.alone.host.sh(image).unwrap();
        assert!(
            image.trim().ends_with(&format!("/org/web:{tag}")),
            "{when}: {image}"
        );
        seen
    }

    /// What was wanted goes through now.
    #[track_caller]
    fn mends(&self, when: &str) {
        self.alone.deploy().done();
        self.claim(self.tag, when);
    }

    fn old(&self) -> u32 {
        3 - self.tag
    }

    /// Asks the deploy that runs to stop; since when.
    fn cancel(&self) -> Instant {
        let asked = Instant::now();
        let name = self.alone.name();
        let place = format!("{name}/{name}");
        self.alone.case.controller(&["cancel", &place]).done();
        asked
    }

    /// Compose says that many lines when it brings the other version; the deaths are as exact as a signal is.
    fn dies_at_line(&mut self, number: usize) -> bool {
        let when = format!("dead at line {number}");
        self.other_version();
        let words = ["deploy", self.alone.name(), "--yes"];
        let mut deploy = Beside::start(&self.alone.case, &words);
        let mut lines = 0;
        while lines < number {
            let Some(line) = deploy.line() else { break };
            lines += usize::from(line.contains("compose: "));
        }
        let kill = "pkill -KILL -x docker-compose || true";
        self.alone.host.sh(kill).unwrap();
        let (code, said) = deploy.end();
        match code {
            0 => drop(self.claim(self.tag, &format!("{when}\n{said}"))),
            3 => drop(self.claim(self.old(), &format!("{when}\n{said}"))),
            _ => panic!("exit code {code}: {when}\n{said}"),
        }
        self.mends(&when);
        lines == number
    }
}

/// The fourth change names the new container after the old one, which is gone: nothing else has its name then.
#[test]
fn a_compose_killed_before_any_of_its_changes_leaves_the_old_version_and_its_data() {
    let Some(world) = world() else { return };
    let mut stage = Stage::new(world, "torn");
    let mut number = 1;
    let all = loop {
        stage.other_version();
        stage.between.at(number, Deed::Kill);
        let ended = stage.alone.deploy();
        if stage.between.struck().len() < number {
            ended.done();
            break stage.between.asked();
        }
        let when = format!("dead before change {number}");
        let words = [
            "docker compose up ended with signal 9",
            "is back at revision",
        ];
        ended.with(3, &words);
        stage.claim(stage.old(), &when);
        stage.between.asked();
        stage.mends(&when);
        stage.between.asked();
        number += 1;
    };
    let verbs: Vec<&str> = all.iter().map(|asked| verb(asked)).collect();
    assert_eq!(
        verbs,
        ["create", "stop", "DELETE", "rename", "start"],
        "{all:#?}"
    );
    let passing = all[0].split("name=").nth(1).unwrap();
    assert!(
        passing.split(' ').next().unwrap().ends_with("_torn-web-1"),
        "{all:#?}"
    );

    // And the one that brings the old version back, at the same place.
    stage.other_version();
    stage.between.at(4, Deed::Kill);
    stage.between.at(2, Deed::Kill);
    stage
        .alone
        .deploy()
        .with(3, &["signal 9", "is back at revision"]);
    assert_eq!(stage.between.struck().len(), number + 1);
    stage.claim(stage.old(), "dead twice");
    stage.mends("dead twice");
    if full::wanted() {
        let lines = (1..).find(|number| !stage.dies_at_line(*number)).unwrap() - 1;
        full::report(&format!(
            "Compose killed on a real engine: before each of {} changes, and at each of {lines} lines, each old or new",
            all.len()
        ));
    }
}

/// `POST /v1.44/containers/ID/stop?…` is about `stop`.
fn verb(asked: &str) -> &str {
    let mut words = asked.split([' ', '?']);
    match (words.next(), words.next()) {
        (Some("DELETE"), _) => "DELETE",
        (_, Some(path)) => path.rsplit('/').next().unwrap(),
        _ => asked,
    }
}

fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn a_compose_that_hangs_is_gone_soon_after_a_cancel_with_all_that_it_started() {
    let Some(world) = world() else { return };
    let mut stage = Stage::new(world, "stuck");
    let words = ["deploy", "stuck", "--yes"];

    // The real one, stopped between the end of the old container and the name of the new one.
    stage.other_version();
    stage.between.at(4, Deed::Freeze);
    let deploy = Beside::start(&stage.alone.case, &words);
    eventually("Compose is frozen", || !stage.between.struck().is_empty());
    let cancelled = stage.cancel();
    let frozen = stage.between.struck()[0];
    eventually("the frozen Compose is gone", || is_gone(frozen));
    assert!(cancelled.elapsed() < GONE, "{:?}", cancelled.elapsed());
    let (code, said) = deploy.end();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("cancelled"), "{said}");
    stage.claim(stage.old(), "frozen, then cancelled");
    stage.mends("frozen, then cancelled");

    // One that is deaf, and so is its child.
    stage.other_version();
    let deaf = "#!/bin/sh\n/bin/rm /run/instead\ntrap '' TERM\n/bin/sleep 1064 &\necho deaf >&2\nwhile :; do /bin/sleep 1064; done\n";
    stage.alone.host.write_file(INSTEAD, deaf, 0o755).unwrap();
    let mut deploy = Beside::start(&stage.alone.case, &words);
    deploy.until("compose: deaf");
    let cancelled = stage.cancel();
    let left = || {
        stage
            .alone
            .host
            .sh("pgrep -f 'sleep 106[4]|run/instea[d]' || true")
            .unwrap()
    };
    eventually("the deaf ones are gone", || left().is_empty());
    assert!(cancelled.elapsed() < GONE, "{:?}", cancelled.elapsed());
    let (code, said) = deploy.end();
    assert_eq!(code, 3, "{said}");
    stage.claim(stage.old(), "deaf, then cancelled");

    // One that ends well and leaves something behind.
    let leaves = "#!/bin/sh\n/bin/rm /run/instead\n/bin/sleep 1064 </dev/null >/dev/null 2>&1 &\n\
                  exec /usr/libexec/docker/cli-plugins/docker-compose \"$@\"\n";
    stage.alone.host.write_file(INSTEAD, leaves, 0o755).unwrap();
    stage.mends("something was left behind");
    let left = stage.alone.host.sh("pgrep -f 'sleep 106[4]' || true");
    assert_eq!(left.unwrap(), "");

    // One that is frozen when the agent dies: the next agent ends it and goes on.
    stage.other_version();
    stage.between.asked();
    stage.between.at(4, Deed::Freeze);
    let deploy = Beside::start(&stage.alone.case, &words);
    eventually("Compose is frozen again", || {
        stage.between.struck().len() == 2
    });
    stage.alone.kill_agent();
    stage.alone.start_agent();
    let frozen = stage.between.struck()[1];
    eventually("the frozen Compose is gone", || is_gone(frozen));
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    stage.claim(stage.tag, "frozen when the agent died");
}
