//! The verdict beyond healthchecks: probes, results that are too old, and times of its own for each service.

use std::time::Duration;

use agent::engine::scripted::{Behaviour, Look, Method, Trouble};
use proto::event::{EventKind, Health, Outcome, State};
use proto::plan::Scope;
use proto::probe::{Check, Probe};
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{DB, End, WEB, World, end, entered, id, name, until};

const SECOND: Duration = Duration::from_secs(1);

/// The stack, probed by this program.
fn probed(bundle: Bundle, service: &str, program: &str) -> Bundle {
    let mut bundle = bundle;
    let check = Check::Exec {
        argv: vec![program.to_owned(), "-q".to_owned()],
    };
    let probe = Probe::new(service.parse().unwrap(), check, 5 * SECOND, SECOND);
    bundle.spec.probes.push(probe.unwrap());
    bundle
}

fn second_version() -> Bundle {
    Bundle::new("shop", json!({ "web": { "image": "r/web:2" } }))
}

fn ended_well(end: &End) -> bool {
    (end.outcome, end.state) == (Outcome::Succeeded, State::Committed)
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_passes_takes_the_stack_back_and_shows_its_answer() {
    let world = World::new();
    assert!(ended_well(&world.deploy(&Bundle::web("shop"), 1).await));
    let first = world.revision("shop");
    world.engine.program("ask", 2, "no such table: users");
    let end = world
        .deploy(&probed(second_version(), "web", "ask"), 2)
        .await;
    assert_eq!(
        (end.outcome, end.state, end.revision),
        (Outcome::TimedOut, State::RolledBack, first)
    );
    let fault = end.fault.unwrap();
    assert_eq!(
        fault.causes,
        ["shop-web-1 runs, but exec ask -q ended with 2"]
    );
    let line = "shop-web-1 | probe: no such table: users".to_owned();
    assert!(fault.output.contains(&line), "{fault:?}");
    let told = world.events(2, 0).await.into_iter().any(|event| {
        matches!(event.kind, EventKind::ProbeAnswered { passed: false, answer, .. }
            if answer == "ended with 2")
    });
    assert!(told);
}

#[tokio::test(start_paused = true)]
async fn what_passes_its_probe_is_committed_and_other_probes_are_no_change() {
    let world = World::new();
    let stack = probed(Bundle::web("shop"), "web", "ask");
    assert!(ended_well(&world.deploy(&stack, 1).await));
    let kept = world.store.current(&name("shop")).unwrap().unwrap();
    assert_eq!(kept.spec.probes, stack.spec.probes);
    let other = probed(Bundle::web("shop"), "web", "another");
    assert!(!world.plan(&other).await.unwrap().has_changes());
}

#[tokio::test(start_paused = true)]
async fn each_replica_is_asked() {
    let world = World::new();
    let two = json!({ "web": { "image": WEB, "scale": 2 } });
    let stack = probed(Bundle::new("shop", two), "web", "ask");
    assert!(ended_well(&world.deploy(&stack, 1).await));
    let asked = world.engine.calls_of(Method::ProbeExec);
    for name in ["shop-web-1", "shop-web-2"] {
        let id = world.container(name).unwrap();
        assert!(asked.contains(&format!("{id} ask -q")), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_before_the_container_is_healthy() {
    let world = World::new();
    let sick = Behaviour::unhealthy_after(SECOND, "no database");
    world.engine.behave(WEB, sick);
    let stack = probed(Bundle::web("shop"), "web", "ask");
    assert_eq!(world.deploy(&stack, 1).await.outcome, Outcome::TimedOut);
    assert_eq!(world.count(Method::ProbeExec), 0);
}

#[tokio::test(start_paused = true)]
async fn the_way_back_is_judged_by_the_probes_of_what_it_goes_back_to() {
    let world = World::new();
    let stack = probed(Bundle::web("shop"), "web", "ask");
    assert!(ended_well(&world.deploy(&stack, 1).await));
    let asked = world.count(Method::ProbeExec);
    let broken = Behaviour::exits_after(SECOND, 3);
    world.engine.behave("r/web:2", broken.clone());
    let back = world.deploy(&second_version(), 2).await;
    assert_eq!(back.state, State::RolledBack);
    assert_eq!(world.count(Method::ProbeExec), asked + 1);

    world.engine.program("ask", 1, "");
    let stuck = world.deploy(&second_version(), 3).await;
    assert_eq!(stuck.state, State::Failed);
    let fault = stuck.fault.unwrap();
    assert!(fault.what.contains("could not be brought back"), "{fault}");
    let said = fault.causes.join("\n");
    assert!(said.contains("exec ask -q ended with 1"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_hangs_is_not_started_a_second_time() {
    let world = World::new();
    world.engine.trouble(Method::ProbeExec, 1, Trouble::Hang);
    let stack = probed(Bundle::web("shop"), "web", "ask");
    let end = world.deploy(&stack, 1).await;
    assert_eq!(end.outcome, Outcome::TimedOut);
    let said = end.fault.unwrap().causes.join("\n");
    assert!(
        said.contains("exec ask -q has not ended within 5s"),
        "{said}"
    );
    assert_eq!(world.count(Method::ProbeExec), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_what_is_being_asked() {
    let world = World::new();
    assert!(ended_well(&world.deploy(&Bundle::web("shop"), 1).await));
    world.engine.trouble(Method::ProbeExec, 1, Trouble::Hang);
    let stack = probed(second_version(), "web", "ask");
    let mut watcher = world.begin(&stack, 2).await;
    until(&mut watcher, entered(State::Verifying)).await;
    assert!(world.deployer.cancel(&id(2)));
    let end = end(&mut watcher).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Cancelled, State::RolledBack)
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_nobody_is_refused_while_nothing_has_changed() {
    let world = World::new();
    let stack = probed(Bundle::web("shop"), "wbe", "ask");
    let fault = world.stage(&stack).await.unwrap_err();
    assert!(
        fault
            .what
            .contains("names service wbe, which the stack does not have"),
        "{fault}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deploy_of_one_service_leaves_the_probes_of_the_others() {
    let world = World::new();
    let both = |web: &str| {
        let services = json!({ "web": { "image": web }, "db": { "image": DB } });
        probed(Bundle::new("shop", services), "db", "old")
    };
    assert!(ended_well(&world.deploy(&both(WEB), 1).await));
    let mut next = both("r/web:2");
    next.spec.probes.clear();
    let next = probed(probed(next, "db", "new"), "web", "new");
    let scope = Scope::Alone(["web".parse().unwrap()].into());
    let plan = world.plan_part(&next, &scope).await.unwrap();
    world.submit(&plan, id(2)).unwrap();
    assert!(ended_well(
        &end(&mut world.deployer.watch(&id(2), 0).unwrap()).await
    ));
    let kept = world.store.current(&name("shop")).unwrap().unwrap();
    let probes = kept.spec.probes.iter();
    let probes: Vec<_> = probes
        .map(|it| format!("{} {}", it.service, it.check))
        .collect();
    assert_eq!(probes, ["web exec new -q", "db exec old -q"]);
}

/// An engine that was restarted under its containers still shows what it last saw.
#[tokio::test(start_paused = true)]
async fn a_kept_container_that_nobody_checks_any_more_does_not_pass() {
    let world = World::new();
    let healthy = Look::running(Health::Healthy);
    let unchecked = Look {
        checked: 14 * 60 * SECOND,
        ..healthy.clone()
    };
    let life = Behaviour::timeline(vec![(Duration::ZERO, healthy), (60 * SECOND, unchecked)]);
    world.engine.behave(DB, life);
    let both = |web: &str| {
        let services = json!({ "web": { "image": web }, "db": { "image": DB } });
        Bundle::new("shop", services)
    };
    assert!(ended_well(&world.deploy(&both(WEB), 1).await));
    tokio::time::sleep(60 * SECOND).await;
    let end = world.deploy(&both("r/web:2"), 2).await;
    // What never stopped is no worse than it was: the way back does not end in the same place.
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::TimedOut, State::RolledBack)
    );
    let said = end.fault.unwrap().causes.join("\n");
    assert_eq!(
        said,
        "shop-db-1 was healthy, but its last health result is 14 min old; the engine has stopped checking"
    );
}

#[tokio::test(start_paused = true)]
async fn the_operators_deadline_holds_for_its_service_alone() {
    let world = World::new();
    world
        .engine
        .behave(WEB, Behaviour::healthy_after(400 * SECOND));
    let mut stack = Bundle::web("shop");
    let end = world.deploy(&stack, 1).await;
    assert_eq!(end.outcome, Outcome::TimedOut, "by its healthcheck");
    let deadlines = &mut stack.spec.deadlines;
    deadlines.insert("web".parse().unwrap(), 500 * SECOND);
    assert!(ended_well(&world.deploy(&stack, 2).await));
}
