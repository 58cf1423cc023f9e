//! What is let in, what is refused, and what a watcher sees of it.

use agent::engine::scripted::{Method, Trouble};
use proto::event::{EventKind, Outcome, State};
use proto::fault::FaultKind;
use proto::id::PlanId;
use proto::limits::PLAN_LIFE;

use crate::bundle::Bundle;
use crate::world::{World, end, ended, entered, id, name, soon, submission, until};

#[tokio::test(start_paused = true)]
async fn a_deploy_runs_to_its_end_though_nobody_watches() {
    let world = World::new();
    let plan = world.plan(&Bundle::web("shop")).await.unwrap();
    assert!(!world.submit(&plan, id(1)).unwrap());
    // Shutting down would end it, so another stack's deploy is what time passes with.
    let other = world.deploy(&Bundle::web("other"), 2).await;
    assert_eq!(other.outcome, Outcome::Succeeded);

    let events = world.events(1, 0).await;
    let numbers: Vec<u64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    assert!(matches!(events[0].kind, EventKind::Received { deploy, .. } if deploy == id(1)));
    let end = ended(&events);
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Succeeded, State::Committed)
    );
    assert_eq!(end.revision, world.revision("shop"));
    assert!(end.revision.is_some());
    assert_eq!(world.deployer.newest(&name("shop")), Ok(id(1)));
    assert_eq!(world.deployer.running(&name("shop")), None);
}

#[tokio::test(start_paused = true)]
async fn states_come_in_order_and_each_once() {
    let world = World::new();
    world.deploy(&Bundle::web("shop"), 1).await;
    let states = world.events(1, 0).await.into_iter();
    let states: Vec<State> = states
        .filter_map(|event| match event.kind {
            EventKind::StateEntered { state } => Some(state),
            _ => None,
        })
        .collect();
    let all = [
        State::Staged,
        State::Planned,
        State::Pulled,
        State::Applying,
        State::Verifying,
        State::Committed,
    ];
    assert_eq!(states, all);
}

#[tokio::test(start_paused = true)]
async fn a_resumed_watcher_sees_exactly_what_it_missed_while_it_runs_and_after() {
    let world = World::new();
    let mut first = world.begin(&Bundle::web("shop"), 1).await;
    until(&mut first, entered(State::Planned)).await;
    let running = world.events(1, 3).await;
    let all = world.events(1, 0).await;
    assert!(all.len() > 6, "{all:?}");
    assert_eq!(running, all[3..]);
    for after in 0..all.len() {
        assert_eq!(world.events(1, after as u64).await, all[after..]);
    }
    let fault = world.deployer.watch(&id(9), 0).err().unwrap();
    assert_eq!(fault.kind, FaultKind::UnknownName);
}

