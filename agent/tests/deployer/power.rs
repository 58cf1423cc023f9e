//! The power goes between any two calls of the disk: what was not synced is gone, or torn, and the rest is old or new.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use agent::engine::scripted::ScriptedEngine;
use proto::id::RevisionId;
use tempfile::TempDir;

use crate::agreed::claim_whole;
use crate::chance::{Chance, full, report};
use crate::deeds::{Before, DEEDS, Deed, NEW, life};
use crate::durable::Durable;
use crate::world::{End, World, end, in_memory};

/// The disk and the containers that a cut leaves.
type Left = (PathBuf, ScriptedEngine);

struct Run {
    _folder: TempDir,
    left: Vec<Left>,
    root: PathBuf,
    end: End,
    known: BTreeSet<Option<RevisionId>>,
}

/// Runs a deed once, and cuts the power before each call that changes something.
fn run(deed: Deed, before: &Before, seed: Option<u64>) -> Run {
    let world = before.again();
    let folder = in_memory();
    let left = Arc::new(Mutex::new(Vec::new()));
    let cut = {
        let (left, engine) = (Arc::clone(&left), world.engine.clone());
        let (to, chance) = (folder.path().to_owned(), seed.map(Chance::new));
        let chance = Mutex::new(chance);
        move |durable: &Arc<Mutex<Durable>>| {
            let mut left = left.lock().unwrap();
            let state = to.join(left.len().to_string());
            let mut chance = chance.lock().unwrap();
            durable.lock().unwrap().cut(&state, chance.as_mut());
            left.push((state, engine.fork()));
        }
    };
    let before = world.revision("shop");
    let watched = Durable::follow(&world.path(""), cut);
    let agent = life();
    let end = agent.block_on(async {
        deed.begin(&world).await.unwrap();
        end(&mut world.deployer.watch(&NEW, 0).unwrap()).await
    });
    drop(watched);
    let left = std::mem::take(&mut *left.lock().unwrap());
    Run {
        _folder: folder,
        left,
        root: world.path(""),
        known: BTreeSet::from([before, end.revision]),
        end,
    }
}

fn survives(deed: Deed, before: &Before, seed: Option<u64>) -> usize {
    let run = run(deed, before, seed);
    let cuts = run.left.len();
    for (number, (state, engine)) in run.left.into_iter().enumerate() {
        let world = World::take_over(engine, &state, &run.root);
        let when = format!("{deed:?}, seed {seed:?}, cut {number}");
        life().block_on(claim_whole(&world, &when, &run.end, &run.known, &[]));
    }
    cuts
}

/// Everything that was not synced is lost.
#[test]
fn the_power_may_go_and_take_all_that_is_not_synced() {
    for deed in DEEDS {
        let cuts = survives(deed, &deed.host(), None);
        assert!(cuts > 20, "only {cuts} cuts of {deed:?}");
        report(&format!(
            "power cut, {deed:?}: {cuts} cuts, all unsynced lost, each old or new"
        ));
    }
}

/// Of what was not synced chance takes some, and tears some.
#[test]
fn the_power_may_go_and_take_some_of_what_is_not_synced() {
    let seeds = if full() { 50 } else { 3 };
    for deed in DEEDS {
        let before = deed.host();
        let cut = |seed| survives(deed, &before, Some(seed));
        let cuts: usize = (1..=seeds).map(cut).sum();
        report(&format!(
            "power cut, {deed:?}: {cuts} cuts with seeds 1 to {seeds}, some unsynced lost or torn, each old or new"
        ));
    }
}
