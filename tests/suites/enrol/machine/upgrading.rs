//! `host upgrade` where the launcher is started by systemd, inside the unit's confinement.

use tests::full;

use super::{Joined, joined};
use crate::world::VERSION;

impl Joined {
    /// This build is the one that runs, by its link and by what systemd started, and nothing is on trial.
    #[track_caller]
    fn runs(&self, build: &str) {
        let line = "cd /usr/local/lib/longshore; readlink current; ls; \
                    basename $(readlink /proc/$(systemctl show -P MainPID longshore-agent)/exe)";
        let said = self.machine.sh(line).unwrap();
        let own = format!("agent-{build}\n");
        assert!(said.starts_with(&own) && said.ends_with(&own), "{said}");
        assert!(!said.contains("next-"), "{said}");
        assert!(self.works());
    }
}

#[test]
fn a_machine_upgrades_its_agent_over_the_wire_and_bad_ones_go_back_by_themselves() {
    let Some(mut joined) = joined() else { return };
    joined
        .run(&["deploy", "machine", "--yes", "--timeout", "10m"])
        .done();
    let (running, first) = (joined.ids(), joined.agent());
    joined.trial(30);

    let new = joined.offer(VERSION, &[&first[..], b"second"].concat());
    let said = joined.run(&["host", "upgrade", "machine"]).done();
    assert!(said.contains(&format!("is now {new}")), "{said}");
    joined.runs(&new);

    joined.trial(5);
    for (version, bad) in [("9.0.1", "exit 1"), ("9.0.2", "exec sleep 1000")] {
        let build = joined.offer(version, &script(version, bad));
        let ended = joined.run(&["host", "upgrade", "machine", "--to", version]);
        let back = format!("machine: went back to agent {new}");
        ended.with(3, &[&back, &build]);
        joined.runs(&new);
    }

    // The power goes while one that hangs is tried.
    joined.offer("9.0.3", &script("9.0.3", "exec sleep 1000"));
    let words = ["host", "upgrade", "machine", "--to", "9.0.3"];
    let mut upgrade = joined.command(&words).spawn().unwrap();
    joined.eventually("the bad agent is tried", || {
        let tried = joined.machine.sh("ls /usr/local/lib/longshore/next-2");
        tried.is_ok()
    });
    joined.machine.cut_power().unwrap();
    joined.eventually("the agent before it", || {
        let failed = joined.machine.sh("test -L /usr/local/lib/longshore/failed");
        failed.is_ok() && joined.works()
    });
    joined.runs(&new);
    assert!(!upgrade.wait().unwrap().success());

    // After all of it a good one is taken, and no container was touched but by the power cut.
    joined.trial(30);
    let third = joined.offer(VERSION, &[&first[..], b"third"].concat());
    joined.run(&["host", "upgrade", "machine"]).done();
    joined.runs(&third);
    let web = |ids: &str| ids.lines().any(|id| running.contains(id));
    joined.eventually("the same container", || web(&joined.ids()));
    full::report(
        "systemd: upgraded twice over the wire; three bad agents went back, one through a power cut",
    );
}

/// An agent that says it is `version`, and when it is to serve does this.
fn script(version: &str, run: &str) -> Vec<u8> {
    let says = format!("[ \"$1\" != version ] || {{ echo agent {version}; exit; }}");
    format!("#!/bin/sh\n{says}\n{run}\n").into_bytes()
}
