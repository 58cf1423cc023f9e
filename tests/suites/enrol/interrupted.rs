//! The controller dies at each step; the next run completes what it began.

use tests::command;
use tests::full;
use tests::lab::Host;

use crate::logins::Way;
use crate::world::{Desk, world};

/// What is on the screen when the controller is killed: each step's beginning and end.
const MOMENTS: [&str; 8] = [
    "as USER",
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
    let ways: &[Way] = if full::wanted() {
        &Way::ALL
    } else {
        &[Way::Root]
    };
    for way in ways {
        let name = format!("killed-{way:?}").to_lowercase();
        let (host, desk) = (world.server(&name), world.desk());
        let more = way.open(world, &host, &desk);
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        for moment in MOMENTS {
            let moment = moment.replace("USER", way.user());
            kill_at(&desk, &host, way.user(), &more, &moment);
            let said = desk.add_as(&host, way.user(), &more).done();
            assert!(
                said.contains("✓ link"),
                "{way:?}, after {moment:?}:\n{said}"
            );
            let left = host
                .sh("ls -A /usr/local/lib/longshore /etc/longshore")
                .unwrap();
            for leaving in ["incoming", ".part", "pending"] {
                assert!(!left.contains(leaving), "{way:?}, after {moment:?}: {left}");
            }
            forget(&host);
        }
        full::report(&format!(
            "host add, {way:?}: killed at {} moments, completed each time",
            MOMENTS.len()
        ));
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
    kill_at(&desk, &host, "root", &[], "… agent");
    assert_eq!(
        host.sh("sha256sum </usr/local/bin/agent; cat /run/agent.pid")
            .unwrap(),
        running
    );
    desk.run(&["status"], &[]).done();
    desk.add(&host, &[]).done();
}

/// Starts an enrolment and kills it as soon as it has printed `moment`.
fn kill_at(desk: &Desk<'_>, host: &Host, user: &str, more: &[&str], moment: &str) {
    let words = desk.words(host, user);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend(more);
    command::kill_at(&mut desk.command(&words), moment);
}

/// A server as it was before.
fn forget(host: &Host) {
    host.sh(
        "if [ -f /run/agent.pid ]; then kill \"$(cat /run/agent.pid)\" 2>/dev/null || true; rm -f /run/agent.pid; fi
         rm -rf /etc/longshore /usr/local/lib/longshore /usr/local/bin/agent /etc/systemd/system/longshore-agent.service",
    )
    .unwrap();
}
