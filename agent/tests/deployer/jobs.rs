//! Jobs that end, what configs hold, and volumes that have become somebody else's.

use std::collections::BTreeMap;
use std::time::Duration;

use agent::engine::ExistingVolume;
use agent::engine::scripted::{Behaviour, Method};
use proto::event::Outcome;
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{WEB, World, end, id, name};

/// What it did before is not known of a service that is new.
#[tokio::test(start_paused = true)]
async fn a_job_that_is_new_in_a_deployed_stack_is_done_when_it_has_ended() {
    let world = World::new();
    world.deploy(&Bundle::web("shop"), 1).await;
    let ends = Behaviour::exits_after(Duration::from_secs(1), 0);
    world.engine.behave("r/api:1", ends);
    let job = json!({ "image": "r/api:1", "restart": "no" });
    let more = Bundle::new("shop", json!({ "web": { "image": WEB }, "job": job }));
    let end = world.deploy(&more, 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    assert!(!world.plan(&more).await.unwrap().has_changes());
    // It ran when the next revision was judged: from then on its end is a failure.
    world.engine.behave("r/api:1", Behaviour::runs());
    let other = json!({ "image": "r/api:1", "restart": "no", "command": ["serve"] });
    let runs = Bundle::new("shop", json!({ "web": { "image": WEB }, "job": other }));
    assert_eq!(world.deploy(&runs, 3).await.outcome, Outcome::Succeeded);
    world
        .engine
        .live("shop-job-1", Behaviour::exits_after(Duration::ZERO, 0));
    assert!(world.plan(&runs).await.unwrap().has_changes());
}

/// Compose looks at the names of configs alone.
#[tokio::test(start_paused = true)]
async fn a_rollback_brings_back_what_a_config_held() {
    let stack = |page: &str| {
        let used = json!([{ "source": "page", "target": "/page" }]);
        Bundle::web("shop").compose(&json!({
            "services": { "web": { "image": WEB, "configs": used } },
            "configs": { "page": { "content": page } },
        }))
    };
    let world = World::new();
    let first = world.deploy(&stack("one"), 1).await.revision;
    let made = world.container("shop-web-1");
    world.deploy(&stack("two"), 2).await;
    let second = world.container("shop-web-1");
    assert_ne!(made, second);
    world.roll_back("shop", first, 3).unwrap();
    let ended = end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
    assert_eq!((ended.outcome, ended.revision), (Outcome::Succeeded, first));
    assert_ne!(world.container("shop-web-1"), second);
}

/// The stack has made it once, and calls it external now so that nothing of longshore's removes it.
#[tokio::test(start_paused = true)]
async fn a_volume_that_became_external_survives_down() {
    let world = World::new();
    for volume in ["shop_data", "shop_cache"] {
        let volume_of = ExistingVolume {
            driver: "local".to_owned(),
            options: BTreeMap::new(),
        };
        world.engine.add_volume(volume, volume_of);
    }
    let stack = Bundle::web("shop").compose(&json!({
        "services": { "web": { "image": WEB } },
        "volumes": { "data": { "external": true, "name": "shop_data" } },
    }));
    world.deploy(&stack, 1).await;
    let operator = "ana".parse().unwrap();
    world
        .deployer
        .down(id(2), name("shop"), true, operator)
        .unwrap();
    let ended = end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{ended:?}");
    assert_eq!(world.engine.calls_of(Method::RemoveVolume), ["shop_cache"]);
}
