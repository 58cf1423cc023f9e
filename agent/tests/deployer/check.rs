//! What is not as the records say is named, with the command that mends it, and that command mends it.

use agent::engine::EngineError;
use agent::engine::scripted::{Method, Trouble};
use proto::check::Finding;
use proto::event::{Outcome, State};
use proto::id::HostName;
use serde_json::json;

use crate::bundle::Bundle;
use crate::deeds::life;
use crate::world::{DB, WEB, World, end, entered, id, name, until};

fn two(web: &str) -> Bundle {
    let services = json!({ "web": { "image": web }, "db": { "image": DB } });
    Bundle::new("shop", services)
}

async fn first_version() -> World {
    let world = World::new();
    let end = world.deploy(&two(WEB), 1).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    world
}

async fn findings(world: &World) -> Vec<Finding> {
    let host: HostName = "emilia".parse().unwrap();
    world.deployer.check(&host, &[]).await.findings
}

/// Does what `finding` says.
async fn mend(world: &World, finding: &Finding, number: u8) {
    let current = world.revision("shop").unwrap();
    let command = format!("controller rollback emilia/shop --to {}", current.short());
    assert_eq!(finding.mend, command);
    world.roll_back("shop", Some(current), number).unwrap();
    let end = end(&mut world.deployer.watch(&id(number), 0).unwrap()).await;
    assert_eq!(
        (end.outcome, end.revision),
        (Outcome::Succeeded, Some(current)),
        "{end:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_somebody_removed_is_named_and_brought_back() {
    let world = first_version().await;
    assert_eq!(findings(&world).await, []);
    world.engine.vanish("shop-web-1");
    let found = findings(&world).await;
    let [finding] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(finding.stack, Some(name("shop")));
    assert_eq!(finding.what, "service web lacks containers");
    mend(&world, finding, 2).await;
    assert_eq!(findings(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_compose_left_is_named_and_cleared_up() {
    let world = first_version().await;
    world.engine.leave_half_replaced("shop-web-1", false);
    let found = findings(&world).await;
    assert!(found[0].what.ends_with("is half made"), "{found:?}");
    mend(&world, &found[0], 2).await;
    assert_eq!(findings(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_down_is_all_that_is_named() {
    let world = first_version().await;
    for nth in 1..9 {
        let down = EngineError::Down("no such file".to_owned());
        world
            .engine
            .trouble(Method::Facts, nth, Trouble::Fail(down));
    }
    let found = findings(&world).await;
    let [finding] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(finding.what, "Docker cannot be used");
    assert!(
        finding.mend.contains("systemctl start docker"),
        "{finding:?}"
    );
}

#[test]
fn a_deploy_whose_records_are_lost_leaves_a_stack_to_reconcile() {
    let first = life();
    let world = first.block_on(async {
        let world = first_version().await;
        world.engine.trouble(Method::Up, 1, Trouble::Hang);
        let mut watcher = world.begin(&two("r/web:2"), 2).await;
        until(&mut watcher, entered(State::Applying)).await;
        world
    });
    drop(first);
    let point = world
        .path("work")
        .join(id(2).to_string())
        .join("point.json");
    std::fs::write(point, "nonsense").unwrap();
    let world = world.restart();
    life().block_on(async {
        world.deployer.recover().await;
        let ended = end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
        assert_eq!(
            (ended.outcome, ended.state),
            (Outcome::Interrupted, State::Failed)
        );
        let hint = &ended.fault.unwrap().hints[0];
        assert!(hint.contains("controller doctor"), "{hint}");
        let status = world.deployer.status(Some(&name("shop"))).await.unwrap();
        assert!(status[0].needs_reconcile);
        let found = findings(&world).await;
        assert!(
            found[0].what.contains("needs to be reconciled"),
            "{found:?}"
        );
        mend(&world, &found[0], 3).await;
        assert_eq!(findings(&world).await, []);
        let status = world.deployer.status(Some(&name("shop"))).await.unwrap();
        assert!(!status[0].needs_reconcile);
    });
}
