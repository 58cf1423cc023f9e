//! Deploys of some services: what is touched, what is committed, and what a later deploy of the rest finds.

use agent::engine::EngineError;
use agent::engine::scripted::{Behaviour, Method, Trouble};
use agent::store::Revision;
use proto::event::{EventKind, Outcome, State};
use proto::fault::FaultKind;
use proto::plan::{Action, Plan, Scope};
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{DB, End, World, end, id, name, touched};

fn only(services: &[&str]) -> Scope {
    Scope::WithDependencies(services.iter().map(|name| name.parse().unwrap()).collect())
}

/// web needs db; api is beside them and mounts a file. A change of `version` concerns all three.
fn stack(version: &str) -> Bundle {
    let service = |image: &str| json!({ "image": image, "environment": { "V": version } });
    let mut web = service(if version == "1" { "r/web:1" } else { "r/web:2" });
    web["depends_on"] = json!({ "db": { "condition": "service_started" } });
    let mut api = service("r/api:1");
    api["volumes"] = json!([{ "type": "bind", "source": "./conf", "target": "/c" }]);
    Bundle::new("shop", json!({ "web": web, "db": service(DB), "api": api }))
        .file("conf/app.ini", "a")
}

async fn first_version() -> World {
    let world = World::new();
    assert_eq!(
        world.deploy(&stack("1"), 1).await.outcome,
        Outcome::Succeeded
    );
    world
}

async fn deploy_part(world: &World, bundle: &Bundle, scope: &Scope, number: u8) -> End {
    let plan = world.plan_part(bundle, scope).await.unwrap();
    world.submit(&plan, id(number)).unwrap();
    end(&mut world.deployer.watch(&id(number), 0).unwrap()).await
}

fn revision(world: &World) -> Revision {
    world.store.current(&name("shop")).unwrap().unwrap()
}

fn hash<'a>(revision: &'a Revision, service: &str) -> &'a str {
    &revision.config_hashes[&service.parse().unwrap()]
}

fn containers(world: &World) -> [Option<String>; 3] {
    ["shop-web-1", "shop-db-1", "shop-api-1"].map(|name| world.container(name))
}

fn sorted(plan: &Plan) -> Vec<(&str, Action)> {
    let mut services = touched(plan);
    services.sort_by_key(|(name, _)| *name);
    services
}

