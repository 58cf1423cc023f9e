//! A stack that is neither revision: every command that could mend it does.

use std::time::Duration;

use agent::engine::scripted::{Behaviour, Method};
use proto::event::{Outcome, State};
use proto::fault::FaultReason;
use proto::plan::Action;
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{DB, End, WEB, World, end, id, touched};

const SECOND: Duration = Duration::from_secs(1);

/// `web` waits for the health of `db`, which mounts a file.
fn stack(file: &str) -> Bundle {
    let conf = json!({ "type": "bind", "source": "./conf", "target": "/c" });
    let healthy = json!({ "db": { "condition": "service_healthy" } });
    let services = json!({
        "web": { "image": WEB, "depends_on": healthy },
        "db": { "image": DB, "volumes": [conf] },
    });
    Bundle::new("shop", services).file("conf/db.conf", file)
}

/// The file is bad, and so is whatever is made of the old one: the host has changed under it.
async fn stuck() -> World {
    let world = World::new();
    world.engine.behave(DB, Behaviour::healthy_after(SECOND));
    let first = world.deploy(&stack("good"), 1).await;
    assert_eq!(first.outcome, Outcome::Succeeded);
    world
        .engine
        .behave(DB, Behaviour::unhealthy_after(Duration::ZERO, "no disk"));
    let end = world.deploy(&stack("bad"), 2).await;
    assert_eq!(end.state, State::Failed, "{end:?}");
    let reason = end.fault.unwrap().reason;
    assert_eq!(reason, Some(FaultReason::NotRestored));
    world.engine.behave(DB, Behaviour::healthy_after(SECOND));
    world
}

fn claim_mended(world: &World, end: &End) {
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    let all = world.engine.all_containers();
    let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["shop-db-1", "shop-web-1"]);
    let well = |it: &agent::engine::Container| !it.is_failing() && it.is_up();
    assert!(all.iter().all(well), "{all:?}");
}

/// By its records all is as committed: only the health of what runs tells.
#[tokio::test(start_paused = true)]
async fn the_old_files_are_not_nothing_to_change() {
    let world = stuck().await;
    let plan = world.plan(&stack("good")).await.unwrap();
    assert!(
        touched(&plan).contains(&("db", Action::Recreate)),
        "{plan:?}"
    );
    claim_mended(&world, &world.deploy(&stack("good"), 3).await);
    assert!(!world.plan(&stack("good")).await.unwrap().has_changes());
}

#[tokio::test(start_paused = true)]
async fn new_good_files_are_deployed() {
    let world = stuck().await;
    claim_mended(&world, &world.deploy(&stack("better"), 3).await);
}

#[tokio::test(start_paused = true)]
async fn the_committed_revision_is_brought_once_more() {
    let world = stuck().await;
    let current = world.revision("shop");
    world.roll_back("shop", current, 3).unwrap();
    let ended = end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
    claim_mended(&world, &ended);
}

/// Compose starts nothing that waits for what was failing before, and the way back asks no more than that it is as it
/// was.
#[tokio::test(start_paused = true)]
async fn the_way_back_starts_what_waited_for_a_service_that_was_failing_before() {
    let world = World::new();
    world.engine.behave(DB, Behaviour::healthy_after(SECOND));
    world.deploy(&stack("good"), 1).await;
    let sick = Behaviour::unhealthy_after(Duration::ZERO, "no disk");
    world.engine.live("shop-db-1", sick.clone());
    world.engine.behave(DB, sick);
    let web = world.container("shop-web-1");
    let services = json!({
        "web": { "image": "r/web:2", "depends_on": { "db": { "condition": "service_healthy" } } },
        "db": { "image": DB, "volumes": [{ "type": "bind", "source": "./conf", "target": "/c" }] },
    });
    let next = Bundle::new("shop", services).file("conf/db.conf", "good");
    let end = world.deploy(&next, 2).await;
    assert_ne!(end.outcome, Outcome::Succeeded, "{end:?}");
    let all = world.engine.all_containers();
    let back = all.iter().find(|it| it.name == "shop-web-1").unwrap();
    assert!(back.is_up() && back.image == WEB, "{back:?}");
    assert_ne!(Some(&back.id), web.as_ref());
    assert!(world.count(Method::StartContainer) > 0);
}
