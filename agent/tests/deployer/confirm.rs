//! A deploy that has to be confirmed is kept only if an operator says so in time.

use std::time::Duration;

use agent::journal::Watcher;
use proto::event::{EventKind, Outcome, State};
use proto::fault::FaultKind;
use serde_json::json;

use crate::bundle::Bundle;
use crate::deeds::life;
use crate::world::{WEB, World, end, entered, id, name, until};

const WITHIN: Duration = Duration::from_secs(120);

fn second() -> Bundle {
    Bundle::new("shop", json!({ "web": { "image": "r/web:2" } }))
}

/// The first version runs, and the second one waits to be confirmed.
async fn waiting() -> (World, Watcher) {
    let world = World::new();
    world.deploy(&Bundle::web("shop"), 1).await;
    let mut watcher = world.begin_to_confirm(&second(), 2, WITHIN).await;
    until(&mut watcher, |kind| {
        matches!(kind, EventKind::ConfirmWanted { seconds: 120 })
    })
    .await;
    (world, watcher)
}

fn image(world: &World) -> String {
    world.engine.all_containers().remove(0).image
}

#[tokio::test(start_paused = true)]
async fn what_is_confirmed_in_time_is_kept_and_says_who_did() {
    let (world, mut watcher) = waiting().await;
    let before = world.revision("shop");
    world
        .deployer
        .confirm(&id(2), &"bo".parse().unwrap())
        .unwrap();
    // Its answer was lost, and it comes again.
    world
        .deployer
        .confirm(&id(2), &"bo".parse().unwrap())
        .unwrap();
    until(&mut watcher, |kind| {
        *kind
            == EventKind::Confirmed {
                operator: "bo".parse().unwrap(),
            }
    })
    .await;
    let end = end(&mut watcher).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Succeeded, State::Committed)
    );
    assert_ne!(world.revision("shop"), before);
    assert_eq!(image(&world), "r/web:2");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_confirms_goes_back_by_itself() {
    let (world, mut watcher) = waiting().await;
    let before = world.revision("shop");
    let end = end(&mut watcher).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::TimedOut, State::RolledBack)
    );
    let fault = end.fault.unwrap();
    assert_eq!(fault.what, "nobody confirmed it within 120 s");
    assert_eq!(world.revision("shop"), before);
    assert_eq!(image(&world), WEB);
    let fault = world
        .deployer
        .confirm(&id(2), &"bo".parse().unwrap())
        .unwrap_err();
    assert!(fault.what.contains("has ended already"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_while_it_waits_takes_the_stack_back() {
    let (world, mut watcher) = waiting().await;
    assert!(world.deployer.cancel(&id(2)));
    until(&mut watcher, entered(State::RollingBack)).await;
    let fault = world
        .deployer
        .confirm(&id(2), &"bo".parse().unwrap())
        .unwrap_err();
    assert!(fault.what.contains("too late"), "{fault}");
    let end = end(&mut watcher).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Cancelled, State::RolledBack)
    );
    assert_eq!(image(&world), WEB);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_judged_good_is_not_asked_about() {
    let world = World::new();
    world.deploy(&Bundle::web("shop"), 1).await;
    world.engine.behave(
        "r/web:2",
        agent::engine::scripted::Behaviour::crashes_every(Duration::from_secs(1)),
    );
    let mut watcher = world.begin_to_confirm(&second(), 2, WITHIN).await;
    until(&mut watcher, entered(State::Applying)).await;
    let fault = world
        .deployer
        .confirm(&id(2), &"bo".parse().unwrap())
        .unwrap_err();
    assert!(fault.what.contains("does not wait"), "{fault}");
    let end = end(&mut watcher).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Failed, State::RolledBack)
    );
}

#[tokio::test(start_paused = true)]
async fn the_stack_is_held_while_it_waits_and_status_says_so() {
    let (world, _watcher) = waiting().await;
    let status = world
        .deployer
        .status(Some(&name("shop")))
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (status.deploy, status.confirm_within),
        (Some(id(2)), Some(120))
    );
    let fault = world.roll_back("shop", None, 3).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Busy);
    assert!(
        fault.causes[1].contains("unless it is confirmed"),
        "{fault:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_may_hold_a_stack_for_longer_than_a_day() {
    let world = World::new();
    let plan = world.plan(&second()).await.unwrap();
    let submission = agent::deployer::Submission {
        confirm_within: Some(Duration::from_secs(24 * 60 * 60 + 1)),
        ..crate::world::submission(&plan, id(1))
    };
    let fault = world.deployer.deploy(submission).unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest);
}

#[test]
fn a_confirmation_that_was_answered_outlives_the_agent() {
    let first = life();
    let world = first.block_on(async {
        let (world, _) = waiting().await;
        world
            .deployer
            .confirm(&id(2), &"bo".parse().unwrap())
            .unwrap();
        world
    });
    drop(first);
    let world = world.restart();
    life().block_on(async {
        world.deployer.recover().await;
        let end = end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
        assert_eq!(
            (end.outcome, end.state),
            (Outcome::Succeeded, State::Committed)
        );
        assert_eq!(image(&world), "r/web:2");
    });
}

#[test]
fn another_agent_waits_on_and_takes_the_confirmation() {
    let first = life();
    let world = first.block_on(async { waiting().await.0 });
    drop(first);
    let world = world.restart();
    life().block_on(async {
        world.deployer.recover().await;
        let mut watcher = world.deployer.watch(&id(2), 0).unwrap();
        let mut asked = 0;
        until(&mut watcher, |kind| {
            asked += usize::from(matches!(kind, EventKind::ConfirmWanted { .. }));
            asked == 2
        })
        .await;
        world
            .deployer
            .confirm(&id(2), &"bo".parse().unwrap())
            .unwrap();
        assert_eq!(end(&mut watcher).await.outcome, Outcome::Succeeded);
    });
}
