//! A disk that fails at the Nth call, with N counted up until the whole of it passes; and one that is full from there on.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agent::witness::disk::{self, Call, Watched};
use proto::event::Outcome;
use proto::fault::Fault;

use crate::agreed::claim_agreed;
use crate::chance::report;
use crate::deeds::{Before, DEEDS, Deed, NEW, life, version};
use crate::world::{End, World, ended, name, rest};

#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// One call fails.
    Once,
    /// No call finds room, until room is made; what is kept free is room.
    Full,
}

/// The disk of this host from now on. What is counted says how many calls there were.
fn trouble(world: &World, trouble: Trouble, from: usize) -> (Watched, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let watched = watch(&world.path(""), trouble, from, Arc::clone(&count));
    (watched, count)
}

/// The Nth call fails.
pub(crate) fn once(root: &Path, nth: usize) -> Watched {
    watch(root, Trouble::Once, nth, Arc::default())
}

/// From the Nth call on there is no room.
pub(crate) fn full(root: &Path, nth: usize) -> Watched {
    watch(root, Trouble::Full, nth, Arc::default())
}

fn watch(root: &Path, trouble: Trouble, from: usize, counter: Arc<AtomicUsize>) -> Watched {
    let kept = root.join("reserve/0");
    disk::watch(root, move |call: Call<'_>, _: &Path| {
        if matches!(trouble, Trouble::Full) && !call.takes_room() {
            return Ok(());
        }
        let now = counter.fetch_add(1, Ordering::SeqCst) + 1;
        match trouble {
            Trouble::Once if now == from => Err(io::Error::from_raw_os_error(5)),
            Trouble::Full if now >= from && kept.exists() => Err(io::Error::from_raw_os_error(28)),
            _ => Ok(()),
        }
    })
}

/// It says what failed, where, and why.
fn claim_told(fault: &Fault, trouble: Trouble, when: &str) {
    let why = match trouble {
        Trouble::Once => "Input/output error",
        Trouble::Full => "No space left on device",
    };
    let all = format!("{fault} {:?} {:?}", fault.causes, fault.output);
    // A thing that is only remembered may be made anew without a word.
    assert!(all.contains(why), "{when}: {fault:?}");
    assert!(
        all.contains('/'),
        "{when}: it does not say where: {fault:?}"
    );
}

/// After a good deploy, a bad one, and none at all.
fn claim_settled(world: &World, when: &str) {
    claim_agreed(world, when, &[]);
    assert_eq!(world.deployer.running(&name("shop")), None, "{when}");
    let left = std::fs::read_dir(world.path("work")).unwrap().count();
    assert_eq!(left, 0, "{when}: work that nobody needs");
}

/// One run with trouble from the Nth call on; `None` when there were fewer calls.
fn survives(deed: Deed, before: &Before, kind: Trouble, from: usize) -> Option<()> {
    let when = format!("{deed:?}, {kind:?} from call {from} on");
    let world = before.again();
    let agent = life();
    let (watched, count) = trouble(&world, kind, from);
    let ended = agent.block_on(async {
        if let Err(fault) = deed.begin(&world).await {
            claim_told(&fault, kind, &when);
            return None;
        }
        let events = rest(&mut world.deployer.watch(&NEW, 0).unwrap()).await;
        // What it clears up comes behind its end.
        world.deployer.shut_down().await;
        Some(ended(&events))
    });
    drop(watched);
    drop(agent);
    let unsure = ended.as_ref().is_some_and(is_unsure);
    if let Some(end) = &ended {
        match end.outcome {
            Outcome::Succeeded => assert!(end.fault.is_none()),
            _ if deed == Deed::Sick => {}
            _ => claim_told(end.fault.as_ref().unwrap(), kind, &when),
        }
        if !unsure {
            claim_agreed(&world, &when, &[]);
        }
    }
    let world = world.restart();
    let next = life();
    next.block_on(async {
        world.deployer.recover().await;
        if ended.is_some() {
            let again = rest(&mut world.deployer.watch(&NEW, 0).unwrap()).await;
            let ends = again.iter().filter(|event| event.kind.is_last()).count();
            assert_eq!(ends, 1, "{when}: {again:?}");
        }
        if !unsure {
            claim_settled(&world, &when);
        }
        let end = world.deploy(&version("r/web:2", "9"), 98).await;
        assert_eq!(end.outcome, Outcome::Succeeded, "{when}: {end:?}");
        claim_settled(&world, &when);
    });
    (count.load(Ordering::SeqCst) >= from).then_some(())
}

/// It says itself that what runs is neither the old nor the new.
fn is_unsure(end: &End) -> bool {
    let hints = end.fault.iter().flat_map(|fault| &fault.hints);
    hints
        .into_iter()
        .any(|hint| hint.contains("controller doctor"))
}

fn survives_all(kind: Trouble) {
    for deed in DEEDS {
        let mut calls = 1;
        let before = deed.host();
        while survives(deed, &before, kind, calls).is_some() {
            calls += 1;
        }
        report(&format!(
            "state store, {deed:?}, disk {kind:?}: each of {} calls failed, each old or new",
            calls - 1
        ));
        assert!(calls > 20, "only {calls} calls of {deed:?}");
    }
}

#[test]
fn any_one_call_of_the_disk_may_fail() {
    survives_all(Trouble::Once);
}

#[test]
fn a_disk_may_be_full_from_any_call_on() {
    survives_all(Trouble::Full);
}
