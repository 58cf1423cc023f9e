//! What nothing needs any more goes after a deploy; what anything needs stays, however old.

use std::fs::File;
use std::time::Duration;

use agent::engine::scripted::{Behaviour, Method, Trouble};
use proto::event::{Outcome, State};
use proto::id::RevisionId;
use serde_json::json;

use crate::bundle::{Bundle, blob};
use crate::world::{DB, WEB, World, end, entered, files_below, id, name, until};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

fn version(number: u32) -> Bundle {
    let text = format!("version {number}");
    let conf = json!({ "type": "bind", "source": "./conf", "target": "/c" });
    let services = json!({ "web": { "image": WEB, "command": [text], "volumes": [conf] } });
    Bundle::new("shop", services).file("conf/a", &text)
}

/// As if nobody had used anything for so much longer.
pub(crate) fn age(world: &World, below: &str, seconds: u64) {
    for path in files_below(&world.path(below)) {
        let file = File::open(path).unwrap();
        let used = file.metadata().unwrap().modified().unwrap();
        file.set_modified(used - Duration::from_secs(seconds))
            .unwrap();
    }
}

fn has(world: &World, content: &str) -> bool {
    world.store.blobs().has(&blob(content))
}

/// Lets every sweep that can end, end.
async fn swept() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// Deploys and lets the sweep behind it end.
async fn deploy(world: &World, bundle: &Bundle, number: u8) -> Outcome {
    let sweeps = world.count(Method::Names);
    let end = world.deploy(bundle, number).await;
    for _ in 0..10_000 {
        if world.count(Method::Names) > sweeps {
            return end.outcome;
        }
        tokio::task::yield_now().await;
    }
    panic!("nothing was swept");
}

