//! Registries that limit how often they are asked, and names that move between a plan and its deploy.

use std::time::Duration;

use agent::engine::scripted::{Method, Trouble};
use agent::engine::{EngineError, Unwilling};
use proto::event::{EventKind, Outcome, State};
use proto::fault::FaultKind;
use serde_json::json;
use tokio::time::Instant;

use crate::bundle::Bundle;
use crate::world::{World, end, entered, id, until};

const SECOND: Duration = Duration::from_secs(1);

fn second_version() -> Bundle {
    Bundle::new("shop", json!({ "web": { "image": "r/web:2" } }))
}

async fn first_version() -> World {
    let world = World::new();
    let end = world.deploy(&Bundle::web("shop"), 1).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    world
}

fn refuses(world: &World, method: Method, times: usize, unwilling: Unwilling) {
    for nth in 1..=times {
        let error = EngineError::Image {
            image: "r/web:2".to_owned(),
            message: "r limits how often it may be asked".to_owned(),
            hint: None,
            unwilling,
        };
        world.engine.trouble(method, nth, Trouble::Fail(error));
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_limits_is_left_alone_and_asked_again() {
    let world = first_version().await;
    let before = world.count(Method::Pull);
    refuses(&world, Method::Pull, 2, Unwilling::Limited);
    let since = Instant::now();
    let end = world.deploy(&second_version(), 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    assert_eq!(world.count(Method::Pull) - before, 3);
    assert!(since.elapsed() >= 3 * SECOND);
    let told = world.events(2, 0).await;
    let told = told.iter().filter(|event| {
        matches!(&event.kind, EventKind::Warning { text }
            if text.contains("limits how often") && text.contains("r/web:2") && text.contains("again in"))
    });
    assert_eq!(told.count(), 2, "once for each wait");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_limits_for_ever_fails_the_deploy_in_time_and_the_old_stays() {
    let world = first_version().await;
    let old = (world.revision("shop"), world.container("shop-web-1"));
    let before = world.count(Method::Pull);
    refuses(&world, Method::Pull, 99, Unwilling::Limited);
    let since = Instant::now();
    let end = world.deploy(&second_version(), 2).await;
    assert_eq!((end.outcome, end.revision), (Outcome::Failed, old.0));
    assert!(end.fault.unwrap().what.contains("limits how often"));
    assert_eq!(world.count(Method::Pull) - before, 7);
    assert!(since.elapsed() < 90 * SECOND, "{:?}", since.elapsed());
    assert_eq!((world.revision("shop"), world.container("shop-web-1")), old);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_registry_can_be_cancelled() {
    let world = first_version().await;
    let before = world.count(Method::Pull);
    refuses(&world, Method::Pull, 99, Unwilling::Limited);
    let mut watcher = world.begin(&second_version(), 2).await;
    until(
        &mut watcher,
        |kind| matches!(kind, EventKind::Warning { text } if text.contains("again in 15 s")),
    )
    .await;
    let since = Instant::now();
    assert!(world.deployer.cancel(&id(2)));
    let end = end(&mut watcher).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Cancelled, State::Failed)
    );
    assert!(since.elapsed() < SECOND, "{:?}", since.elapsed());
    assert_eq!(world.count(Method::Pull) - before, 5);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_is_refused_is_not_tried_again() {
    let world = first_version().await;
    let before = world.count(Method::Pull);
    refuses(&world, Method::Pull, 1, Unwilling::Refused);
    let end = world.deploy(&second_version(), 2).await;
    assert_eq!(end.outcome, Outcome::Failed);
    assert_eq!(world.count(Method::Pull) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_plan_asks_a_registry_that_limits_again_within_its_time() {
    let world = first_version().await;
    refuses(&world, Method::RemoteImage, 2, Unwilling::Limited);
    assert!(world.plan(&second_version()).await.is_ok());
    let before = world.count(Method::RemoteImage);
    refuses(&world, Method::RemoteImage, 9, Unwilling::Limited);
    let since = Instant::now();
    let fault = world.plan(&second_version()).await.unwrap_err();
    assert!(fault.what.contains("limits how often"), "{fault}");
    assert_eq!(world.count(Method::RemoteImage) - before, 3);
    assert!(since.elapsed() <= 5 * SECOND, "{:?}", since.elapsed());
    let world = first_version().await;
    refuses(&world, Method::RemoteImage, 9, Unwilling::Refused);
    let before = world.count(Method::RemoteImage);
    world.plan(&second_version()).await.unwrap_err();
    assert_eq!(world.count(Method::RemoteImage) - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_behind_a_plan_does_not_change_what_is_pulled() {
    let world = first_version().await;
    let plan = world.plan(&second_version()).await.unwrap();
    let planned = plan.images[0].digest.clone().unwrap();
    let moved = world.engine.publish("r/web:2", "moved", &["linux/amd64"]);
    assert_ne!(planned, moved);
    assert!(!world.submit(&plan, id(2)).unwrap());
    let mut watcher = world.deployer.watch(&id(2), 0).unwrap();
    assert_eq!(end(&mut watcher).await.outcome, Outcome::Succeeded);
    let current = world.store.current(&"shop".parse().unwrap()).unwrap();
    let pin = current.unwrap().images["r/web:2"].clone();
    assert_eq!(pin.digest.as_ref(), Some(&planned));
    let running = world.engine.all_containers();
    assert_eq!(running[0].image_id, pin.id);
    let next = world.plan(&second_version()).await.unwrap();
    assert_eq!(next.images[0].digest, Some(moved), "and is seen next time");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_moves_on_the_host_behind_a_plan_stops_the_deploy() {
    let world = first_version().await;
    let old = (world.revision("shop"), world.container("shop-web-1"));
    world.engine.preload("r/web:2").unwrap();
    let plan = world.plan(&second_version()).await.unwrap();
    assert!(!plan.images[0].pull, "it is here");
    world.engine.publish("r/web:2", "moved", &["linux/amd64"]);
    world.engine.preload("r/web:2").unwrap();
    assert!(!world.submit(&plan, id(2)).unwrap());
    let mut watcher = world.deployer.watch(&id(2), 0).unwrap();
    until(&mut watcher, entered(State::Planned)).await;
    let end = end(&mut watcher).await;
    assert_eq!((end.outcome, end.revision), (Outcome::Failed, old.0));
    let fault = end.fault.unwrap();
    assert_eq!(fault.kind, FaultKind::Stale);
    assert!(fault.what.contains("the name r/web:2 has moved"), "{fault}");
    assert_eq!((world.revision("shop"), world.container("shop-web-1")), old);
    let again = world.deploy(&second_version(), 3).await;
    assert_eq!(again.outcome, Outcome::Succeeded, "{again:?}");
}
