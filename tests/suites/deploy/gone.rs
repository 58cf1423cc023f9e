//! What a deploy stands on goes away in the middle of it: the engine, the link.

use std::net::SocketAddr;
use std::time::Duration;

use tests::lab::{Cmd, Fault, Image, until};

use crate::alone::Alone;
use crate::beside::Beside;
use crate::relay::{Wire, stand_in};
use crate::whole::{claim_every_event_once, claim_whole};
use crate::world::{WEB, world};

#[test]
fn an_engine_that_dies_in_the_middle_leaves_old_or_new() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "engineless");
    let faulty = world.registry.faulty().unwrap();
    let slow = WEB
        .replace(
            "FIXTURE_SHOW: NOTHING",
            "FIXTURE_HEALTHY_AFTER_MS: \"2000\"",
        )
        .replace("retries: 3", "retries: 30");
    for (number, moment) in ["pulling", "compose: ", "verifying"]
        .into_iter()
        .enumerate()
    {
        let image = Image::fixture("web", &format!("gone-{number}"))
            .unwrap()
            .padding(300_000)
            .unwrap();
        let name = format!("org/gone:{number}");
        image.push(&world.registry, &name).unwrap();
        if moment == "pulling" {
            faulty.fail("/blobs/", Fault::Trickle(1000));
        }
        let wanted = faulty.image(&name);
        let text = slow.replace("${REGISTRY}/org/web:${TAG}", &wanted);
        alone.case.write("compose.yaml", &text);
        let before = claim_whole(&alone, "before");
        let mut deploy = Beside::start(&alone.case, &["deploy", alone.name(), "--yes"]);
        deploy.until(moment);
        alone.host.kill_docker().unwrap();
        faulty.clear();
        alone.host.start_docker().unwrap();
        let (code, said) = deploy.end();
        assert!([0, 1, 3].contains(&code), "{moment}: {code}\n{said}");
        settle(&alone);
        let after = claim_whole(&alone, &format!("{moment}: {code}\n{said}"));
        if code == 0 {
            assert_ne!(after.revision, before.revision, "{moment}");
        } else {
            assert_eq!(after.revision, before.revision, "{moment}");
        }
        alone.deploy().done();
    }
}

/// Waits until the engine has its containers again. After a kill on a busy machine it may lose step with containerd
/// ("cannot delete running task") and kill what it has just started, again and again: then it is restarted in order, as on
/// a server, and the agent's part is judged all the same.
fn settle(alone: &Alone<'_>) {
    let steady = || {
        let all = alone
            .host
            .sh("docker ps -a --format '{{.Status}}'")
            .unwrap();
        all.lines().all(is_steady).then_some(())
    };
    if until("containers that stay up", Duration::from_secs(15), steady).is_err() {
        alone.host.stop_docker().unwrap();
        alone.host.start_docker().unwrap();
        until("containers that stay up", Duration::from_secs(30), steady).unwrap();
    }
}

/// Whether a container is up for three seconds or longer, as `docker ps` words it.
fn is_steady(status: &str) -> bool {
    let words: Vec<&str> = status.split(' ').collect();
    match words.as_slice() {
        ["Up", count, unit, ..] if unit.starts_with("second") => {
            count.parse::<u32>().is_ok_and(|seconds| seconds >= 3)
        }
        ["Up", "Less", ..] => false,
        ["Up", ..] => true,
        _ => false,
    }
}

#[test]
fn what_the_engine_keeps_restarting_is_made_anew_on_the_way_back() {
    let Some(world) = world() else { return };
    let case = world.case("worn");
    let slow = "FIXTURE_HEALTHY_AFTER_MS: \"60000\"";
    let db = "  db:\n    image: ${REGISTRY}/org/web:1\n    restart: always\n";
    case.write("compose.yaml", &format!("{WEB}{db}"));
    case.deploy().done();
    let (web, db_id) = (case.id("web"), case.id("db"));
    case.write(
        "compose.yaml",
        &format!("{}{db}", WEB.replace("FIXTURE_SHOW: NOTHING", slow)),
    );
    let mut deploy = Beside::start(&case, &["deploy", "emilia", "--yes"]);
    deploy.until("verifying");
    // Whatever it starts in this container is killed, until the container is gone.
    let kill = format!(
        "while pid=$(docker inspect -f '{{{{.State.Pid}}}}' {db_id}); do [ \"$pid\" = 0 ] || kill -9 \"$pid\"; done"
    );
    let killer = world.emilia.spawn(&Cmd::new(["sh", "-c", &kill])).unwrap();
    let (code, said) = deploy.end();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("worn-db-1 again and again"), "{said}");
    killer.wait(Duration::from_secs(5)).unwrap();
    assert_eq!(
        case.containers(),
        "db org/web:1 running\nweb org/web:1 running"
    );
    assert_ne!(case.id("db"), db_id);
    assert_ne!(case.id("web"), web);
}

#[test]
fn a_frozen_engine_is_named_and_the_agent_goes_on_answering() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "frozen");
    let signal = |name: &str| {
        let line = format!("kill -{name} \"$(cat /var/run/docker.pid)\"");
        alone.host.sh(&line).unwrap();
    };
    let before = claim_whole(&alone, "before");
    alone.case.write(".env", "TAG=2\n");
    signal("STOP");
    alone
        .deploy()
        .with(1, &["docker version took longer", alone.name()]);
    let said = alone.case.controller(&["doctor", alone.name()]);
    said.with(1, &["Docker cannot be used"]);
    alone.case.controller(&["history", alone.name()]).done();
    signal("CONT");
    assert_eq!(claim_whole(&alone, "thawed"), before);
    alone.deploy().done();
}

#[test]
fn a_link_that_breaks_at_every_event_loses_none_and_tells_none_twice() {
    let Some(world) = world() else { return };
    let case = world.case("severed");
    case.deploy().done();
    let here = stand_in(world.emilia.ip());
    let host = SocketAddr::from((world.emilia.ip(), 7433));
    let wire = Wire::to(host, here);
    case.fleet_with("", &here.to_string());
    case.write(".env", "TAG=2\n");
    let mut deploy = Beside::start(&case, &["deploy", "emilia", "--yes", "-o", "jsonl"]);
    let mut cuts = 0;
    while let Some(line) = deploy.line() {
        // Not while it plans: a plan that is cut short is an error, and nothing has begun.
        if line.contains("\"agent\":{") {
            wire.cut();
            cuts += 1;
        }
    }
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("link_lost"), "{said}");
    claim_every_event_once(&said, "cut at every event");
    assert!(cuts > 8, "only {cuts} cuts");
    assert!(case.containers().contains("web:2"), "{}", case.containers());
}
