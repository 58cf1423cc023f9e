//! Several hosts in one command; a dead one holds up no other.

use crate::world::world;

#[test]
fn all_hosts_are_deployed_in_one_command() {
    let Some(world) = world() else { return };
    let case = world.case("fleetwide");
    case.controller(&["deploy", "stack:fleetwide", "--yes"])
        .done();
    assert_eq!(case.containers(), "web org/web:1 running");
    let on_loa = world
        .loa
        .sh("docker ps -q --filter label=com.docker.compose.project=fleetwide")
        .unwrap();
    assert_eq!(on_loa.lines().count(), 1);
    let logs = case.controller(&["logs", "all", "-n", "1"]).done();
    for host in ["emilia", "loa"] {
        assert!(
            logs.lines()
                .any(|line| line.starts_with(host) && line.contains("web-1 |")),
            "{logs}"
        );
    }
    assert!(
        case.controller(&["deploy", "all", "--yes"])
            .done()
            .contains("nothing to change")
    );
}

#[test]
fn a_dead_host_is_told_and_the_others_are_deployed() {
    let Some(world) = world() else { return };
    let case = world.case("partial");
    // Nothing listens there: an address of the lab without a host.
    case.fleet_with("", "127.0.0.1");
    case.controller(&["deploy", "all", "--yes"])
        .with(4, &["emilia", "loa"]);
    let on_loa = world
        .loa
        .sh("docker ps -q --filter label=com.docker.compose.project=partial")
        .unwrap();
    assert_eq!(on_loa.lines().count(), 1);
    case.controller(&["deploy", "emilia", "--yes"]).with(
        6,
        &[
            "nothing listens on 127.0.0.1:7433, on emilia",
            "is the agent running",
        ],
    );
}
