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

/// Whatever it is, the plan finds it, and nothing is stopped.
#[test]
fn what_the_host_cannot_give_is_refused_by_the_plan() {
    let Some(world) = world() else { return };
    let case = world.case("ungiven");
    let app = |more: &str| shell_service("app", RUNS, "", more);
    write(&case, &[app("")]);
    case.deploy().done();
    let before = case.id("app");
    let refused = |services: &[String], words: &[&str]| {
        write(&case, services);
        case.deploy().with(1, words);
        assert_eq!(case.id("app"), before);
    };
    let image = world.registry.image("org/demo:1");
    case.docker(&format!(
        "run -d --name ungiven-second --entrypoint sleep {image} 1000"
    ));
    let second = shell_service("second", RUNS, "", "container_name: ungiven-second");
    let words = ["ungiven-second of second is taken by a container that is not of this stack"];
    refused(&[app("environment: { A: \"1\" }"), second.clone()], &words);

    let busy = "run -d --rm --name ungiven-busy -p 28911:80 -p 28912:80 --entrypoint sleep";
    case.docker(&format!("{busy} {image} 1000"));
    refused(
        &[app("ports: [\"28911:80\"]")],
        &["28911/tcp of app is taken by container ungiven-busy"],
    );
    refused(
        &[app("ports: [\"28911-28912:80\"]")],
        &["of ports 28911-28912/tcp of app 0 are free, and it needs 1"],
    );
    write(&case, &[app("ports: [\"28911-28913:80\"]")]);
    case.deploy().done();
    assert!(case.docker("port ungiven-app-1").contains("28913"));
    let before = case.id("app");

    let volume =
        "volumes:\n  data:\n    driver_opts: { type: none, o: bind, device: /srv/ungiven/data }\n";
    write(
        &case,
        &[app("volumes: [\"data:/data\"]"), volume.to_owned()],
    );
    let words = [
        "volume data is the folder /srv/ungiven/data",
        "mkdir -p /srv/ungiven/data",
    ];
    case.deploy().with(1, &words);
    assert_eq!(case.id("app"), before);
    world.emilia.sh("mkdir -p /srv/ungiven/data").unwrap();
    case.deploy().done();

    case.docker("rm -f ungiven-second ungiven-busy");
    write(&case, &[app(""), second]);
    case.deploy().done();
    assert!(names(&case).contains("ungiven-second running"));
}

/// The port is held by the process that the deploy replaces.
#[test]
fn a_service_can_leave_the_hosts_network_and_keep_its_port() {
    let Some(world) = world() else { return };
    let case = world.case("hostnet");
    let serve = "exec httpd -f -p 28914";
    let service = |more: &str| {
        shell_service(
            "app",
            serve,
            "wget -q -O /dev/null http://127.0.0.1:28914/ || nc -w 1 127.0.0.1 28914 </dev/null",
            more,
        )
    };
    write(&case, &[service("network_mode: host")]);
    case.deploy().done();
    write(&case, &[service("ports: [\"28914:28914\"]")]);
    case.deploy().done();
    write(&case, &[service("network_mode: host")]);
    case.deploy().done();
}

#[test]
fn a_service_whose_profile_is_off_is_no_orphan() {
    let Some(world) = world() else { return };
    let case = world.case("profiled");
    let app = |rev: u8| {
        shell_service(
            "app",
            RUNS,
            "",
            &format!("environment: {{ REV: \"{rev}\" }}"),
        )
    };
    let debug = shell_service("debug", RUNS, "", "profiles: [debug]");
    write(&case, &[app(1), debug.clone()]);
    case.deploy().done();
    let by_hand = "cd /var/lib/longshore/stacks/profiled/project && \
                   docker compose -p profiled --profile debug up -d --no-recreate debug";
    let registry = world.registry.address();
    let by_hand = format!("export REGISTRY={registry}; {by_hand}");
    world.emilia.sh(&by_hand).unwrap();
    let started = case.id("debug");
    assert!(!started.is_empty());
    case.controller(&["doctor", "emilia/profiled"]).done();

    write(&case, &[app(2), debug.clone()]);
    let words = ["profiled-debug-1 is left as it is: no profile of service debug is active"];
    let flags = ["deploy", "emilia", "--yes", "--remove-orphans"];
    let said = case.controller(&flags).with(0, &words);
    assert!(!said.contains("remove    profiled-debug-1"), "{said}");
    assert_eq!(case.id("debug"), started);

    // Deployed by longshore with its profile, and off again: Compose leaves it, too.
    case.write(".env", "TAG=1\nCOMPOSE_PROFILES=debug\n");
    case.deploy().done();
    case.write(".env", "TAG=1\n");
    case.deploy().with(0, &words);
    assert_eq!(
        names(&case),
        "profiled-app-1 running; profiled-debug-1 running"
    );

    // A revision has it, so that it is the stack's.
    case.controller(&["down", "emilia/profiled", "--yes"])
        .done();
    assert_eq!(names(&case), "");
}

#[test]
fn down_takes_what_earlier_revisions_left_and_tells_what_stays() {
    let Some(world) = world() else { return };
    let case = world.case("takendown");
    let service = |name: &str, network: &str| {
        let more = format!("networks: [{network}]\nvolumes: [\"{network}-data:/data\"]");
        shell_service(name, RUNS, "", &more)
    };
    let top = |name: &str| format!("networks:\n  {name}:\nvolumes:\n  {name}-data:\n");
    write(&case, &[service("old", "one"), top("one")]);
    case.deploy().done();
    write(&case, &[service("new", "two"), top("two")]);
    case.deploy().done();
    assert_eq!(
        names(&case),
        "takendown-new-1 running; takendown-old-1 running"
    );
    let image = world.registry.image("org/demo:1");
    let stranger =
        "run -d --rm --name takendown-stranger --network takendown_two --entrypoint sleep";
    case.docker(&format!("{stranger} {image} 1000"));
    let said = case
        .controller(&["down", "emilia/takendown", "--yes", "--volumes"])
        .done();
    assert!(said.contains("network takendown_two stays: "), "{said}");
    assert_eq!(names(&case), "");
    let left = |what: &str| {
        case.docker(&format!(
            "{what} ls -q --filter label=com.docker.compose.project=takendown"
        ))
    };
    assert_eq!(left("volume"), "");
    assert_eq!(left("network").lines().count(), 1);
    case.docker("rm -f takendown-stranger");
    case.controller(&["down", "emilia/takendown", "--yes"])
        .done();
    assert_eq!(left("network"), "");
}

#[test]
fn a_project_of_another_name_is_no_second_copy() {
    let Some(world) = world() else { return };
    let case = world.case("rechristened");
    write(
        &case,
        &[
            shell_service("app", RUNS, "", "volumes: [\"data:/data\"]"),
            "volumes:\n  data:\n".to_owned(),
        ],
    );
    case.deploy().done();
    let toml = case.folder.path().join("fleet.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    let other = text.replace(
        "project_name = \"rechristened\"",
        "project_name = \"rechristened2\"",
    );
    std::fs::write(&toml, other).unwrap();
    case.deploy().with(
        1,
        &[
            "stack rechristened runs here as project rechristened, not as rechristened2",
            "containers would be left: rechristened-app-1",
            "volumes would be left: rechristened_data",
            "project_name = \"rechristened\"",
            "controller down",
        ],
    );
    assert_eq!(names(&case), "rechristened-app-1 running");
}
