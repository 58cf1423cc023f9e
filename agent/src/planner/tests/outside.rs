//! What a host cannot give is refused, each with its name and a way out.

use super::*;
use crate::engine::{HostContainer, Listener};
use crate::resolved::{PortRange, Published, VolumeWanted};
use crate::store::Took;

fn port(number: u16) -> Published {
    Published {
        ip: None,
        port: number,
        protocol: "tcp".to_owned(),
    }
}

fn held(number: u16, name: &str, project: &str) -> HostContainer {
    HostContainer {
        name: name.to_owned(),
        project: project.to_owned(),
        published: vec![port(number)],
    }
}

fn program(number: u16, name: &str) -> Listener {
    Listener {
        port: port(number),
        name: format!("program {name}"),
        container: None,
        hidden: false,
    }
}

/// A host that lacks the one container of a stack, which publishes a port.
fn starting() -> Case {
    let mut case = settled();
    case.containers.clear();
    case.stage.resolved.services[0].ports = [port(8080)].into();
    case
}

fn settled_in(case: &Case, around: &Surroundings) -> Result<Plan, Fault> {
    let (plan, base) = (run(case).unwrap(), case.base.as_ref());
    settle(plan, &case.stage, base, &case.containers, around)
}

#[test]
fn what_is_external_and_missing_is_named_with_the_command_that_makes_it() {
    let around = Surroundings {
        missing_networks: vec!["shared".to_owned()],
        missing_volumes: vec!["data".to_owned()],
        ..Surroundings::default()
    };
    let fault = settled_in(&starting(), &around).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.what.contains("external network shared"), "{fault}");
    assert_eq!(fault.causes, ["external volume data is not there either"]);
    assert!(fault.hints[0].contains("docker network create shared"));
    assert!(fault.hints[1].contains("docker volume create data"));
}

fn with_volume(driver: &str, option: &str) -> (Case, Surroundings) {
    let mut case = starting();
    let wanted = VolumeWanted {
        key: "data".to_owned(),
        driver: "local".to_owned(),
        options: [("type".to_owned(), "a".to_owned())].into(),
        folder: None,
    };
    let resolved = &mut case.stage.resolved;
    resolved
        .outside
        .own_volumes
        .insert("opq_data".to_owned(), wanted);
    resolved
        .definitions
        .insert("volume data".to_owned(), "new".to_owned());
    let found = VolumeFound {
        driver: driver.to_owned(),
        options: [("type".to_owned(), option.to_owned())].into(),
    };
    let around = Surroundings {
        volumes: [("opq_data".to_owned(), found)].into(),
        ..Surroundings::default()
    };
    (case, around)
}

#[test]
fn a_volume_that_differs_from_its_definition_is_refused() {
    let (case, around) = with_volume("local", "a");
    assert!(settled_in(&case, &around).is_ok());
    let (case, around) = with_volume("nfs", "b");
    let fault = settled_in(&case, &around).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert_eq!(
        fault.what,
        "volume opq_data is not as the stack defines it: its driver is nfs, not local, its option type differs"
    );
    assert!(
        fault
            .hints
            .iter()
            .any(|hint| hint.contains("docker volume rm opq_data"))
    );
}

#[test]
fn a_difference_that_was_there_before_is_a_warning() {
    let (mut case, around) = with_volume("nfs", "a");
    let base = case.base.as_mut().unwrap();
    base.resolved.definitions = case.stage.resolved.definitions.clone();
    let plan = settled_in(&case, &around).unwrap();
    assert!(plan.warnings[0].contains("it stays as it is"), "{plan:?}");
}

#[test]
fn a_port_that_others_hold_is_refused_with_who_holds_it() {
    let case = starting();
    let others = Surroundings {
        containers: vec![held(8080, "shop-web-1", "shop")],
        listening: vec![program(8080, "docker-proxy")],
        ..Surroundings::default()
    };
    let fault = settled_in(&case, &others).unwrap_err();
    assert_eq!(
        fault.what,
        "port 8080/tcp of web is taken by container shop-web-1 of project shop"
    );
    assert_eq!(
        fault.causes, [""; 0],
        "the engine's own listener is the same"
    );
    let program = Surroundings {
        listening: vec![program(8080, "nginx")],
        ..Surroundings::default()
    };
    let fault = settled_in(&case, &program).unwrap_err();
    assert_eq!(fault.what, "port 8080/tcp of web is taken by program nginx");
}

#[test]
fn what_the_plan_itself_replaces_and_other_ports_are_no_collision() {
    let mut case = starting();
    let mut web = container("web");
    web.config_hash = "changed by hand".to_owned();
    case.containers = vec![web];
    let own = Surroundings {
        containers: vec![held(8080, "opq-web-1", "opq"), held(9090, "x", "shop")],
        listening: vec![program(8080, "docker-proxy")],
        ..Surroundings::default()
    };
    assert!(settled_in(&case, &own).is_ok());
}

/// A service whose process was on the host's network publishes the same port from now on.
#[test]
fn a_program_of_a_container_that_goes_is_no_collision() {
    let mut case = starting();
    let id = "0123456789abcdef".repeat(4);
    let mut web = container("web");
    (web.host_network, web.id) = (true, id.clone());
    web.config_hash = "changed by hand".to_owned();
    case.containers = vec![web];
    let listens = |container: Option<&String>, hidden| Surroundings {
        listening: vec![Listener {
            container: container.cloned(),
            hidden,
            ..program(8080, "httpd")
        }],
        ..Surroundings::default()
    };
    let other = "f".repeat(64);
    for (around, taken) in [
        (listens(Some(&id), false), false),
        (listens(None, true), false),
        (listens(None, false), true),
        (listens(Some(&other), false), true),
    ] {
        let settled = settled_in(&case, &around);
        assert_eq!(settled.is_err(), taken, "{around:?}: {settled:?}");
    }
    case.containers[0].host_network = false;
    assert!(settled_in(&case, &listens(None, true)).is_err());
}

