//! A deploy that fails takes the whole stack back; a rollback takes it to any kept revision.

use std::time::Duration;

use agent::engine::EngineError;
use agent::engine::scripted::{Behaviour, Method, Trouble};
use proto::event::{EventKind, Outcome, State};
use proto::fault::FaultKind;
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{DB, WEB, World, end, ended, entered, id, name, until};

const SECOND: Duration = Duration::from_secs(1);

fn two(web: &str, db: &str) -> Bundle {
    let conf = json!({ "type": "bind", "source": "./conf", "target": "/c" });
    let services = json!({
        "web": { "image": web, "volumes": [conf] },
        "db": { "image": DB, "command": [db] },
    });
    Bundle::new("shop", services).file("conf/web.conf", web)
}

/// Both services as the first version has them, its files, and its revision.
async fn claim_first(world: &World) {
    let revision = world.store.current(&name("shop")).unwrap().unwrap();
    let all = world.engine.all_containers();
    let seen: Vec<_> = all
        .iter()
        .map(|it| (it.name.as_str(), it.image.as_str(), &it.config_hash))
        .collect();
    let hash = |service: &str| &revision.config_hashes[&service.parse().unwrap()];
    let wanted = [
        ("shop-db-1", DB, hash("db")),
        ("shop-web-1", WEB, hash("web")),
    ];
    assert_eq!(seen, wanted);
    let conf = std::fs::read_to_string(world.project("shop").join("conf/web.conf")).unwrap();
    assert_eq!(conf, WEB);
    let plan = world.plan(&two(WEB, "1")).await.unwrap();
    assert!(!plan.has_changes(), "{plan:?}");
}

