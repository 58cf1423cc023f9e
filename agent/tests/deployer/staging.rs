//! Bundles that contradict themselves, and what they leave behind: nothing.

use agent::engine::scripted::Method;
use proto::fault::{Fault, FaultKind};
use serde_json::json;

use crate::bundle::{Bundle, blob, shipped};
use crate::world::World;

fn claim_refused<T>(world: &World, result: Result<T, Fault>, kind: FaultKind) -> Fault {
    let fault = result.err().expect("it was let in");
    assert_eq!(fault.kind, kind, "{fault}");
    for folder in ["staging", "stages", "stacks", "deploys"] {
        let left = std::fs::read_dir(world.path(folder)).unwrap().count();
        assert_eq!(left, 0, "{folder}/ after {fault}");
    }
    fault
}

#[tokio::test]
async fn a_stack_without_its_compose_file_is_refused() {
    let world = World::new();
    let mut stack = Bundle::web("shop");
    stack.spec.files.clear();
    let fault = claim_refused(&world, world.stage(&stack).await, FaultKind::InvalidRequest);
    assert!(fault.what.contains("compose.yml"), "{fault}");
    stack.spec.compose_files.clear();
    claim_refused(&world, world.stage(&stack).await, FaultKind::InvalidRequest);
    let mut stack = Bundle::web("shop");
    stack.spec.env_files = vec![".env".parse().unwrap()];
    claim_refused(&world, world.stage(&stack).await, FaultKind::InvalidRequest);
}

#[tokio::test]
async fn content_that_was_not_asked_for_is_refused() {
    let world = World::new();
    let stack = Bundle::web("shop");
    let mut session = world.deployer.stage(stack.spec.clone().into()).unwrap();
    let refused = session.chunk(blob("other"), 0, b"other");
    claim_refused(&world, refused, FaultKind::InvalidRequest);
    world.fill(&mut session, &stack).unwrap();
    let compose = session.chunk(stack.spec.files[0].blob, 0, b"{}");
    claim_refused(&world, compose, FaultKind::InvalidRequest);
}

#[tokio::test]
async fn content_that_is_not_what_was_announced_is_refused_and_asked_for_again() {
    let world = World::new();
    let stack = Bundle::web("shop").file("a", "right");
    let pieces: [(u64, &[u8]); 3] = [(0, b"wrong"), (0, b"right and more"), (2, b"right")];
    for (offset, data) in pieces {
        let mut session = world.deployer.stage(stack.spec.clone().into()).unwrap();
        let refused = session.chunk(blob("right"), offset, data);
        claim_refused(&world, refused, FaultKind::InvalidRequest);
        drop(session);
        let incoming = world.path("blobs/incoming");
        assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
    }
    world.stage(&stack).await.unwrap();
}

#[tokio::test]
async fn content_may_come_in_pieces_but_not_in_two_at_once() {
    let world = World::new();
    let stack = Bundle::web("shop")
        .file("a", "left right")
        .file("b", "other");
    let mut session = world.deployer.stage(stack.spec.clone().into()).unwrap();
    session.chunk(blob("left right"), 0, b"left ").unwrap();
    let refused = session.chunk(blob("other"), 0, b"other");
    claim_refused(&world, refused, FaultKind::InvalidRequest);
    session.chunk(blob("left right"), 0, b"left ").unwrap();
    session.chunk(blob("left right"), 5, b"right").unwrap();
    world.fill(&mut session, &stack).unwrap();
    session.finish().await.unwrap();
}

#[tokio::test]
async fn one_path_has_one_content() {
    let world = World::new();
    let stack = Bundle::web("shop").file("a", "one").file("a", "two");
    let refused = world.stage(&stack).await;
    claim_refused(&world, refused, FaultKind::InvalidRequest);

    let stack = Bundle::web("shop").file("a", "one");
    let mut session = world.deployer.stage(stack.spec.clone().into()).unwrap();
    let refused = session.add(vec![shipped("a", "two")]);
    claim_refused(&world, refused, FaultKind::InvalidRequest);
}

#[tokio::test]
async fn a_file_is_not_also_a_folder() {
    let world = World::new();
    for (file, below) in [
        ("a", "a/b"),
        ("a/b", "a/b/c/d"),
        ("compose.yml", "compose.yml/x"),
    ] {
        let stack = Bundle::web("shop").file(file, "x").file(below, "y");
        if file != "compose.yml" {
            let refused = world.stage(&stack).await;
            let fault = claim_refused(&world, refused, FaultKind::InvalidRequest);
            assert!(fault.what.contains("both a file and the folder"), "{fault}");
        }
        let mut session = world
            .deployer
            .stage(Bundle::web("shop").spec.into())
            .unwrap();
        let late = session.add(vec![shipped(below, "y"), shipped(file, "x")]);
        claim_refused(&world, late, FaultKind::InvalidRequest);
    }
}

#[tokio::test]
async fn what_compose_does_not_understand_leaves_nothing() {
    let world = World::new();
    let mut broken = Bundle::web("shop");
    broken.spec.files.clear();
    let broken = broken.file("compose.yml", "services: [");
    let refused = world.stage(&broken).await;
    claim_refused(&world, refused, FaultKind::InvalidStack);

    let undefined = json!({ "web": { "image": "r/web:${NO_SUCH}" } });
    let refused = world.stage(&Bundle::new("shop", undefined)).await;
    let fault = claim_undefined(&world, refused);
    assert!(fault.what.contains("NO_SUCH"), "{fault}");

    let outside = json!({ "web": { "image": "r/web:1",
        "volumes": [{ "type": "bind", "source": "../other", "target": "/o" }] } });
    let refused = world.stage(&Bundle::new("shop", outside)).await;
    claim_undefined(&world, refused);
    assert_eq!(world.count(Method::Up), 0);
}

/// Refused after the names of its paths were kept, which are no secret and save a process.
fn claim_undefined<T>(world: &World, result: Result<T, Fault>) -> Fault {
    let fault = result.err().expect("it was let in");
    assert_eq!(fault.kind, FaultKind::InvalidStack, "{fault}");
    let left = std::fs::read_dir(world.path("staging")).unwrap().count();
    assert_eq!(left, 0, "staging/ after {fault}");
    fault
}

#[tokio::test(start_paused = true)]
async fn what_an_older_agent_would_misread_keeps_it_away_and_nothing_else_does() {
    let world = World::new();
    let format = || {
        let note: Option<serde_json::Value> =
            agent::record::read(&world.path("format.json")).unwrap();
        note.unwrap()["format"].clone()
    };
    world.stage(&Bundle::web("shop")).await.unwrap();
    assert_eq!(format(), 1);
    let mut two = Bundle::web("shop")
        .file("a.env", "A=1\n")
        .file("b.env", "A=2\n");
    two.spec.env_files = vec!["a.env".parse().unwrap(), "b.env".parse().unwrap()];
    world.stage(&two).await.unwrap();
    assert_eq!(format(), 2);
}