#[test]
fn a_port_of_what_stays_is_refused() {
    // Nobody knows whether a command that somebody runs in the project will end.
    let mut case = starting();
    let mut command = container("tool");
    command.one_off = true;
    case.containers = vec![command];
    let around = Surroundings {
        containers: vec![held(8080, "opq-tool-1", "opq")],
        ..Surroundings::default()
    };
    let fault = settled_in(&case, &around).unwrap_err();
    assert!(
        fault.what.ends_with("opq-tool-1, which somebody runs"),
        "{fault}"
    );
    // One that is kept and publishes the same.
    let mut case = starting();
    let mut kept = service("kept");
    kept.ports = [port(8080)].into();
    case.stage.resolved.services.push(kept.clone());
    let base = case.base.as_mut().unwrap();
    base.resolved.services.push(kept);
    let image = image(true, "sha256:one");
    case.images.insert("org/kept:1".to_owned(), image);
    case.containers = vec![container("kept")];
    let fault = settled_in(&case, &Surroundings::default()).unwrap_err();
    assert_eq!(
        fault.what,
        "port 8080/tcp of web is taken by service kept of the same stack"
    );
}

#[test]
fn a_range_needs_a_free_port_for_each_container() {
    let mut case = starting();
    let web = &mut case.stage.resolved.services[0];
    (web.ports, web.replicas) = (BTreeSet::new(), 2);
    web.port_ranges = [PortRange {
        ip: None,
        first: 8080,
        last: 8082,
        protocol: "tcp".to_owned(),
    }]
    .into();
    let mut around = Surroundings {
        containers: vec![held(8081, "x", "shop")],
        ..Surroundings::default()
    };
    assert!(settled_in(&case, &around).is_ok());
    around.listening = vec![program(8082, "nginx")];
    let fault = settled_in(&case, &around).unwrap_err();
    assert_eq!(
        fault.what,
        "of ports 8080-8082/tcp of web 1 are free, and it needs 2"
    );
}

#[test]
fn a_name_that_a_stranger_has_is_refused() {
    let case = starting();
    for (project, by) in [
        ("", "a container that is not of this stack"),
        ("shop", "a container of project shop"),
    ] {
        let around = Surroundings {
            containers: vec![HostContainer {
                published: Vec::new(),
                ..held(1, "opq-web-1", project)
            }],
            ..Surroundings::default()
        };
        let fault = settled_in(&case, &around).unwrap_err();
        assert_eq!(
            fault.what,
            format!("the name opq-web-1 of web is taken by {by}")
        );
    }
}

#[test]
fn a_volume_that_is_a_missing_folder_is_named_with_the_command_that_makes_it() {
    let around = Surroundings {
        missing_folders: vec![
            ("data".to_owned(), "/srv/data".into()),
            ("more".to_owned(), "/srv/more".into()),
        ],
        ..Surroundings::default()
    };
    let fault = settled_in(&starting(), &around).unwrap_err();
    assert_eq!(
        fault.what,
        "volume data is the folder /srv/data, which is not there"
    );
    assert_eq!(fault.causes.len(), 1);
    assert_eq!(fault.hints[1], "make it on the host: mkdir -p /srv/more");
}

#[test]
fn two_services_cannot_publish_one_port() {
    let mut case = starting();
    let mut twin = service("zeb");
    twin.ports = [port(8080)].into();
    case.stage.resolved.services.push(twin);
    let image = image(true, "sha256:one");
    case.images.insert("org/zeb:1".to_owned(), image);
    let fault = settled_in(&case, &Surroundings::default()).unwrap_err();
    assert_eq!(
        fault.what,
        "port 8080/tcp of zeb is taken by service web of the same stack"
    );
}

#[test]
fn a_tag_that_another_stack_uses_is_a_note() {
    let mut case = settled();
    case.images
        .insert("org/web:1".to_owned(), image(true, "sha256:two"));
    let around = Surroundings {
        sharing: [("org/web:1".to_owned(), vec!["shop".parse().unwrap()])].into(),
        ..Surroundings::default()
    };
    let notes = settled_in(&case, &around).unwrap().notes;
    assert_eq!(
        notes,
        ["org/web:1 is used by stack shop too; the name means the new image for both from then on"]
    );
}

#[test]
fn what_is_replaced_is_away_as_long_as_was_measured() {
    let mut case = settled();
    case.stage.resolved.services[0].image = "org/web:2".to_owned();
    case.images
        .insert("org/web:2".to_owned(), image(false, "sha256:two"));
    let downtime = |case: &Case| run(case).unwrap().services[0].downtime;
    let unknown = Downtime {
        millis: None,
        with_stop: false,
    };
    assert_eq!(downtime(&case), Some(unknown));
    let took = Took {
        start_millis: 3000,
        stop_millis: Some(1000),
    };
    let base = case.base.as_mut().unwrap();
    base.took.insert("web".parse().unwrap(), took);
    let known = Downtime {
        millis: Some(4000),
        with_stop: true,
    };
    assert_eq!(downtime(&case), Some(known));
    case.containers[0].state = ContainerState::Exited;
    assert_eq!(downtime(&case), None);
    assert_eq!(downtime(&settled()), None);
}