async fn first_version() -> World {
    let world = World::new();
    let end = world.deploy(&two(WEB, "1"), 1).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    world
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_become_healthy_takes_all_services_back() {
    for (behaviour, outcome) in [
        (Behaviour::crashes_every(SECOND), Outcome::Failed),
        (
            Behaviour::unhealthy_after(SECOND, "no database"),
            Outcome::TimedOut,
        ),
    ] {
        let world = first_version().await;
        let first = world.revision("shop");
        world.engine.behave("r/web:2", behaviour);
        let mut watcher = world.begin(&two("r/web:2", "2"), 2).await;
        until(&mut watcher, entered(State::RollingBack)).await;
        let end = end(&mut watcher).await;
        assert_eq!((end.outcome, end.state), (outcome, State::RolledBack));
        assert_eq!(end.revision, first);
        let fault = end.fault.unwrap();
        assert!(fault.what.contains("service web"), "{fault}");
        assert!(fault.hints[0].contains("is back at revision"), "{fault:?}");
        claim_first(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_while_applying_takes_the_stack_back() {
    let world = first_version().await;
    let up = Trouble::Hang;
    world.engine.trouble(Method::Up, 1, up);
    let mut watcher = world.begin(&two("r/web:2", "2"), 2).await;
    until(&mut watcher, entered(State::Applying)).await;
    assert!(world.deployer.cancel(&id(2)));
    let end = end(&mut watcher).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Cancelled, State::RolledBack)
    );
    claim_first(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_the_deploy_brought_leaves_with_it() {
    let world = first_version().await;
    world
        .engine
        .behave("r/api:1", Behaviour::exits_after(SECOND, 3));
    let more = json!({ "image": "r/api:1", "restart": "no" });
    let services = json!({ "web": { "image": WEB }, "db": { "image": DB }, "api": more });
    let end = world.deploy(&Bundle::new("shop", services), 2).await;
    assert_eq!(end.state, State::RolledBack, "{end:?}");
    claim_first(&world).await;
}

/// Compose sees no change when only a mounted file is another one.
#[tokio::test(start_paused = true)]
async fn what_was_made_with_a_new_file_is_made_anew_with_the_old_one() {
    let world = first_version().await;
    let up = |line: &str| EngineError::Compose {
        verb: "up".to_owned(),
        status: "exit code 1".to_owned(),
        output: vec![line.to_owned()],
    };
    // The first run recreates the service for its file, and then fails.
    world
        .engine
        .trouble(Method::Up, 1, Trouble::Midway(up("port is taken")));
    let before = world.container("shop-web-1");
    let changed = two(WEB, "1").replace("conf/web.conf", "changed");
    let end = world.deploy(&changed, 2).await;
    assert_eq!(end.state, State::RolledBack, "{end:?}");
    let after = world.container("shop-web-1");
    assert_ne!(before, after);
    let ups = world.engine.calls_of(Method::Up);
    let back = ["shop --force-recreate web", "shop"];
    assert!(ups.ends_with(&back.map(str::to_owned)), "{ups:?}");
    claim_first(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_deploy_that_fails_removes_what_it_made() {
    let world = World::new();
    world.engine.behave(WEB, Behaviour::crashes_every(SECOND));
    let end = world.deploy(&two(WEB, "1"), 1).await;
    assert_eq!((end.outcome, end.state), (Outcome::Failed, State::Failed));
    assert_eq!(end.revision, None);
    assert!(world.engine.all_containers().is_empty());
    assert_eq!(world.engine.calls_of(Method::Down), ["shop"], "no volumes");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_on_the_way_back_is_waited_for() {
    let world = first_version().await;
    world
        .engine
        .behave("r/web:2", Behaviour::crashes_every(SECOND));
    let mut watcher = world.begin(&two("r/web:2", "2"), 2).await;
    let gone = || Trouble::Fail(EngineError::Down("gone".to_owned()));
    // The second run of Compose is the one that goes back; before it the engine was asked twice how it is.
    world.engine.trouble(Method::Up, 2, gone());
    for nth in 3..=6 {
        world.engine.trouble(Method::Facts, nth, gone());
    }
    let end = end(&mut watcher).await;
    assert_eq!(world.count(Method::Up), 4, "one more than without it");
    assert_eq!(end.state, State::RolledBack, "{end:?}");
    claim_first(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_compose_that_is_killed_on_the_way_back_is_run_again() {
    let killed = |verb: &str| EngineError::Compose {
        verb: verb.to_owned(),
        status: "signal 9".to_owned(),
        output: Vec::new(),
    };
    let world = first_version().await;
    for nth in 1..=3 {
        let trouble = Trouble::Midway(killed("up"));
        world.engine.trouble(Method::Up, nth, trouble);
    }
    let end = world.deploy(&two("r/web:2", "2"), 2).await;
    assert_eq!(end.state, State::RolledBack, "{end:?}");
    let fault = end.fault.unwrap();
    assert!(fault.what.contains("signal 9"), "{fault}");
    assert!(
        fault.hints[0].contains("killed Docker Compose"),
        "{fault:?}"
    );
    claim_first(&world).await;

    let world = World::new();
    let (up, down) = (killed("up"), killed("down"));
    world.engine.trouble(Method::Up, 1, Trouble::Midway(up));
    world.engine.trouble(Method::Down, 1, Trouble::Midway(down));
    let end = world.deploy(&two(WEB, "1"), 1).await;
    let hints = end.fault.unwrap().hints;
    assert!(hints[1].contains("was removed again"), "{hints:?}");
    assert_eq!(world.engine.all_containers(), []);
}

/// As on a server that shuts down and tells every program at once.
#[tokio::test(start_paused = true)]
async fn a_compose_that_ends_just_before_its_agent_is_run_again_by_the_next_one() {
    let world = first_version().await;
    let asked = EngineError::Compose {
        verb: "up".to_owned(),
        status: "exit code 130".to_owned(),
        output: Vec::new(),
    };
    world.engine.trouble(Method::Up, 1, Trouble::Midway(asked));
    let mut watcher = world.begin(&two("r/web:2", "2"), 2).await;
    until(&mut watcher, entered(State::Applying)).await;
    tokio::time::sleep(SECOND).await;
    world.deployer.shut_down().await;
    assert_eq!(world.count(Method::Up), 2, "the first version's, and one");

    let world = world.restart();
    world.deployer.recover().await;
    let events = world.events(2, 0).await;
    assert_eq!(ended(&events).outcome, Outcome::Succeeded);
    let back = EventKind::StateEntered {
        state: State::RollingBack,
    };
    assert!(events.iter().all(|event| event.kind != back), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_brought_back_says_both_reasons() {
    let world = first_version().await;
    world
        .engine
        .behave("r/web:2", Behaviour::crashes_every(SECOND));
    let mut watcher = world.begin(&two("r/web:2", "2"), 2).await;
    until(&mut watcher, entered(State::Verifying)).await;
    world.engine.forget_image(WEB);
    world.engine.unpublish_all();
    let end = end(&mut watcher).await;
    assert_eq!((end.outcome, end.state), (Outcome::Failed, State::Failed));
    let fault = end.fault.unwrap();
    assert!(fault.what.contains("service web"), "{fault}");
    assert!(fault.what.ends_with("could not be brought back"), "{fault}");
    let causes = fault.causes.join("\n");
    assert!(causes.contains("r/web:1 has left the host"), "{causes}");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_needs_no_registry_and_goes_there_and_back() {
    let world = first_version().await;
    let first = world.revision("shop");
    let second = world.deploy(&two("r/web:2", "2"), 2).await.revision;
    assert_ne!(first, second);
    world.engine.unpublish_all();
    for (number, wanted) in [(3, first), (4, second), (5, first)] {
        assert!(!world.roll_back("shop", None, number).unwrap());
        assert!(world.roll_back("shop", None, number).unwrap(), "taken once");
        let end = end(&mut world.deployer.watch(&id(number), 0).unwrap()).await;
        assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
        assert_eq!((end.revision, world.revision("shop")), (wanted, wanted));
    }
    let web = world.engine.all_containers().pop().unwrap();
    assert_eq!(web.image, WEB);
    let conf = std::fs::read_to_string(world.project("shop").join("conf/web.conf")).unwrap();
    assert_eq!(conf, WEB);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_left_the_host_is_fetched_again_by_its_digest() {
    let world = first_version().await;
    let first = world.revision("shop");
    world.deploy(&two("r/web:2", "2"), 2).await;
    world.engine.forget_image(WEB);
    assert!(!world.roll_back("shop", None, 3).unwrap());
    let end = end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
    assert_eq!((end.outcome, end.revision), (Outcome::Succeeded, first));
    let told = world.events(3, 0).await;
    assert!(told.iter().any(
        |event| matches!(&event.kind, EventKind::Warning { text } if text.contains("it is fetched again as sha256:")),
    ));
    claim_first(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_after_down_brings_the_last_revision() {
    let world = first_version().await;
    let first = world.revision("shop");
    let down = world
        .deployer
        .down(id(2), name("shop"), false, "ana".parse().unwrap());
    assert!(!down.unwrap());
    end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
    assert_eq!(world.revision("shop"), None);
    world.roll_back("shop", None, 3).unwrap();
    end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
    assert_eq!(world.revision("shop"), first);
    claim_first(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_fails_goes_back_to_where_it_came_from() {
    let world = first_version().await;
    let first = world.revision("shop");
    let second = world.deploy(&two("r/web:2", "2"), 2).await.revision;
    world.engine.behave(WEB, Behaviour::crashes_every(SECOND));
    world.roll_back("shop", first, 3).unwrap();
    let end = end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
    assert_eq!(
        (end.outcome, end.state, end.revision),
        (Outcome::Failed, State::RolledBack, second)
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollback_to_nowhere_is_refused() {
    let world = first_version().await;
    for (to, words) in [
        (None, "no earlier revision"),
        (Some("00".repeat(32).parse().unwrap()), "not kept here"),
    ] {
        let fault = world.roll_back("shop", to, 9).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(fault.what.contains(words), "{fault}");
    }
    let fault = world.roll_back("other", None, 9).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnknownName);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_brings_each_service_from_the_revision_that_made_it() {
    let world = first_version().await;
    let scope = proto::plan::Scope::Alone(["web".parse().unwrap()].into());
    let second = two("r/web:2", "2");
    let plan = world.plan_part(&second, &scope).await.unwrap();
    world.submit(&plan, id(2)).unwrap();
    let mixed = end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
    assert_eq!(mixed.outcome, Outcome::Succeeded, "{mixed:?}");
    let db = world.container("shop-db-1");
    world.deploy(&second, 3).await;
    assert_ne!(world.container("shop-db-1"), db);
    world.roll_back("shop", mixed.revision, 4).unwrap();
    let end = end(&mut world.deployer.watch(&id(4), 0).unwrap()).await;
    assert_eq!(end.revision, mixed.revision, "{end:?}");
    let plan = world.plan(&second).await.unwrap();
    assert_eq!(
        crate::world::touched(&plan),
        [("db", proto::plan::Action::Recreate)]
    );
}

#[tokio::test(start_paused = true)]
async fn half_made_containers_of_a_killed_compose_are_cleared_up() {
    for old_removed in [false, true] {
        let world = first_version().await;
        world.engine.leave_half_replaced("shop-web-1", old_removed);
        let end = world.deploy(&two("r/web:2", "1"), 2).await;
        assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
        let all = world.engine.all_containers();
        let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["shop-db-1", "shop-web-1"]);
        let renamed = world.count(Method::RenameContainer);
        assert_eq!(renamed, usize::from(old_removed));
    }
}

/// As an engine does that was killed and has lost step with what runs its containers.
#[tokio::test(start_paused = true)]
async fn a_container_that_the_engine_keeps_restarting_is_made_anew_on_the_way_back() {
    for (moment, behaviour) in [
        (State::Verifying, Behaviour::crashes_every(SECOND)),
        (State::Verifying, Behaviour::restarting()),
        // Seen only when the stack is judged that was gone back to.
        (State::RollingBack, Behaviour::crashes_every(SECOND)),
    ] {
        let world = first_version().await;
        let crashes = Behaviour::crashes_every(SECOND);
        world.engine.behave("r/web:2", crashes);
        let mut watcher = world.begin(&two("r/web:2", "1"), 2).await;
        until(&mut watcher, entered(moment)).await;
        let db = world.container("shop-db-1");
        world.engine.live("shop-db-1", behaviour);
        let end = end(&mut watcher).await;
        assert_eq!(end.state, State::RolledBack, "{moment:?}: {end:?}");
        assert_ne!(world.container("shop-db-1"), db);
        let ups = world.engine.calls_of(Method::Up);
        let anew = ups.iter();
        let anew = anew.filter(|up| up.starts_with("shop --force-recreate db"));
        assert_eq!(anew.count(), 1, "{ups:?}");
        let told = world.events(2, 0).await;
        assert!(told.iter().any(
            |event| matches!(&event.kind, EventKind::Warning { text } if text.contains("shop-db-1 again and again")),
        ));
        claim_first(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_restarting_before_the_deploy_is_left_alone() {
    let world = first_version().await;
    let db = world.container("shop-db-1");
    world.engine.live("shop-db-1", Behaviour::restarting());
    let end = world.deploy(&two("r/web:2", "1"), 2).await;
    assert_ne!(end.state, State::Committed, "{end:?}");
    assert_eq!(world.container("shop-db-1"), db);
}

#[tokio::test(start_paused = true)]
async fn the_reason_is_told_before_the_way_back() {
    let world = first_version().await;
    world
        .engine
        .behave("r/web:2", Behaviour::crashes_every(SECOND));
    world.deploy(&two("r/web:2", "2"), 2).await;
    let events = world.events(2, 0).await;
    let told = events.iter().position(
        |event| matches!(&event.kind, EventKind::Warning { text } if text.contains("going back")),
    );
    let back = events
        .iter()
        .position(|event| entered(State::RollingBack)(&event.kind));
    assert!(told.unwrap() < back.unwrap());
}
