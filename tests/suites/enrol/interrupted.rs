//! The controller dies at each step; the next run completes what it began.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use tests::lab::Host;

use crate::world::{Desk, world};

/// What is on the screen when the controller is killed: each step's beginning and end.
const MOMENTS: [&str; 8] = [
    "as root",
    "… agent",
    "✓ agent",
    "… identity",
    "✓ identity",
    "… service",
    "✓ service",
    "… link",
];

#[test]
fn enrolment_killed_at_any_step_is_completed_by_the_next() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("killed"), world.desk());
    for moment in MOMENTS {
        kill_at(&desk, &host, moment);
        let said = desk.add(&host, &[]).done();
        assert!(said.contains("✓ link"), "after {moment:?}:\n{said}");
        let left = host
            .sh("ls -A /usr/local/lib/longshore /etc/longshore")
            .unwrap();
        for leaving in ["incoming", ".part", "pending"] {
            assert!(!left.contains(leaving), "after {moment:?}: {left}");
        }
        forget(&host);
    }
}

#[test]
fn an_upload_that_is_cut_leaves_the_agent_that_runs() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("cut"), world.desk());
    desk.add(&host, &[]).done();
    // Another build of the same version takes its place; it is only half there when the link goes.
    host.sh("file=$(readlink -f /usr/local/bin/agent); cp $file $file.other; echo >>$file.other; mv $file.other $file")
        .unwrap();
    let running = host
        .sh("sha256sum </usr/local/bin/agent; cat /run/agent.pid")
        .unwrap();
    kill_at(&desk, &host, "… agent");
    assert_eq!(
        host.sh("sha256sum </usr/local/bin/agent; cat /run/agent.pid")
            .unwrap(),
        running
    );
    desk.run(&["status"], &[]).done();
    desk.add(&host, &[]).done();
}

/// Starts an enrolment and kills it as soon as it has printed `moment`.
fn kill_at(desk: &Desk<'_>, host: &Host, moment: &str) {
    let words = desk.words(host, "root");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = desk
        .command(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = lines
        .map_while(Result::ok)
        .any(|line| line.contains(moment));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen, "it never said {moment:?}");
}

/// A server as it was before.
fn forget(host: &Host) {
    host.sh(
        "if [ -f /run/agent.pid ]; then kill \"$(cat /run/agent.pid)\" 2>/dev/null || true; rm -f /run/agent.pid; fi
         rm -rf /etc/longshore /usr/local/lib/longshore /usr/local/bin/agent /etc/systemd/system/longshore-agent.service",
    )
    .unwrap();
}
