//! What somebody started by hand is taken over as it runs, and comes back as it was found when the deploy fails.

use std::path::PathBuf;
use std::time::Duration;

use agent::engine::EngineError;
use agent::engine::scripted::{Behaviour, Method, Trouble};
use proto::event::{EventKind, Outcome, State};
use proto::fault::Fault;
use proto::history::Deed;
use proto::plan::{Action, Change, Plan};
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{DB, End, WEB, World, end, id, name, touched};

/// Two services, one of which mounts a folder of the project; `secret` comes from the shell of whoever starts it.
pub(crate) fn stack(web: &str, db: &str, config: &str) -> Bundle {
    let mount = json!([{ "type": "bind", "source": "./conf", "target": "/c" }]);
    let services = json!({
        "web": { "image": web, "environment": { "S": "${SETTINGS}" } },
        "db": { "image": DB, "command": [db], "volumes": mount },
    });
    Bundle::new("shop", services)
        .file("conf/app.ini", config)
        .file(".env", "TAG=1\n")
        .secret("SETTINGS", "a long secret")
}

/// Where everything is that the host needs.
pub(crate) fn folder(world: &World) -> PathBuf {
    world.project("shop")
}

/// Somebody copies the stack into its folder and starts it there.
pub(crate) async fn start_by_hand(world: &World, bundle: &Bundle) {
    for image in [WEB, DB] {
        world.engine.preload(image).unwrap();
    }
    bundle.copy_to(&folder(world));
    world.up_by_hand(bundle, &folder(world)).await;
}

async fn adopted(world: &World, bundle: &Bundle, number: u8) -> (Plan, End) {
    let plan = world.plan_adopting(bundle).await.unwrap();
    assert!(!world.submit(&plan, id(number)).unwrap());
    let end = end(&mut world.deployer.watch(&id(number), 0).unwrap()).await;
    (plan, end)
}

fn ids(world: &World) -> Vec<(String, String, u64)> {
    let all = world.engine.all_containers().into_iter();
    all.map(|it| (it.name, it.id, it.started_at_millis))
        .collect()
}

fn read(world: &World, path: &str) -> Option<String> {
    std::fs::read_to_string(folder(world).join(path)).ok()
}

