//! Every way a deploy ends without success, and what the host is left with.

use std::time::Duration;

use agent::engine::scripted::{Behaviour, Method, Trouble};
use agent::engine::{EngineError, Unwilling};
use proto::event::{EventKind, Outcome, State};
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{DB, World, end, entered, id, name, rest, soon, until};

const SECOND: Duration = Duration::from_secs(1);

fn second_version() -> Bundle {
    Bundle::new("shop", json!({ "web": { "image": "r/web:2" } }))
}

fn refused_pull() -> EngineError {
    EngineError::Image {
        image: "r/web:2".to_owned(),
        message: "the registry is on fire".to_owned(),
        hint: None,
        unwilling: Unwilling::Refused,
    }
}

fn failed_up() -> EngineError {
    EngineError::Compose {
        verb: "up".to_owned(),
        status: "exit code 1".to_owned(),
        output: vec!["port is already allocated".to_owned()],
    }
}

/// A host with the first version committed.
async fn first_version() -> World {
    let world = World::new();
    let end = world.deploy(&Bundle::web("shop"), 1).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    world
}

/// A second version was tried and failed; the next plan knows, and the mended one commits.
async fn claim_it_mends(world: &World) {
    let first = world.revision("shop");
    assert!(first.is_some());
    let plan = world.plan(&second_version()).await.unwrap();
    assert!(plan.has_changes(), "{plan:?}");
    world.engine.behave("r/web:2", Behaviour::runs());
    let again = Bundle::new(
        "shop",
        json!({ "web": { "image": "r/web:2", "command": ["mended"] } }),
    );
    let end = world.deploy(&again, 9).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    assert_ne!(world.revision("shop"), first);
    assert_eq!(end.revision, world.revision("shop"));
    assert!(!world.plan(&again).await.unwrap().has_changes());
}

#[tokio::test(start_paused = true)]
async fn cancelled_while_a_pull_hangs_nothing_was_applied() {
    let world = first_version().await;
    let before = (world.revision("shop"), world.container("shop-web-1"));
    let compose = std::fs::read(world.project("shop").join("compose.yml")).unwrap();
    world.engine.trouble(Method::Pull, 1, Trouble::Hang);
    let mut watcher = world.begin(&second_version(), 2).await;
    until(&mut watcher, |kind| {
        matches!(kind, EventKind::PullStarted { .. })
    })
    .await;
    assert!(world.deployer.cancel(&id(2)));
    let end = end(&mut watcher).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Cancelled, State::Failed)
    );
    assert_eq!(end.revision, before.0);
    assert_eq!(
        (world.revision("shop"), world.container("shop-web-1")),
        before
    );
    assert_eq!(
        std::fs::read(world.project("shop").join("compose.yml")).unwrap(),
        compose
    );
    assert_eq!(world.count(Method::Up), 1, "of the first deploy");
    assert!(!world.deployer.cancel(&id(2)), "it is over");
    claim_it_mends(&world).await;
}

#[tokio::test(start_paused = true)]
async fn cancelled_while_verifying() {
    let world = first_version().await;
    let first = world.revision("shop");
    world
        .engine
        .behave("r/web:2", Behaviour::healthy_after(60 * SECOND));
    let mut watcher = world.begin(&second_version(), 2).await;
    until(&mut watcher, entered(State::Verifying)).await;
    assert!(world.deployer.cancel(&id(2)));
    let end = end(&mut watcher).await;
    assert_eq!((end.outcome, end.revision), (Outcome::Cancelled, first));
    assert_eq!(world.revision("shop"), first);
}

