//! What happens at a registry in the middle of a deploy: answers that break off, waits that it asks for, names that move.

use std::time::{Duration, Instant};

use tests::lab::{Fault, FaultyRegistry, Host, Image, until};

use crate::alone::Alone;
use crate::beside::Beside;
use crate::world::{WEB, World, world};

/// Within each layer.
const MIDDLE: u64 = 100_000;

/// Pushes an image of three layers that no host has; their digests.
fn layered(world: &World, version: &str, name: &str) -> Vec<String> {
    let image = Image::fixture("web", version).unwrap();
    let image = [300_000, 200_000, 250_000]
        .into_iter()
        .fold(image, |image, size| image.padding(size).unwrap());
    let layers = image.push(&world.registry, name).unwrap().layers;
    // What all fixtures share comes first.
    layers[1..].to_vec()
}

fn compose(image: &str) -> String {
    WEB.replace("${REGISTRY}/org/web:${TAG}", image)
}

fn requests_for(faulty: &FaultyRegistry, part: &str) -> usize {
    let requests = faulty.requests();
    requests.iter().filter(|it| it.contains(part)).count()
}

/// An engine that takes the first failure of a download for the last one.
fn impatient(host: &Host) {
    host.stop_docker().unwrap();
    host.sh("sed -i 's/^{/{\"max-download-attempts\":1,/' /etc/docker/daemon.json")
        .unwrap();
    host.start_docker().unwrap();
}

#[test]
fn an_answer_that_breaks_off_or_is_damaged_is_named_and_the_old_stays() {
    let Some(world) = world() else { return };
    let host = world.lab.host("broken").unwrap();
    impatient(&host);
    let alone = Alone::on(world, host);
    let id = || alone.host.sh("docker ps -aq --no-trunc").unwrap();
    let before = id();
    let faulty = world.registry.faulty().unwrap();
    let layers = layered(world, "broken", "org/broken:1");
    let name = faulty.image("org/broken:1");
    alone.case.write("compose.yaml", &compose(&name));
    let mut faults: Vec<(&str, Fault, &str)> = vec![
        ("/manifests/", Fault::Reset(0), "broke the connection off"),
        ("/manifests/", Fault::Status(503), "has a fault of its own"),
        (&layers[0], Fault::Status(503), "has a fault of its own"),
        (&layers[1], Fault::Reset(MIDDLE), "broke the connection off"),
        (&layers[2], Fault::Spoil, "sent something else"),
    ];
    for layer in &layers {
        faults.push((layer, Fault::Cut(MIDDLE), "broke the connection off"));
    }
    for (part, fault, words) in faults {
        faulty.fail(part, fault);
        let cause = format!("{} {words}", faulty.address());
        alone.deploy().with(1, &[&name, &cause]);
        assert_eq!(id(), before, "after {fault:?} of {part}");
        faulty.clear();
    }
    alone.deploy().done();
    assert_ne!(id(), before);
}

#[test]
fn a_registry_that_limits_is_waited_for_and_a_layer_that_breaks_off_is_fetched_again() {
    let Some(world) = world() else { return };
    let case = world.case("throttled");
    case.deploy().done();
    let before = case.id("web");
    let faulty = world.registry.faulty().unwrap();
    let layer = &layered(world, "limited", "org/limited:1")[1];
    case.write("compose.yaml", &compose(&faulty.image("org/limited:1")));
    // The engine asks twice for a name, and for a layer, before it gives up.
    faulty.fail_times("/manifests/1", Fault::Status(429), 2);
    faulty.fail_times(layer, Fault::Status(429), 4);
    let since = Instant::now();
    let said = case.deploy().done();
    for words in ["limits how often", "again in 1 s", "again in 2 s"] {
        assert!(said.contains(words), "{said}");
    }
    let waits = Duration::from_secs(1 + 1 + 2);
    assert!(since.elapsed() >= waits, "the plan's, and two of the pull");
    let limited = case.id("web");
    assert_ne!(limited, before);

    for layer in layered(world, "once", "org/limited:2") {
        faulty.fail_times(&layer, Fault::Cut(MIDDLE), 1);
    }
    case.write("compose.yaml", &compose(&faulty.image("org/limited:2")));
    case.deploy().done();
    assert_ne!(case.id("web"), limited);
}

#[test]
fn a_tag_that_moves_after_the_plan_brings_nothing_that_was_not_planned() {
    let Some(world) = world() else { return };
    let case = world.case("retagged");
    case.deploy().done();
    let before = case.id("web");
    let faulty = world.registry.faulty().unwrap();
    let push = |version| {
        let image = Image::fixture("web", version).unwrap();
        image
            .push(&world.registry, "org/retagged:1")
            .unwrap()
            .digest
    };
    push("one");
    let name = faulty.image("org/retagged:1");
    case.write("compose.yaml", &compose(&name));
    case.controller(&["plan", "emilia", "--out", "p.plan"])
        .with(2, &["recreate"]);

    // Between a plan that was kept and its deploy.
    let planned = push("two");
    case.controller(&["deploy", "--plan", "p.plan", "--yes"])
        .with(1, &["moved on since this plan was saved", &name]);
    assert_eq!(case.id("web"), before);

    // Between the plan of a deploy and its pull. Its manifest is asked for by the engine, by the agent that counts its
    // bytes, and by the engine that pulls.
    let manifest = format!("/manifests/{planned}");
    let asked = requests_for(&faulty, &manifest);
    faulty.fail_from(&manifest, 3, Fault::Hold);
    let mut deploy = Beside::start(&case, &["deploy", "emilia", "--yes"]);
    deploy.until("pulling");
    until("the pull", Duration::from_secs(10), || {
        (requests_for(&faulty, &manifest) == asked + 3).then_some(())
    })
    .unwrap();
    push("three");
    faulty.clear();
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    let web = case.id("web");
    assert_eq!(
        case.docker(&format!("exec {web} /fixture env FIXTURE_VERSION")),
        "two"
    );
    let digests = case.docker(&format!("inspect --format '{{{{.RepoDigests}}}}' {name}"));
    assert!(digests.contains(&planned), "{digests}");
    case.controller(&["plan", "emilia"]).with(2, &["recreate"]);
}
