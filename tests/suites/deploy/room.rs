//! What a version needs of the host is free before Compose starts anything, and nothing else is touched.

use crate::world::{Case, shell_service, world};

const RUNS: &str = "while :; do sleep 1; done";

fn write(case: &Case<'_>, services: &[String]) {
    case.write("compose.yaml", &format!("services:\n{}", services.concat()));
}

fn published(port: u16) -> String {
    format!("ports: [\"{port}:80\"]")
}

/// Names and states of the stack's containers.
fn names(case: &Case<'_>) -> String {
    let label = format!("label=com.docker.compose.project={}", case.stack);
    let listed = case.docker(&format!(
        "ps -a --filter {label} --format '{{{{.Names}}}} {{{{.State}}}}'"
    ));
    let mut lines: Vec<&str> = listed.lines().collect();
    lines.sort_unstable();
    lines.join("; ")
}

#[test]
fn a_port_that_moves_to_another_service_moves_back_with_it() {
    let Some(world) = world() else { return };
    let case = world.case("moves");
    let app = |more: &str| shell_service("app", RUNS, "true", more);
    let proxy = |healthy: &str| shell_service("proxy", RUNS, healthy, &published(28905));
    let first = [app(&published(28905))];
    write(&case, &first);
    case.deploy().done();

    write(&case, &[app(""), proxy("false")]);
    case.deploy().with(3, &["proxy did not become healthy"]);
    assert_eq!(names(&case), "moves-app-1 running");
    assert_eq!(
        case.docker("port moves-app-1 80").lines().next(),
        Some("0.0.0.0:28905")
    );

    write(&case, &[app(""), proxy("true")]);
    case.deploy().done();
    assert_eq!(names(&case), "moves-app-1 running; moves-proxy-1 running");
    for (wanted, there) in [
        ("moves-app-1", "moves-app-1 running"),
        (
            "moves-proxy-1",
            "moves-app-1 running; moves-proxy-1 running",
        ),
    ] {
        case.controller(&["rollback", "emilia/moves", "--yes"])
            .done();
        assert_eq!(names(&case), there);
        let port = case.docker(&format!("port {wanted} 80"));
        assert_eq!(port.lines().next(), Some("0.0.0.0:28905"));
    }
}

#[test]
fn a_service_with_a_port_and_a_name_can_be_renamed_there_and_back() {
    let Some(world) = world() else { return };
    let case = world.case("renamed");
    let service = |name: &str, healthy: &str| {
        let more = format!("container_name: renamed-front\n{}", published(28906));
        shell_service(name, RUNS, healthy, &more)
    };
    let other = shell_service("other", RUNS, "", "");
    let third = shell_service("third", RUNS, "", "");
    write(&case, &[service("web", "true"), other.clone(), third]);
    case.deploy().done();
    let kept = case.id("other");

    write(&case, &[service("front", "false"), other.clone()]);
    let plan = case
        .controller(&["plan", "emilia"])
        .with(2, &["remove", "renamed-front"]);
    assert!(
        plan.contains("port 28906/tcp of front, name renamed-front of front")
            || plan.contains("name renamed-front of front, port 28906/tcp of front"),
        "{plan}"
    );
    assert!(plan.contains("orphan    renamed-third-1"), "{plan}");
    case.deploy().with(3, &["front did not become healthy"]);
    assert_eq!(
        names(&case),
        "renamed-front running; renamed-other-1 running; renamed-third-1 running"
    );
    let service_of = || {
        case.docker("inspect --format '{{index .Config.Labels \"com.docker.compose.service\"}}' renamed-front")
    };
    assert_eq!(service_of(), "web");

    write(&case, &[service("front", "true"), other]);
    case.deploy().done();
    assert_eq!(service_of(), "front");
    // What nobody has asked to remove, and what is in nobody's way, stays.
    assert_eq!(
        names(&case),
        "renamed-front running; renamed-other-1 running; renamed-third-1 running"
    );
    case.controller(&["rollback", "emilia/renamed", "--yes"])
        .done();
    assert_eq!(service_of(), "web");
    assert_eq!(case.id("other"), kept);
}

#[test]
fn two_services_can_exchange_their_names() {
    let Some(world) = world() else { return };
    let case = world.case("exchange");
    let service = |name: &str, container: &str, healthy: &str| {
        shell_service(
            name,
            RUNS,
            healthy,
            &format!("container_name: exchange-{container}"),
        )
    };
    let service_of = |name: &str| {
        let label = "{{index .Config.Labels \"com.docker.compose.service\"}}";
        case.docker(&format!("inspect --format '{label}' exchange-{name}"))
    };
    write(
        &case,
        &[service("a", "one", "true"), service("b", "two", "true")],
    );
    case.deploy().done();
    write(
        &case,
        &[service("a", "two", "true"), service("b", "one", "false")],
    );
    case.deploy().with(3, &["b did not become healthy"]);
    assert_eq!(
        (service_of("one"), service_of("two")),
        ("a".to_owned(), "b".to_owned())
    );
    write(
        &case,
        &[service("a", "two", "true"), service("b", "one", "true")],
    );
    case.deploy().done();
    assert_eq!(
        (service_of("one"), service_of("two")),
        ("b".to_owned(), "a".to_owned())
    );
    assert_eq!(names(&case), "exchange-one running; exchange-two running");
}

/// A database that needs its time to write everything down.
#[test]
fn what_is_removed_gets_its_own_grace_period() {
    let Some(world) = world() else { return };
    let case = world.case("grace");
    let slow =
        "trap \"sleep 12; echo flushed >/data/state; exit 0\" TERM; while :; do sleep 1; done";
    let more = "volumes: [\"data:/data\"]\ncontainer_name: grace-store";
    let old = shell_service("old", slow, "", more)
        .replace("stop_grace_period: 1s", "stop_grace_period: 60s");
    let new = shell_service("new", RUNS, "", more);
    let volumes = "volumes:\n  data:\n".to_owned();
    write(&case, &[old, volumes.clone()]);
    case.deploy().done();
    write(&case, &[new, volumes]);
    case.deploy().done();
    assert_eq!(case.docker("exec grace-store cat /data/state"), "flushed");
}
