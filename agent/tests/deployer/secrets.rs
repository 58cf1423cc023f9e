//! Where a secret value may be, and where it never is.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use agent::engine::EngineError;
use agent::engine::scripted::{Behaviour, Method, Trouble};
use proto::event::{EventKind, Outcome, State};
use proto::log::Stream;
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{WEB, World, end, entered, files_below, until};

const CANARY: &str = "canary-5d41402abc";

fn stack() -> Bundle {
    let services = json!({ "web": { "image": WEB, "environment": { "KEY": "${KEY}" } } });
    Bundle::new("shop", services).secret("KEY", CANARY)
}

/// Neither in what was told nor in what is kept of it; and what holds it is for the agent alone.
async fn claim_it_is_nowhere(world: &World) {
    let events = serde_json::to_string(&world.events(1, 0).await).unwrap();
    assert!(!events.contains(CANARY), "{events}");
    for path in files_below(&world.path("deploys")) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(CANARY), "{}", path.display());
    }
    let mut holders = 0;
    for path in files_below(&world.path("")) {
        let content = std::fs::read(&path).unwrap();
        if String::from_utf8_lossy(&content).contains(CANARY) {
            holders += 1;
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    assert!(holders > 0, "the host must have it somewhere");
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_not_told_by_a_deploy_that_succeeds() {
    let world = World::new();
    let plan = world.plan(&stack()).await.unwrap();
    assert!(!serde_json::to_string(&plan).unwrap().contains(CANARY));
    assert_eq!(world.deploy(&stack(), 1).await.outcome, Outcome::Succeeded);
    claim_it_is_nowhere(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_not_told_by_compose() {
    let world = World::new();
    let error = EngineError::Compose {
        verb: format!("up {CANARY}"),
        status: "exit code 1".to_owned(),
        output: vec![format!("invalid value {CANARY}, and {CANARY} again")],
    };
    world.engine.trouble(Method::Up, 1, Trouble::Fail(error));
    assert_eq!(world.deploy(&stack(), 1).await.outcome, Outcome::Failed);
    claim_it_is_nowhere(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_not_told_by_a_container_that_is_unhealthy() {
    let world = World::new();
    let output = format!("cannot log in with {CANARY}");
    let life = Behaviour::unhealthy_after(Duration::from_secs(9), &output);
    world.engine.behave(WEB, life);
    let mut watcher = world.begin(&stack(), 1).await;
    until(&mut watcher, entered(State::Verifying)).await;
    world.engine.say("shop-web-1", Stream::Stdout, &output);
    let end = end(&mut watcher).await;
    assert_eq!(end.outcome, Outcome::TimedOut);
    let shown = end.fault.unwrap().output.join("\n");
    assert!(shown.contains("cannot log in with ****"), "{shown}");
    claim_it_is_nowhere(&world).await;
}

/// Nothing but the operator's own carelessness puts it there, and still it is not told.
#[tokio::test(start_paused = true)]
async fn a_secret_in_an_image_name_is_not_told() {
    let world = World::new();
    let image = format!("r/{CANARY}:1");
    world.engine.publish(&image, "x", &["linux/amd64"]);
    let services = json!({ "web": { "image": "r/${KEY}:1" } });
    let stack = Bundle::new("shop", services).secret("KEY", CANARY);
    let mut watcher = world.begin(&stack, 1).await;
    let mut told = Vec::new();
    until(&mut watcher, |kind| {
        assert!(
            !serde_json::to_string(kind).unwrap().contains(CANARY),
            "{kind:?}"
        );
        matches!(kind, EventKind::Finished { .. })
    })
    .await;
    told.extend(world.events(1, 0).await);
    claim_it_is_nowhere(&world).await;
}