#[tokio::test(start_paused = true)]
async fn the_same_submission_runs_once() {
    let world = World::new();
    let plan = world.plan(&Bundle::web("shop")).await.unwrap();
    assert_eq!(world.submit(&plan, id(1)), Ok(false));
    assert_eq!(world.submit(&plan, id(1)), Ok(true), "while it runs");
    end(&mut world.deployer.watch(&id(1), 0).unwrap()).await;
    assert_eq!(world.submit(&plan, id(1)), Ok(true), "when it is over");
    assert_eq!(world.count(Method::Up), 1);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_not_used_for_something_else() {
    let world = World::new();
    let plan = world.plan(&Bundle::web("shop")).await.unwrap();
    let other = world.plan(&Bundle::web("other")).await.unwrap();
    world.submit(&plan, id(1)).unwrap();
    let orphans = agent::deployer::Submission {
        remove_orphans: true,
        ..submission(&plan, id(1))
    };
    let down = world
        .deployer
        .down(id(1), name("shop"), false, "ana".parse().unwrap());
    for refused in [
        world.submit(&other, id(1)),
        world.deployer.deploy(orphans),
        down,
    ] {
        assert_eq!(refused.unwrap_err().kind, FaultKind::Refused);
    }
    assert_eq!(world.deployer.running(&name("other")), None);
}

#[tokio::test(start_paused = true)]
async fn a_busy_stack_says_who_holds_it_and_another_stack_proceeds() {
    let world = World::new();
    world.engine.trouble(Method::Up, 1, Trouble::Hang);
    let mut holder = world.begin(&Bundle::web("shop"), 1).await;
    until(&mut holder, entered(State::Applying)).await;

    let plan = world.plan(&Bundle::web("shop")).await.unwrap();
    let fault = world.submit(&plan, id(2)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Busy);
    let words = fault.causes.join("\n");
    assert!(
        words.contains("ana") && words.contains(&id(1).short()),
        "{words}"
    );
    let down = world
        .deployer
        .down(id(3), name("shop"), false, "ana".parse().unwrap());
    assert!(down.is_err());
    assert!(
        world.deployer.watch(&id(2), 0).is_err(),
        "what was refused left a deploy"
    );

    assert_eq!(
        world.deploy(&Bundle::web("other"), 4).await.outcome,
        Outcome::Succeeded
    );
    assert_eq!(world.deployer.running(&name("shop")), Some(id(1)));
    assert!(world.deployer.cancel(&id(1)));
    assert_eq!(end(&mut holder).await.outcome, Outcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_plan_made_before_another_deploy_committed_is_stale() {
    let world = World::new();
    let old = world.plan(&Bundle::web("shop")).await.unwrap();
    assert_eq!(
        world.deploy(&Bundle::web("shop"), 1).await.outcome,
        Outcome::Succeeded
    );
    let fault = world.submit(&old, id(2)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Stale);
    assert!(world.deployer.watch(&id(2), 0).is_err());
    assert_eq!(world.count(Method::Up), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_plan_and_one_past_its_life_are_stale() {
    let world = World::new();
    let mut plan = world.plan(&Bundle::web("shop")).await.unwrap();
    tokio::time::advance(PLAN_LIFE).await;
    assert_eq!(
        world.submit(&plan, id(1)).unwrap_err().kind,
        FaultKind::Stale
    );
    plan.id = PlanId::from_bytes([7; 16]);
    assert_eq!(
        world.submit(&plan, id(1)).unwrap_err().kind,
        FaultKind::Stale
    );
}

#[tokio::test(start_paused = true)]
async fn a_project_of_another_stack_is_refused() {
    let world = World::new();
    world.deploy(&Bundle::web("shop"), 1).await;
    let mut thief = Bundle::web("thief");
    thief.spec.project = "shop".parse().unwrap();
    let fault = world.stage(&thief).await.err().unwrap();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.what.contains("stack shop"), "{fault}");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_stops_takes_nothing_more() {
    let world = World::new();
    let plan = world.plan(&Bundle::web("shop")).await.unwrap();
    soon(world.deployer.shut_down()).await;
    assert_eq!(
        world.submit(&plan, id(1)).unwrap_err().kind,
        FaultKind::Refused
    );
}

#[tokio::test(start_paused = true)]
async fn a_stack_taken_down_is_gone_and_may_come_again() {
    let world = World::new();
    let down = |number| {
        let operator = "ana".parse().unwrap();
        let deployer = &world.deployer;
        deployer.down(id(number), name("shop"), false, operator)
    };
    assert_eq!(down(1).unwrap_err().kind, FaultKind::UnknownName);
    world.deploy(&Bundle::web("shop"), 2).await;
    let old = world.plan(&Bundle::web("shop")).await.unwrap();
    assert_eq!((down(3), down(3)), (Ok(false), Ok(true)));
    let end = end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
    assert_eq!(
        (end.outcome, end.state, end.revision),
        (Outcome::Succeeded, State::Removed, None)
    );
    assert_eq!(world.revision("shop"), None);
    assert!(world.engine.all_containers().is_empty());
    assert_eq!(
        world.submit(&old, id(4)).unwrap_err().kind,
        FaultKind::Stale
    );
    let again = world.deploy(&Bundle::web("shop"), 5).await;
    assert_eq!(again.outcome, Outcome::Succeeded);
}
