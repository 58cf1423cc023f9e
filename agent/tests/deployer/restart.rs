//! An agent that is killed and started again.

use agent::engine::scripted::{Method, Trouble};
use proto::event::{EventKind, Outcome, State};
use proto::plan::Plan;
use serde_json::json;

use crate::bundle::Bundle;
use crate::deeds::life;
use crate::world::{World, ended, id, name, until};

/// A host where the first deploy committed and the second was killed in its pull.
fn killed() -> (World, Plan, Vec<proto::event::Event>) {
    let agent = life();
    let (world, plan, events) = agent.block_on(async {
        let world = World::new();
        world.deploy(&Bundle::web("shop"), 1).await;
        let events = world.events(1, 0).await;
        world.engine.trouble(Method::Pull, 1, Trouble::Hang);
        let second = Bundle::new("shop", json!({ "web": { "image": "r/web:2" } }));
        let plan = world.plan(&second).await.unwrap();
        world.submit(&plan, id(2)).unwrap();
        let mut watcher = world.deployer.watch(&id(2), 0).unwrap();
        until(&mut watcher, |kind| {
            matches!(kind, EventKind::PullStarted { .. })
        })
        .await;
        (world, plan, events)
    });
    drop(agent);
    (world.restart(), plan, events)
}

#[test]
fn an_unfinished_deploy_is_marked_interrupted_once() {
    let (world, _, _) = killed();
    let next = life();
    let events = next.block_on(world.events(2, 0));
    let end = ended(&events);
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Interrupted, State::Failed)
    );
    assert!(end.fault.is_some());
    let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    assert_eq!(world.deployer.running(&name("shop")), None);
    assert_eq!(world.deployer.newest(&name("shop")), Ok(id(2)));

    let world = world.restart();
    assert_eq!(
        next.block_on(world.events(2, 0)),
        events,
        "marked a second time"
    );
}

#[test]
fn a_finished_deploy_is_replayed() {
    let (world, _, before) = killed();
    let next = life();
    assert_eq!(next.block_on(world.events(1, 0)), before);
    assert_eq!(next.block_on(world.events(1, 4)), before[4..]);
}

#[test]
fn a_resent_request_is_recognised_and_the_plan_is_not() {
    let (world, plan, _) = killed();
    assert_eq!(world.submit(&plan, id(2)), Ok(true));
    let fault = world.submit(&plan, id(3)).unwrap_err();
    assert_eq!(fault.kind, proto::fault::FaultKind::Stale);
}

#[test]
fn the_stack_is_free_and_the_next_deploy_commits() {
    let (world, _, _) = killed();
    let second = Bundle::new("shop", json!({ "web": { "image": "r/web:2" } }));
    let end = life().block_on(world.deploy(&second, 3));
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert_eq!(end.revision, world.revision("shop"));
}

#[test]
fn the_interrupted_deploy_tells_what_is_committed() {
    let (world, _, _) = killed();
    let committed = world.revision("shop");
    assert!(committed.is_some());
    let end = ended(&life().block_on(world.events(2, 0)));
    assert_eq!(end.revision, committed);
}

/// A power cut may leave half a line, whatever came before it.
#[test]
fn a_journal_with_a_torn_line_still_ends() {
    let (world, _, _) = killed();
    let path = world.path("deploys").join(id(2).to_string());
    let path = path.join("events.jsonl");
    let content = std::fs::read_to_string(&path).unwrap();
    let torn: String = content.lines().take(2).fold(String::new(), |text, line| {
        if text.is_empty() {
            format!("{line}\n")
        } else {
            text + line.split_at(line.len() / 2).0
        }
    });
    std::fs::write(&path, torn).unwrap();
    let world = world.restart();
    let end = ended(&life().block_on(world.events(2, 0)));
    assert_eq!(end.outcome, Outcome::Interrupted);
}