fn said(fault: &Fault) -> String {
    let mut all = vec![fault.what.clone()];
    all.extend(fault.causes.iter().chain(&fault.hints).cloned());
    all.join("\n")
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_stack_is_taken_over_without_a_touch() {
    let world = World::new();
    let bundle = stack(WEB, "1", "a");
    start_by_hand(&world, &bundle).await;
    std::fs::write(folder(&world).join("notes.txt"), "mine").unwrap();
    let (before, ups) = (ids(&world), world.count(Method::Up));
    let (plan, end) = adopted(&world, &bundle, 1).await;
    assert_eq!(touched(&plan), []);
    assert!(plan.files.is_empty(), "{plan:?}");
    assert!(plan.warnings.is_empty(), "{plan:?}");
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Succeeded, State::Committed)
    );
    assert_eq!(ids(&world), before);
    assert_eq!(world.count(Method::Up), ups, "Compose is not even asked");
    assert_eq!(read(&world, "notes.txt").as_deref(), Some("mine"));
    let again = world.plan(&bundle).await.unwrap();
    assert!(!again.has_changes(), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_history_tells_what_was_found_and_who_took_it_over() {
    let world = World::new();
    let bundle = stack(WEB, "1", "a");
    start_by_hand(&world, &bundle).await;
    adopted(&world, &bundle, 1).await;
    let told = world.deployer.history(&name("shop"), 9).unwrap();
    assert_eq!(told.len(), 2);
    assert!(
        told[0].changes[0].starts_with("taken over from /"),
        "{told:?}"
    );
    assert!(told[0].current && told[1].kept && !told[1].current);
    assert_eq!(told[1].deed, Deed::Deploy);
    assert!(told[1].changes[0].starts_with("as found, started by hand"));
    assert_eq!(told[1].operator.as_ref().unwrap().as_str(), "ana");
}

#[tokio::test(start_paused = true)]
async fn only_what_changed_is_made_anew_and_the_files_of_others_stay() {
    let world = World::new();
    start_by_hand(&world, &stack(WEB, "1", "a")).await;
    std::fs::write(folder(&world).join("conf/data.db"), "rows").unwrap();
    let before = ids(&world);
    let (plan, end) = adopted(&world, &stack(WEB, "2", "b"), 1).await;
    assert_eq!(touched(&plan), [("db", Action::Recreate)]);
    let reasons = plan.services[0].why();
    for told in ["command", "mounted file conf/app.ini changed"] {
        assert!(reasons.iter().any(|it| it.starts_with(told)), "{reasons:?}");
    }
    let files: Vec<_> = plan
        .files
        .iter()
        .map(|it| (it.path.as_str(), it.change))
        .collect();
    let changed = [
        ("compose.yml", Change::Changed),
        ("conf/app.ini", Change::Changed),
    ];
    assert_eq!(files, changed);
    assert_eq!(end.outcome, Outcome::Succeeded);
    let after = ids(&world);
    assert_eq!(after[1], before[1]);
    assert_ne!(after[0], before[0]);
    assert_eq!(read(&world, "conf/data.db").as_deref(), Some("rows"));
    assert_eq!(read(&world, "conf/app.ini").as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_bad_version_goes_back_to_what_was_found_and_a_rollback_can_too() {
    let world = World::new();
    let found = stack(WEB, "1", "a");
    start_by_hand(&world, &found).await;
    let before = ids(&world);
    let broken = Behaviour::crashes_every(Duration::from_secs(1));
    world.engine.behave("r/web:2", broken);
    let bad = stack("r/web:2", "1", "a").file("new.txt", "new");
    let (_, end) = adopted(&world, &bad, 1).await;
    assert_eq!(end.state, State::RolledBack, "{end:?}");
    let fault = end.fault.unwrap();
    assert!(said(&fault).contains("back as it was found"), "{fault:?}");
    assert_eq!(ids(&world)[0], before[0], "db was never touched");
    let web = &world.engine.all_containers()[1];
    assert_eq!(web.image, WEB);
    assert_eq!(
        read(&world, "compose.yml"),
        Some(found.content("compose.yml"))
    );
    assert_eq!(read(&world, "new.txt"), None);
    assert!(!world.plan(&found).await.unwrap().has_changes());

    // What was found is a revision like any other from here on.
    world.engine.behave("r/web:2", Behaviour::default());
    world.deploy(&stack("r/web:2", "2", "b"), 2).await;
    assert!(!world.roll_back("shop", None, 3).unwrap());
    let back = crate::world::end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
    assert_eq!(back.outcome, Outcome::Succeeded, "{back:?}");
    assert_eq!(read(&world, "conf/app.ini").as_deref(), Some("a"));
    assert_eq!(world.engine.all_containers()[1].image, WEB);
}

#[tokio::test(start_paused = true)]
async fn without_the_flag_it_is_refused_with_the_way_to_do_it() {
    let world = World::new();
    let bundle = stack(WEB, "1", "a");
    start_by_hand(&world, &bundle).await;
    let fault = world.plan(&bundle).await.unwrap_err();
    assert!(
        said(&fault).contains("controller deploy --adopt"),
        "{fault:?}"
    );
    assert_eq!(world.revision("shop"), None);
}

#[tokio::test(start_paused = true)]
async fn a_folder_elsewhere_is_named_and_taken_over_once_the_stack_lives_there() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut bundle = stack(WEB, "1", "a");
    for image in [WEB, DB] {
        world.engine.preload(image).unwrap();
    }
    bundle.copy_to(elsewhere.path());
    world.up_by_hand(&bundle, elsewhere.path()).await;
    let line = format!("dir = {{ shop = \"{}\" }}", elsewhere.path().display());
    for fault in [
        world.plan(&bundle).await.unwrap_err(),
        world.plan_adopting(&bundle).await.unwrap_err(),
    ] {
        assert!(said(&fault).contains(&line), "{fault:?}");
    }
    bundle.spec.directory = Some(elsewhere.path().to_str().unwrap().parse().unwrap());
    let before = ids(&world);
    let (_, end) = adopted(&world, &bundle, 1).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert_eq!(ids(&world), before);
}

/// The operator's new value is not what it was started with: nobody can know the old one.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_brought_back_exactly_is_warned_of_and_left_alone_while_it_runs() {
    let world = World::new();
    start_by_hand(&world, &stack(WEB, "1", "a")).await;
    let mut bundle = stack(WEB, "2", "a");
    bundle.spec.values.clear();
    let bundle = bundle.secret("SETTINGS", "another secret");
    let plan = world.plan_adopting(&bundle).await.unwrap();
    let inexact = plan.adoption.clone().unwrap().inexact;
    assert_eq!(inexact, ["web".parse().unwrap()].into());
    assert!(plan.warnings[0].contains("web"), "{plan:?}");
    assert!(!format!("{plan:?}").contains("another secret"));
    let before = ids(&world);
    // It fails before Compose comes to web.
    let gone = EngineError::Down("gone".to_owned());
    world.engine.trouble(Method::Up, 1, Trouble::Midway(gone));
    world.submit(&plan, id(1)).unwrap();
    let end = end(&mut world.deployer.watch(&id(1), 0).unwrap()).await;
    assert_eq!(end.state, State::RolledBack, "{end:?}");
    assert_eq!(ids(&world)[1], before[1], "web runs as it was found");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_well_does_not_have_to_be_well_after_going_back() {
    let world = World::new();
    let ill = Behaviour::unhealthy_after(Duration::from_secs(1), "no answer");
    world.engine.behave("web", ill);
    start_by_hand(&world, &stack(WEB, "1", "a")).await;
    // It takes its time to fall ill.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (_, end) = adopted(&world, &stack(WEB, "2", "b"), 1).await;
    assert_eq!(end.state, State::RolledBack, "{end:?}");
    assert_eq!(read(&world, "conf/app.ini").as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_moved_on_since_the_plan_is_left_alone() {
    let world = World::new();
    let found = stack(WEB, "1", "a");
    start_by_hand(&world, &found).await;
    let plan = world.plan_adopting(&stack(WEB, "1", "b")).await.unwrap();
    std::fs::write(folder(&world).join("conf/app.ini"), "by hand").unwrap();
    world.submit(&plan, id(1)).unwrap();
    let first = end(&mut world.deployer.watch(&id(1), 0).unwrap()).await;
    assert_eq!((first.state, first.revision), (State::Failed, None));
    assert!(said(&first.fault.unwrap()).contains("conf/app.ini"));
    assert_eq!(read(&world, "conf/app.ini").as_deref(), Some("by hand"));

    let plan = world.plan_adopting(&stack(WEB, "1", "b")).await.unwrap();
    let other = stack(WEB, "5", "by hand");
    other.copy_to(&folder(&world));
    world.up_by_hand(&other, &folder(&world)).await;
    world.submit(&plan, id(2)).unwrap();
    let second = end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
    assert_eq!((second.state, second.revision), (State::Failed, None));
    assert_eq!(world.revision("shop"), None);
}

#[tokio::test(start_paused = true)]
async fn files_that_it_was_started_from_and_are_gone_are_asked_for() {
    let world = World::new();
    let mut bundle = stack(WEB, "1", "a");
    start_by_hand(&world, &bundle).await;
    let file = folder(&world).join("compose.yml");
    std::fs::rename(&file, folder(&world).join("other.yml")).unwrap();
    bundle.spec.compose_files = vec!["compose.yml".parse().unwrap()];
    let fault = world.plan_adopting(&bundle).await.unwrap_err();
    assert!(said(&fault).contains("compose.yml"), "{fault:?}");
}

/// It was started from a file of another name, which the stack does not have.
#[tokio::test(start_paused = true)]
async fn what_it_was_started_from_stays_and_comes_back_if_it_is_lost() {
    let world = World::new();
    let bundle = stack(WEB, "1", "a");
    for image in [WEB, DB] {
        world.engine.preload(image).unwrap();
    }
    bundle.copy_to(&folder(&world));
    let old = folder(&world).join("docker-compose.yml");
    std::fs::rename(folder(&world).join("compose.yml"), &old).unwrap();
    let mut by_hand = bundle.clone();
    by_hand.spec.compose_files = vec!["docker-compose.yml".parse().unwrap()];
    world.up_by_hand(&by_hand, &folder(&world)).await;
    let before = ids(&world);
    let (plan, end) = adopted(&world, &bundle, 1).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    assert_eq!(plan.files[0].change, Change::Added);
    assert_eq!(ids(&world), before);
    assert!(old.is_file(), "it is not ours to remove");
    world.deploy(&stack("r/web:2", "1", "a"), 2).await;
    std::fs::remove_file(&old).unwrap();
    world.engine.behave("r/web:2", Behaviour::default());
    let found = world.deployer.history(&name("shop"), 9).unwrap();
    let found = found.last().unwrap().revision;
    world.roll_back("shop", found, 3).unwrap();
    let back = crate::world::end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
    assert_eq!(back.outcome, Outcome::Succeeded, "{back:?}");
    assert!(old.is_file());
    assert_eq!(world.engine.all_containers()[1].image, WEB);
}

#[tokio::test(start_paused = true)]
async fn one_offs_are_nobodys_and_nothing_is_taken_over_where_nothing_runs() {
    let world = World::new();
    let plan = world.plan_adopting(&stack(WEB, "1", "a")).await.unwrap();
    assert_eq!(plan.adoption, None);
    assert!(plan.services.iter().all(|it| it.action == Action::Create));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_takeover_shows_a_secret() {
    let world = World::new();
    start_by_hand(&world, &stack(WEB, "1", "a")).await;
    adopted(&world, &stack(WEB, "2", "a"), 1).await;
    let events = world.events(1, 0).await;
    assert!(!format!("{events:?}").contains("a long secret"));
    let warned = events
        .iter()
        .any(|it| matches!(it.kind, EventKind::Warning { .. }));
    assert!(!warned, "{events:?}");
}
