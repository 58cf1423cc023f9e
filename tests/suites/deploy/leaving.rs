//! Who leaves, and who joins: the deploy belongs to the agent.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::world::{Case, WEB, command, world};

/// Starts a deploy whose service takes some seconds to be healthy, and leaves it by Ctrl-C while it is judged.
fn leave(case: &Case<'_>) -> (i32, String) {
    let slow = "FIXTURE_HEALTHY_AFTER_MS: \"4000\"";
    case.write(
        "compose.yaml",
        &WEB.replace("FIXTURE_SHOW: NOTHING", slow)
            .replace("retries: 3", "retries: 30"),
    );
    let mut child = command(
        case.folder.path(),
        &case.home(),
        &["deploy", "emilia", "--yes"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines
        .next()
        .expect("it ended before it was judged")
        .unwrap()
        .contains("verifying")
    {}
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}\n{}",
        rest.join("\n"),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn ctrl_c_leaves_the_deploy_running_and_attach_sees_its_end() {
    let Some(world) = world() else { return };
    let case = world.case("leaving");
    let (code, said) = leave(&case);
    assert_eq!(code, 130, "{said}");
    assert!(
        said.contains("controller attach") && said.contains("controller cancel"),
        "{said}"
    );
    let all = case.controller(&["attach", "emilia/leaving"]).done();
    assert!(
        all.contains("received") && all.contains("committed"),
        "{all}"
    );
    assert!(case.deploy().done().contains("nothing to change"));
}

#[test]
fn cancel_stops_a_deploy_from_another_command() {
    let Some(world) = world() else { return };
    let case = world.case("cancelled");
    leave(&case);
    case.controller(&["cancel", "emilia/cancelled"]).done();
    case.controller(&["attach", "emilia/cancelled"])
        .with(1, &["cancelled"]);
    let status = case.controller(&["status", "emilia/cancelled"]).done();
    assert!(!status.contains(" by ana"), "{status}");
}
