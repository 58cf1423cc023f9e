//! Records that a disk has damaged: cut at any length, with bits turned, or emptied. The agent starts, says so, guesses nothing.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proto::event::Outcome;

use crate::bundle::Bundle;
use crate::deeds::life;
use crate::world::{World, id, name};

/// Two stacks, the first with a history.
fn host() -> World {
    life().block_on(async {
        let world = World::new();
        for (number, image) in [(1, "r/web:1"), (2, "r/web:2")] {
            let services = serde_json::json!({ "web": { "image": image } });
            let end = world.deploy(&Bundle::new("shop", services), number).await;
            assert_eq!(end.outcome, Outcome::Succeeded);
        }
        world.deploy(&Bundle::web("other"), 3).await;
        world
    })
}

/// The records of the first stack and its deploys.
fn records(world: &World) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&world.path("stages"), &mut found);
    // The other stack's is its own.
    found.retain(|path| std::fs::read_to_string(path).unwrap().contains("shop"));
    for folder in ["stacks/shop", "stacks/shop/revisions"] {
        files(&world.path(folder), &mut found);
    }
    for number in [1, 2] {
        files(
            &world.path("deploys").join(id(number).to_string()),
            &mut found,
        );
    }
    found
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            found.push(path);
        }
    }
}

/// Whatever is damaged: the agent starts, the other stack is as ever, and the first is brought back by a deploy or
/// refuses it with a reason.
fn claim_alive(world: World, what: &str) -> World {
    let containers = world.engine.all_containers();
    let world = world.restart();
    life().block_on(async {
        world.deployer.recover().await;
        let other = world.deployer.status(Some(&name("other"))).await.unwrap();
        assert_eq!(other[0].containers.len(), 1, "{what}");
        let plan = world.plan(&Bundle::web("other")).await;
        let idle = plan.as_ref().is_ok_and(|plan| !plan.has_changes());
        assert!(idle, "{what}: {plan:?}");
        if let Err(fault) = world.deployer.status(Some(&name("shop"))).await {
            assert!(!fault.what.is_empty());
        }
        if let Ok(mut watcher) = world.deployer.watch(&id(2), 0) {
            crate::world::rest(&mut watcher).await;
        }
        assert_eq!(world.engine.all_containers(), containers, "{what}");
    });
    world
}

#[test]
fn a_record_cut_at_any_length_stops_nothing_else() {
    let mut world = host();
    for path in records(&world) {
        let whole = std::fs::read(&path).unwrap();
        let lengths = (0..whole.len()).step_by((whole.len() / 24).max(1));
        for length in lengths {
            std::fs::write(&path, &whole[..length]).unwrap();
            world = claim_alive(world, &format!("{} at {length}", path.display()));
        }
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_record_that_is_a_folder_or_zeros_stops_nothing_else() {
    let mut world = host();
    for path in records(&world) {
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, vec![0; whole.len()]).unwrap();
        world = claim_alive(world, &format!("{} zeroed", path.display()));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        world = claim_alive(world, &format!("{} a folder", path.display()));
        // What was only remembered may have been made anew.
        if path.is_dir() {
            std::fs::remove_dir(&path).unwrap();
        }
        std::fs::write(&path, &whole).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn turned_bits_stop_nothing_else(
        turns in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8_u32), 1..20)
    ) {
        let mut world = host();
        let records = records(&world);
        for (file, byte, bit) in turns {
            let path = file.get(&records);
            let whole = std::fs::read(path).unwrap();
            let mut turned = whole.clone();
            if let Some(byte) = byte.index(whole.len().max(1)).checked_sub(0).and_then(|at| turned.get_mut(at)) {
                *byte ^= 1 << bit;
            }
            std::fs::write(path, &turned).unwrap();
            world = claim_alive(world, &format!("{} with a bit turned", path.display()));
            std::fs::write(path, &whole).unwrap();
        }
    }
}