#[tokio::test(start_paused = true)]
async fn revisions_beyond_the_last_ten_go_with_what_only_they_need() {
    let world = World::new();
    for number in 1..=12 {
        age(&world, "blobs", 2 * DAY);
        age(&world, "stages", 2 * DAY);
        let done = deploy(&world, &version(number), number.try_into().unwrap()).await;
        assert_eq!(done, Outcome::Succeeded);
    }
    age(&world, "blobs", 2 * DAY);
    age(&world, "stages", 2 * DAY);
    // So that no plan lives.
    tokio::time::advance(Duration::from_secs(HOUR)).await;
    world.roll_back("shop", None, 13).unwrap();
    let back = end(&mut world.deployer.watch(&id(13), 0).unwrap()).await;
    assert_eq!(back.outcome, Outcome::Succeeded);
    world.deployer.shut_down().await;
    assert_eq!(world.store.revisions(&name("shop")).unwrap().len(), 10);
    assert!(!has(&world, "version 1") && !has(&world, "version 2"));
    assert!((3..=12).all(|number| has(&world, &format!("version {number}"))));
    assert_eq!(world.store.stages().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_stage_or_a_plan_found_here_stays() {
    let world = World::new();
    let old = version(1);
    world.stage(&old).await.unwrap();
    age(&world, "", 2 * DAY);
    let plan = world.plan(&version(2)).await.unwrap();
    age(&world, "", 2 * DAY);
    // The session has been told that its content is here; the plan lives.
    let mut session = world.deployer.stage(old.spec.clone().into()).unwrap();
    assert_eq!(session.add(Vec::new()).unwrap(), []);
    let other = Bundle::new("other", json!({ "db": { "image": DB } }));
    assert_eq!(deploy(&world, &other, 1).await, Outcome::Succeeded);
    assert!(has(&world, "version 1") && has(&world, "version 2"));
    session.wanted().await.unwrap();
    session.finish().await.unwrap();
    world.submit(&plan, id(2)).unwrap();
    let done = end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
    assert_eq!(done.outcome, Outcome::Succeeded, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn what_an_unfinished_deploy_needs_stays() {
    let world = World::new();
    world.engine.trouble(Method::Up, 1, Trouble::Hang);
    let mut watcher = world.begin(&version(1), 1).await;
    until(&mut watcher, entered(State::Applying)).await;
    age(&world, "", 40 * DAY);
    let other = Bundle::new("other", json!({ "db": { "image": DB } }));
    let done = world.deploy(&other, 2).await;
    assert_eq!(done.outcome, Outcome::Succeeded);
    assert!(world.deployer.cancel(&id(1)));
    let ended = end(&mut watcher).await;
    assert_eq!(ended.outcome, Outcome::Cancelled);
    let fault = ended.fault.unwrap();
    assert!(fault.hints[0].contains("removed again"), "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn names_of_images_go_with_the_last_that_pins_them() {
    let world = World::new();
    let keep = |world: &World| {
        let all = world.engine.all_names().into_iter();
        all.filter(|it| it.starts_with("longshore.local/keep:"))
            .count()
    };
    let of = |image: &str| Bundle::new("shop", json!({ "web": { "image": image } }));
    deploy(&world, &of(WEB), 1).await;
    assert_eq!(keep(&world), 1);
    let crash = Behaviour::crashes_every(Duration::from_secs(1));
    world.engine.behave("r/web:2", crash);
    assert_eq!(deploy(&world, &of("r/web:2"), 2).await, Outcome::Failed);
    assert_eq!(keep(&world), 1, "what failed is not kept");
    deploy(&world, &of("r/api:1"), 3).await;
    assert_eq!(keep(&world), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deploy_is_remembered_for_thirty_days_and_the_newest_for_ever() {
    let world = World::new();
    deploy(&world, &version(1), 1).await;
    deploy(&world, &version(2), 2).await;
    age(&world, "deploys", 29 * DAY);
    let other = Bundle::new("other", json!({ "db": { "image": DB } }));
    deploy(&world, &other, 3).await;
    assert_eq!(world.store.deploys().unwrap().len(), 3);
    age(&world, "deploys", 31 * DAY);
    deploy(&world, &other.replace("a", "b"), 4).await;
    assert_eq!(world.store.deploys().unwrap(), [id(2), id(4)]);
    // The revision of the forgotten one is told of all the same.
    let told = world.deployer.history(&name("shop"), 20).unwrap();
    let deploys: Vec<_> = told.iter().map(|it| it.deploy).collect();
    assert_eq!(deploys, [id(2), id(1)]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_sweeps_when_it_starts_and_takes_nothing_it_cannot_read() {
    let world = World::new();
    world.stage(&version(1)).await.unwrap();
    deploy(&world, &version(2), 1).await;
    age(&world, "", 2 * DAY);
    let mut records = files_below(&world.path("stacks/shop/revisions"));
    records.push(world.path("stacks/shop/current.json"));
    let content = std::fs::read(&records[1]).unwrap();
    for record in &records {
        std::fs::write(record, "{").unwrap();
    }
    world.deployer.shut_down().await;
    let world = world.restart();
    world.deployer.recover().await;
    world.deployer.shut_down().await;
    assert!(has(&world, "version 1"), "anything may be needed");
    for record in &records {
        std::fs::write(record, &content).unwrap();
    }
    let world = world.restart();
    world.deployer.recover().await;
    world.deployer.shut_down().await;
    assert!(!has(&world, "version 1") && has(&world, "version 2"));
}

/// A world with this many revisions of a stack, made in order; the first is version 1.
async fn versions(count: u8) -> World {
    let world = World::in_memory();
    for number in 1..=count {
        let done = deploy(&world, &version(number.into()), number).await;
        assert_eq!(done, Outcome::Succeeded);
    }
    world
}

fn oldest(world: &World) -> RevisionId {
    let kept = world.store.revisions(&name("shop")).unwrap();
    kept.last().unwrap().id
}

/// The eleventh revision is about to go when somebody goes back to it. Either the rollback finds it and it stays, or it
/// is gone and nothing has begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_that_races_a_clean_up_is_refused_or_ends_well() {
    let world = World::in_memory();
    world
        .engine
        .behave(WEB, Behaviour::healthy_after(Duration::ZERO));
    for number in 1..=10 {
        let end = world.deploy(&version(number.into()), number).await;
        assert_eq!(end.outcome, Outcome::Succeeded);
    }
    for turn in 0..24 {
        let target = oldest(&world);
        let number = 20 + 2 * turn;
        let end = world.deploy(&version(u32::from(number)), number).await;
        assert_eq!(end.outcome, Outcome::Succeeded);
        // From at once to when it is over.
        std::thread::sleep(Duration::from_micros(20 * u64::from(turn)));
        let before = (world.revision("shop"), world.count(Method::Up));
        match world.roll_back("shop", Some(target), number + 1) {
            Ok(taken) => {
                assert!(!taken);
                let mut watcher = world.deployer.watch(&id(number + 1), 0).unwrap();
                let end = crate::world::end(&mut watcher).await;
                assert_eq!(end.outcome, Outcome::Succeeded, "turn {turn}: {end:?}");
                assert_eq!(world.revision("shop"), Some(target), "turn {turn}");
            }
            Err(fault) => {
                assert!(fault.what.contains("is not kept here"), "{fault}");
                let after = (world.revision("shop"), world.count(Method::Up));
                assert_eq!(after, before, "turn {turn}");
            }
        }
    }
}

/// A rollback is held up, others deploy and clear up, and another agent starts: the revision it goes to stays.
#[tokio::test(start_paused = true)]
async fn what_a_rollback_goes_to_stays_however_old() {
    let world = versions(10).await;
    let target = oldest(&world);
    let other = Bundle::new("other", json!({ "db": { "image": DB } }));
    deploy(&world, &other, 30).await;
    // Nothing is cleared up while a record cannot be read, so that there is an eleventh.
    let plan = world.plan(&version(11)).await.unwrap();
    let mut records = files_below(&world.path("stacks/other/revisions"));
    records.push(world.path("stacks/other/current.json"));
    let content = std::fs::read(&records[0]).unwrap();
    for record in &records {
        std::fs::write(record, "{").unwrap();
    }
    world.submit(&plan, id(11)).unwrap();
    let committed = end(&mut world.deployer.watch(&id(11), 0).unwrap()).await;
    assert_eq!(committed.outcome, Outcome::Succeeded, "{committed:?}");
    swept().await;
    for record in &records {
        std::fs::write(record, &content).unwrap();
    }
    assert_eq!(world.store.revisions(&name("shop")).unwrap().len(), 11);

    world.engine.trouble(Method::Up, 1, Trouble::Hang);
    world.roll_back("shop", Some(target), 12).unwrap();
    swept().await;
    age(&world, "", 2 * DAY);
    let done = world.deploy(&other.replace("a", "b"), 13).await;
    assert_eq!(done.outcome, Outcome::Succeeded);
    swept().await;
    assert_eq!(oldest(&world), target);
    assert!(has(&world, "version 1"));

    world.deployer.shut_down().await;
    let world = world.restart_without_troubles();
    world.deployer.recover().await;
    let end = end(&mut world.deployer.watch(&id(12), 0).unwrap()).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    assert_eq!(world.revision("shop"), Some(target));
}
