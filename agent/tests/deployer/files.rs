//! Shipped files: who is made anew for them, what goes, and what an unchanged stack costs.

use agent::engine::EngineError;
use agent::engine::scripted::{Method, Trouble};
use proto::event::{EventKind, Outcome};
use proto::plan::{Action, Change};
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{DB, WEB, World, touched};

const API: &str = "r/api:1";

/// Two services mount the folder or the file, one does not.
fn stack(config: &str) -> Bundle {
    let mount = |source: &str| json!([{ "type": "bind", "source": source, "target": "/c" }]);
    let services = json!({
        "web": { "image": WEB, "volumes": mount("./conf") },
        "api": { "image": API, "volumes": mount("./conf/app.ini") },
        "db": { "image": DB },
    });
    Bundle::new("shop", services).file("conf/app.ini", config)
}

fn ids(world: &World) -> [Option<String>; 3] {
    ["shop-web-1", "shop-api-1", "shop-db-1"].map(|name| world.container(name))
}

fn read(world: &World, path: &str) -> Option<String> {
    std::fs::read_to_string(world.project("shop").join(path)).ok()
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_stack_starts_no_compose_to_be_read() {
    let world = World::new();
    world.deploy(&stack("a"), 1).await;
    let before = (world.count(Method::Resolve), world.count(Method::Named));
    assert_eq!(before, (1, 1));
    let plan = world.plan(&stack("a")).await.unwrap();
    assert!(!plan.has_changes(), "{plan:?}");
    let world = world.restart();
    let plan = world.plan(&stack("a")).await.unwrap();
    assert!(!plan.has_changes(), "{plan:?}");
    assert_eq!(
        (world.count(Method::Resolve), world.count(Method::Named)),
        before
    );
    world.plan(&stack("b")).await.unwrap();
    assert_eq!(world.count(Method::Resolve), 2, "a changed one is read");
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_makes_anew_exactly_the_services_that_mount_it() {
    let world = World::new();
    world.deploy(&stack("a"), 1).await;
    let before = ids(&world);
    let plan = world.plan(&stack("b")).await.unwrap();
    let mut services = touched(&plan);
    services.sort_by_key(|(name, _)| *name);
    assert_eq!(
        services,
        [("api", Action::Recreate), ("web", Action::Recreate)]
    );
    let files: Vec<_> = plan
        .files
        .iter()
        .map(|it| (it.path.as_str(), it.change))
        .collect();
    assert_eq!(files, [("conf/app.ini", Change::Changed)]);

    assert_eq!(
        world.deploy(&stack("b"), 2).await.outcome,
        Outcome::Succeeded
    );
    let after = ids(&world);
    assert_ne!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    assert_eq!(after[2], before[2]);
    let ups = world.engine.calls_of(Method::Up);
    let wanted = ["shop --force-recreate api web", "shop"];
    assert!(ups.ends_with(&wanted.map(str::to_owned)), "{ups:?}");
    assert_eq!(read(&world, "conf/app.ini").as_deref(), Some("b"));
    assert!(!world.plan(&stack("b")).await.unwrap().has_changes());
}

#[tokio::test(start_paused = true)]
async fn a_file_that_left_the_stack_is_deleted() {
    let world = World::new();
    world
        .deploy(&stack("a").file("extra/note.txt", "old"), 1)
        .await;
    assert_eq!(read(&world, "extra/note.txt").as_deref(), Some("old"));
    let plan = world.plan(&stack("a")).await.unwrap();
    assert_eq!(plan.files[0].change, Change::Removed);
    assert!(plan.has_changes());
    world.deploy(&stack("a"), 2).await;
    assert_eq!(read(&world, "extra/note.txt"), None);
    assert_eq!(read(&world, "conf/app.ini").as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_left_the_stack_but_was_changed_by_hand_stays_and_is_named() {
    let world = World::new();
    world.deploy(&stack("a").file("note.txt", "old"), 1).await;
    std::fs::write(world.project("shop").join("note.txt"), "by hand").unwrap();
    let end = world.deploy(&stack("a"), 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert_eq!(read(&world, "note.txt").as_deref(), Some("by hand"));
    let warned = world.events(2, 0).await.into_iter().any(
        |event| matches!(event.kind, EventKind::Warning { text } if text.contains("note.txt")),
    );
    assert!(warned);
    let plan = world.plan(&stack("a")).await.unwrap();
    assert!(plan.files.is_empty(), "it is nobody's any more");
}

#[tokio::test(start_paused = true)]
async fn what_a_container_wrote_beside_the_files_stays() {
    let world = World::new();
    world.deploy(&stack("a"), 1).await;
    std::fs::write(world.project("shop").join("conf/data.db"), "rows").unwrap();
    world.deploy(&stack("b"), 2).await;
    assert_eq!(read(&world, "conf/data.db").as_deref(), Some("rows"));
}

/// The files are laid out before Compose runs: that they are there says nothing about who has seen them.
#[tokio::test(start_paused = true)]
async fn a_changed_file_is_not_forgotten_when_up_fails() {
    let world = World::new();
    world.deploy(&stack("a"), 1).await;
    let before = ids(&world);
    let error = EngineError::Down("gone".to_owned());
    world.engine.trouble(Method::Up, 1, Trouble::Fail(error));
    assert_eq!(world.deploy(&stack("b"), 2).await.outcome, Outcome::Failed);
    assert_eq!(ids(&world), before);

    let plan = world.plan(&stack("b")).await.unwrap();
    assert!(plan.has_changes(), "{plan:?}");
    assert_eq!(
        world.deploy(&stack("b"), 3).await.outcome,
        Outcome::Succeeded
    );
    let after = ids(&world);
    assert_ne!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    assert_eq!(after[2], before[2]);
}
