//! A history tells what was done to a stack, whatever has become of the folders.

use std::time::Duration;

use agent::engine::scripted::{Behaviour, Method, Trouble};
use proto::event::{Outcome, State};
use proto::fault::FaultKind;
use proto::history::{Deed, Ending, HistoryEntry};
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{DB, WEB, World, end, entered, id, name, until};

fn history(world: &World) -> Vec<HistoryEntry> {
    world.deployer.history(&name("shop"), 200).unwrap()
}

fn deploys(entries: &[HistoryEntry]) -> Vec<u8> {
    entries.iter().map(|it| it.deploy.as_bytes()[0]).collect()
}

fn of(web: &str) -> Bundle {
    Bundle::new(
        "shop",
        json!({ "web": { "image": web }, "db": { "image": DB } }),
    )
}

/// Two versions, a version that fails, a rollback, and `down`.
async fn eventful() -> World {
    let world = World::new();
    world.deploy(&of(WEB), 9).await;
    world.deploy(&of("r/web:2").file("a.txt", "a"), 2).await;
    let crash = Behaviour::crashes_every(Duration::from_secs(1));
    world.engine.behave("r/api:1", crash);
    world.deploy(&of("r/api:1"), 3).await;
    world.roll_back("shop", None, 4).unwrap();
    end(&mut world.deployer.watch(&id(4), 0).unwrap()).await;
    let operator = "ben".parse().unwrap();
    let down = world.deployer.down(id(5), name("shop"), false, operator);
    down.unwrap();
    end(&mut world.deployer.watch(&id(5), 0).unwrap()).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_history_tells_what_was_done_the_newest_first() {
    let world = eventful().await;
    let revisions = world.store.revisions(&name("shop")).unwrap();
    let (first, second) = (revisions[0].id, revisions[1].id);
    let ended = |outcome, state| Some(Ending { outcome, state });
    let good = ended(Outcome::Succeeded, State::Committed);
    let entries = history(&world);
    assert_eq!(deploys(&entries), [5, 4, 3, 2, 9]);
    let told: Vec<_> = entries
        .iter()
        .map(|it| (it.deed, it.number, it.ending, it.revision))
        .collect();
    let back = ended(Outcome::Failed, State::RolledBack);
    let removed = ended(Outcome::Succeeded, State::Removed);
    assert_eq!(
        told,
        [
            (Deed::Down, 5, removed, None),
            (Deed::Rollback, 4, good, Some(first)),
            (Deed::Deploy, 3, back, Some(second)),
            (Deed::Deploy, 2, good, Some(second)),
            (Deed::Deploy, 1, good, Some(first)),
        ]
    );
    let operators: Vec<String> = entries
        .iter()
        .map(|it| it.operator.clone().unwrap().to_string())
        .collect();
    assert_eq!(operators, ["ben", "ana", "ana", "ana", "ana"]);
    let changes: Vec<String> = entries.iter().map(|it| it.changes.join("; ")).collect();
    let back = format!("revision {} -> {}", second.short(), first.short());
    assert_eq!(
        changes,
        [
            "",
            &back,
            "web: image r/web:2 -> r/api:1; files a.txt, compose.yml",
            "web: image 1 -> 2; files a.txt, compose.yml",
            "create db; create web; files compose.yml",
        ]
    );
    assert!(entries.iter().all(|it| !it.current), "it is down");
    assert!(entries.iter().skip(1).all(|it| it.kept));
    let newest = world.deployer.history(&name("shop"), 2).unwrap();
    assert_eq!(newest, entries[..2]);
}

#[tokio::test(start_paused = true)]
async fn a_deploy_that_runs_has_no_ending() {
    let world = World::new();
    world.engine.trouble(Method::Up, 1, Trouble::Hang);
    let mut watcher = world.begin(&of(WEB), 1).await;
    until(&mut watcher, entered(State::Applying)).await;
    assert_eq!(history(&world)[0].ending, None);
    assert!(world.deployer.cancel(&id(1)));
    end(&mut watcher).await;
    let ending = history(&world)[0].ending.unwrap();
    assert_eq!(ending.outcome, Outcome::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn damaged_folders_hide_nothing_else() {
    let world = eventful().await;
    let whole = history(&world);
    let at = |number: u8, file: &str| {
        world
            .path("deploys")
            .join(id(number).to_string())
            .join(file)
    };
    std::fs::write(at(3, "request.json"), "{").unwrap();
    std::fs::write(at(2, "events.jsonl"), "{}\nnonsense").unwrap();
    std::fs::write(at(9, "events.jsonl"), [0xff; 100_000]).unwrap();
    std::fs::remove_dir_all(world.path("deploys").join(id(4).to_string())).unwrap();
    let entries = history(&world);
    // The revision that the fourth had committed is told of, though its deploy is forgotten.
    assert_eq!(deploys(&entries), [5, 2, 9, 4]);
    assert_eq!(entries[1].ending.unwrap().outcome, Outcome::Interrupted);
    assert_eq!(entries[3].revision, whole[1].revision);
    let revisions = world.path("stacks/shop/revisions");
    for file in std::fs::read_dir(revisions).unwrap() {
        std::fs::write(file.unwrap().path(), "{").unwrap();
    }
    assert!(history(&world).iter().all(|it| !it.kept));
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_was_never_here_has_no_history() {
    let world = World::new();
    let fault = world.deployer.history(&name("shop"), 20).unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnknownName);
}

#[tokio::test(start_paused = true)]
async fn a_secret_in_the_name_of_an_image_is_masked_in_the_history() {
    let world = World::new();
    let bundle = |tag: &str| {
        let image = format!("r/{tag}:1");
        world.engine.publish(&image, &image, &["linux/amd64"]);
        let services = json!({ "web": { "image": image } });
        Bundle::new("shop", services).secret("TAG", tag)
    };
    world.deploy(&bundle("canary77"), 1).await;
    world.deploy(&bundle("canary88"), 2).await;
    let told = format!("{:?}", history(&world));
    assert!(told.contains("********"), "{told}");
    assert!(!told.contains("canary"), "{told}");
    let folder = world.store.deploy_folder(&id(2));
    let kept = std::fs::read_to_string(folder.join("request.json")).unwrap();
    assert!(!kept.contains("canary"), "{kept}");
}