#[tokio::test(start_paused = true)]
async fn one_service_is_deployed_with_what_it_depends_on_and_the_rest_is_left_alone() {
    let world = first_version().await;
    let before = containers(&world);
    let asked = world.count(Method::RemoteImage);
    let end = deploy_part(&world, &stack("2"), &only(&["web"]), 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    let after = containers(&world);
    assert_ne!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    assert_eq!(after[2], before[2]);
    assert_eq!(
        world.engine.calls_of(Method::Up).last().unwrap(),
        "shop db web"
    );
    assert_eq!(
        world.count(Method::RemoteImage) - asked,
        2,
        "not that of api"
    );
}

#[tokio::test(start_paused = true)]
async fn the_revision_takes_the_part_from_the_new_files_and_the_rest_from_the_old_one() {
    let world = first_version().await;
    let old = revision(&world);
    let scope = Scope::Alone(["web".parse().unwrap()].into());
    deploy_part(&world, &stack("2"), &scope, 2).await;
    let new = revision(&world);
    assert_ne!(new.id, old.id);
    assert_ne!(new.spec.files, old.spec.files);
    for rest in ["api", "db"] {
        let rest = rest.parse().unwrap();
        assert_eq!(new.resolved.service(&rest), old.resolved.service(&rest));
        assert_eq!(new.older[&rest], old.id);
    }
    assert_eq!(new.older.len(), 2);
    assert_ne!(hash(&new, "web"), hash(&old, "web"));
    assert_eq!(hash(&new, "db"), hash(&old, "db"));
    let images: Vec<&str> = new.images.keys().map(String::as_str).collect();
    assert_eq!(images, ["r/api:1", "r/db:1", "r/web:2"]);
}

#[tokio::test(start_paused = true)]
async fn every_service_keeps_the_revision_that_made_it_over_several_parts() {
    let world = first_version().await;
    let first = revision(&world).id;
    deploy_part(&world, &stack("2"), &only(&["db"]), 2).await;
    let second = revision(&world).id;
    deploy_part(&world, &stack("3"), &only(&["api"]), 3).await;
    let third = revision(&world);
    let older: Vec<_> = third
        .older
        .iter()
        .map(|(name, id)| (name.as_str(), *id))
        .collect();
    assert_eq!(older, [("db", second), ("web", first)]);

    assert_eq!(
        world.deploy(&stack("3"), 4).await.outcome,
        Outcome::Succeeded
    );
    let whole = revision(&world);
    assert!(whole.older.is_empty());
    assert_ne!(whole.id, third.id);
}

#[tokio::test(start_paused = true)]
async fn a_whole_deploy_of_the_same_files_touches_exactly_what_was_left_behind() {
    let world = first_version().await;
    deploy_part(&world, &stack("2"), &only(&["web"]), 2).await;
    let before = containers(&world);
    let plan = world.plan(&stack("2")).await.unwrap();
    assert_eq!(sorted(&plan), [("api", Action::Recreate)]);
    assert!(plan.files.is_empty());
    assert_eq!(
        world.deploy(&stack("2"), 3).await.outcome,
        Outcome::Succeeded
    );
    let after = containers(&world);
    assert_eq!(after[..2], before[..2]);
    assert_ne!(after[2], before[2]);
    assert!(!world.plan(&stack("2")).await.unwrap().has_changes());
}

/// The tag on the host means the new content from then on; what was left behind runs the old.
#[tokio::test(start_paused = true)]
async fn a_tag_that_moved_is_new_content_for_who_was_left_behind() {
    let world = World::new();
    let service = || json!({ "image": "r/web:1" });
    let twins = Bundle::new("shop", json!({ "web": service(), "api": service() }));
    world.deploy(&twins, 1).await;
    world.engine.publish("r/web:1", "moved", &["linux/amd64"]);
    let (before, old) = (world.container("shop-api-1"), revision(&world));
    deploy_part(&world, &twins, &only(&["web"]), 2).await;
    assert_eq!(world.container("shop-api-1"), before);
    let new = revision(&world);
    assert_eq!(
        new.older[&"api".parse().unwrap()],
        old.id,
        "it has the old one"
    );
    assert_ne!(new.images["r/web:1"], old.images["r/web:1"]);
    let plan = world.plan(&twins).await.unwrap();
    assert_eq!(touched(&plan), [("api", Action::Recreate)]);
    world.deploy(&twins, 3).await;
    assert!(!world.plan(&twins).await.unwrap().has_changes());
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_there_already_has_nothing_to_change_and_starts_no_compose() {
    let world = first_version().await;
    deploy_part(&world, &stack("2"), &only(&["web"]), 2).await;
    let count = |world: &World| (world.count(Method::Resolve), world.count(Method::Up));
    let before = count(&world);
    let plan = world.plan_part(&stack("2"), &only(&["web"])).await.unwrap();
    assert!(!plan.has_changes(), "{plan:?}");
    assert_eq!(count(&world), before);
}

#[tokio::test(start_paused = true)]
async fn the_verdict_is_about_the_part_alone() {
    let world = first_version().await;
    world.engine.vanish("shop-api-1");
    let end = deploy_part(&world, &stack("2"), &only(&["web"]), 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    assert_eq!(world.container("shop-api-1"), None);
    let told = world.events(2, 0).await.into_iter().any(
        |event| matches!(event.kind, EventKind::ServiceState { service, .. } if service.as_str() == "api"),
    );
    assert!(!told);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_leaves_the_revision_as_it_was() {
    let world = first_version().await;
    let first = world.revision("shop");
    let second = std::time::Duration::from_secs(1);
    world
        .engine
        .behave("r/web:2", Behaviour::exits_after(second, 3));
    let end = deploy_part(&world, &stack("2"), &only(&["web"]), 2).await;
    assert_eq!((end.outcome, end.revision), (Outcome::Failed, first));
    assert_eq!(world.revision("shop"), first);
    let plan = world.plan(&stack("2")).await.unwrap();
    assert_eq!(sorted(&plan).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_go_without_the_rest_is_refused_before_anything_is_pulled() {
    let world = World::new();
    let refused =
        async |bundle: &Bundle, scope: &Scope| world.plan_part(bundle, scope).await.unwrap_err();
    let fault = refused(&stack("1"), &only(&["web"])).await;
    assert_eq!(fault.kind, FaultKind::Refused, "nothing is committed yet");
    assert_eq!(world.count(Method::RemoteImage), 0);
    world.deploy(&stack("1"), 1).await;

    let fault = refused(&stack("2"), &only(&["wbe"])).await;
    assert_eq!(fault.kind, FaultKind::UnknownName);
    let with_volume = json!({
        "services": { "web": { "image": "r/web:2" } },
        "volumes": { "data": {} },
    });
    let with_volume = stack("2").compose(&with_volume);
    let fault = refused(&with_volume, &only(&["web"])).await;
    assert_eq!(fault.causes, ["volume data was added"]);
    let other_file = stack("2").replace("conf/app.ini", "b");
    let fault = refused(&other_file, &only(&["web"])).await;
    assert_eq!(fault.causes, ["api mounts conf/app.ini"]);
    assert!(world.plan_part(&other_file, &only(&["api"])).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_way_back_leaves_alone_what_runs_as_its_part_made_it() {
    let world = first_version().await;
    deploy_part(&world, &stack("2"), &only(&["web"]), 2).await;
    let before = containers(&world);
    let asked = world.count(Method::Up);
    let refused = EngineError::Compose {
        verb: "up".to_owned(),
        status: "exit code 1".to_owned(),
        output: vec!["network quay not found".to_owned()],
    };
    world.engine.trouble(Method::Up, 1, Trouble::Fail(refused));
    let end = world.deploy(&stack("2"), 3).await;
    assert_eq!(end.state, State::RolledBack, "{end:?}");
    assert_eq!(containers(&world), before);
    assert_eq!(
        world.count(Method::Up),
        asked + 1,
        "only the one that failed"
    );
}
