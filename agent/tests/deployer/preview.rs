//! What a plan asks of the host: nothing more than it needs, and refused before anything is touched.

use agent::engine::scripted::Method;
use proto::fault::FaultKind;
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{WEB, World};

const BESIDE: [Method; 5] = [
    Method::Layers,
    Method::Disk,
    Method::Volume,
    Method::HasNetwork,
    Method::HostContainers,
];

#[tokio::test(start_paused = true)]
async fn a_plan_with_nothing_to_change_asks_for_nothing_beside_the_stack() {
    let world = World::new();
    let config = json!({
        "services": { "web": { "image": WEB, "ports": [{ "target": 80, "published": "8080" }] } },
        "networks": { "shared": { "external": true } },
        "volumes": { "data": {} },
    });
    let bundle = Bundle::web("opq").compose(&config);
    world.engine.add_network("shared");
    world.deploy(&bundle, 1).await;
    let asked = || BESIDE.map(|method| world.count(method));
    let before = asked();
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    assert!(!world.plan(&bundle).await.unwrap().has_changes());
    assert_eq!(asked(), before);
}

#[tokio::test(start_paused = true)]
async fn a_missing_network_stops_a_plan_and_so_a_deploy() {
    let world = World::new();
    let config = json!({
        "services": { "web": { "image": WEB } },
        "networks": { "shared": { "external": true } },
    });
    let bundle = Bundle::web("opq").compose(&config);
    let fault = world.plan(&bundle).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.what.contains("external network shared"), "{fault}");
    world.engine.add_network("shared");
    assert!(world.plan(&bundle).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_pull_without_room_stops_a_plan() {
    let world = World::new();
    world.engine.leave_free(1);
    let fault = world.plan(&Bundle::web("opq")).await.unwrap_err();
    assert!(
        fault.what.contains("/var/lib/docker has 1 B left"),
        "{fault}"
    );
}