#[tokio::test(start_paused = true)]
async fn cancelled_while_compose_hangs() {
    let world = first_version().await;
    world.engine.trouble(Method::Up, 1, Trouble::Hang);
    let mut watcher = world.begin(&second_version(), 2).await;
    until(&mut watcher, entered(State::Applying)).await;
    assert!(world.deployer.cancel(&id(2)));
    assert_eq!(end(&mut watcher).await.outcome, Outcome::Cancelled);
    claim_it_mends(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_pull_fails_the_deploy_before_anything_is_touched() {
    let world = first_version().await;
    let before = (world.revision("shop"), world.container("shop-web-1"));
    world
        .engine
        .trouble(Method::Pull, 1, Trouble::Fail(refused_pull()));
    let end = world.deploy(&second_version(), 2).await;
    assert_eq!((end.outcome, end.revision), (Outcome::Failed, before.0));
    assert!(
        end.fault
            .unwrap()
            .to_string()
            .contains("the registry is on fire")
    );
    assert_eq!(
        (world.revision("shop"), world.container("shop-web-1")),
        before
    );
    claim_it_mends(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_up_fails_the_deploy_with_its_last_lines() {
    for trouble in [Trouble::Fail(failed_up()), Trouble::Midway(failed_up())] {
        let world = first_version().await;
        let first = world.revision("shop");
        world.engine.trouble(Method::Up, 1, trouble);
        let end = world.deploy(&second_version(), 2).await;
        assert_eq!((end.outcome, end.revision), (Outcome::Failed, first));
        let output = end.fault.unwrap().output.join("\n");
        assert!(output.contains("port is already allocated"), "{output}");
        claim_it_mends(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_service_fails_the_deploy_by_name() {
    for behaviour in [
        Behaviour::crashes_every(SECOND),
        Behaviour::exits_after(SECOND, 3),
    ] {
        let world = first_version().await;
        let first = world.revision("shop");
        world.engine.behave("r/web:2", behaviour.clone());
        let end = world.deploy(&second_version(), 2).await;
        assert_eq!(
            (end.outcome, end.revision),
            (Outcome::Failed, first),
            "{behaviour:?}"
        );
        let fault = end.fault.unwrap();
        assert!(fault.what.contains("service web"), "{fault}");
        assert_eq!(world.revision("shop"), first);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_service_is_mended_by_the_next_deploy() {
    let world = first_version().await;
    world
        .engine
        .behave("r/web:2", Behaviour::crashes_every(SECOND));
    assert_eq!(
        world.deploy(&second_version(), 2).await.outcome,
        Outcome::Failed
    );
    claim_it_mends(&world).await;
}

/// Unhealthy is not dead: it may recover inside the deadline, and only then is it given up.
#[tokio::test(start_paused = true)]
async fn a_service_that_never_becomes_healthy_times_out_and_is_mended() {
    for behaviour in [
        Behaviour::unhealthy_after(SECOND, "no database"),
        Behaviour::healthy_after(10_000 * SECOND),
    ] {
        let world = first_version().await;
        let first = world.revision("shop");
        world.engine.behave("r/web:2", behaviour);
        let end = world.deploy(&second_version(), 2).await;
        assert_eq!((end.outcome, end.revision), (Outcome::TimedOut, first));
        assert!(end.fault.unwrap().what.contains("service web"));
        claim_it_mends(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_deploy_that_failed_frees_the_stack_and_may_be_tried_again() {
    let world = World::new();
    world
        .engine
        .trouble(Method::Up, 1, Trouble::Fail(failed_up()));
    let end = world.deploy(&Bundle::web("shop"), 1).await;
    assert_eq!((end.outcome, end.revision), (Outcome::Failed, None));
    assert_eq!(world.deployer.running(&name("shop")), None);
    let end = world.deploy(&Bundle::web("shop"), 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_gone_by_the_time_of_the_deploy_fails_it() {
    let world = World::new();
    let stack = Bundle::new("shop", json!({ "db": { "image": DB } }));
    world.engine.preload(DB).unwrap();
    let plan = world.plan(&stack).await.unwrap();
    assert!(!plan.images[0].pull);
    let gone = EngineError::Down("the engine is gone".to_owned());
    world.engine.trouble(Method::Image, 1, Trouble::Fail(gone));
    world.submit(&plan, id(1)).unwrap();
    let end = end(&mut world.deployer.watch(&id(1), 0).unwrap()).await;
    assert_eq!(end.outcome, Outcome::Failed);
    let fault = end.fault.unwrap();
    assert!(fault.to_string().contains("the engine is gone"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn shutting_down_interrupts_what_has_changed_nothing_and_waits_for_it() {
    let world = first_version().await;
    let first = world.revision("shop");
    world.engine.trouble(Method::Pull, 1, Trouble::Hang);
    let mut watcher = world.begin(&second_version(), 2).await;
    until(&mut watcher, entered(State::Planned)).await;
    soon(world.deployer.shut_down()).await;
    assert_eq!(world.deployer.running(&name("shop")), None);
    let end = end(&mut watcher).await;
    assert_eq!((end.outcome, end.revision), (Outcome::Interrupted, first));
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_starts_again_while_a_version_is_judged_is_waited_for() {
    let world = first_version().await;
    away_for(&world, 5);
    let mut watcher = world.begin(&second_version(), 2).await;
    let events = rest(&mut watcher).await;
    let waits = events.iter().filter(|event| match &event.kind {
        EventKind::Warning { text } => text.contains("it is waited for"),
        _ => false,
    });
    assert_eq!(waits.count(), 1, "{events:?}");
    let last = events.last().map(|event| &event.kind);
    assert!(
        matches!(last, Some(EventKind::Finished { outcome, .. }) if *outcome == Outcome::Succeeded),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stays_away_takes_the_stack_back_with_its_name() {
    let world = first_version().await;
    let before = world.revision("shop");
    away_for(&world, 150);
    let end = world.deploy(&second_version(), 2).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Failed, State::RolledBack)
    );
    let fault = end.fault.expect("a reason");
    assert!(fault.what.contains("does not answer"), "{fault:?}");
    assert_eq!(world.revision("shop"), before);
}

/// As often as this it is not there for whoever wants to listen.
fn away_for(world: &World, times: usize) {
    for nth in 1..=times {
        let down = EngineError::Down("it is starting".to_owned());
        world
            .engine
            .trouble(Method::Nudges, nth, Trouble::Fail(down));
    }
}
