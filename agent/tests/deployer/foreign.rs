//! Records that do not belong to what runs: older ones from a backup, none at all, ones of a newer agent. What runs
//! stays as it is until somebody decides, and nothing becomes a mixture.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use agent::engine::scripted::{Behaviour, Method};
use proto::check::Finding;
use proto::event::{Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::id::{HostName, ServiceName};
use proto::plan::Scope;
use serde_json::json;

use crate::bundle::Bundle;
use crate::copies::copy;
use crate::deeds::life;
use crate::world::{DB, WEB, World, end, files_below, id, name};

fn shop(web: &str, mode: &str) -> Bundle {
    let services = json!({
        "web": { "image": web },
        "db": { "image": DB, "command": [mode] },
    });
    Bundle::new("shop", services)
}

fn ids(world: &World) -> BTreeMap<String, String> {
    let all = world.engine.all_containers().into_iter();
    all.map(|it| (it.name, it.id)).collect()
}

fn said(fault: &Fault) -> String {
    let all = [fault.what.clone()].into_iter();
    let all = all.chain(fault.causes.clone()).chain(fault.hints.clone());
    all.collect::<Vec<_>>().join("\n")
}

async fn findings(world: &World) -> Vec<Finding> {
    let host: HostName = "emilia".parse().unwrap();
    world.deployer.check(&host, &[]).await.findings
}

async fn unclear(world: &World) -> bool {
    let status = world.deployer.status(Some(&name("shop"))).await.unwrap();
    status[0].needs_reconcile
}

/// The second version runs, and the records are a backup from when the first one did.
fn restored() -> World {
    let backup = tempfile::tempdir().unwrap();
    let backup = backup.path().join("state");
    let first = life();
    let world = first.block_on(async {
        let world = World::new();
        let end = world.deploy(&shop(WEB, "1"), 1).await;
        assert_eq!(end.outcome, Outcome::Succeeded);
        copy(&world.path(""), &backup);
        let end = world.deploy(&shop("r/web:2", "2"), 2).await;
        assert_eq!(end.outcome, Outcome::Succeeded);
        world
    });
    drop(first);
    let (engine, root) = (world.engine.clone(), world.path(""));
    drop(world);
    World::take_over(engine, &backup, &root)
}

#[test]
fn records_older_than_the_containers_are_told_of_everywhere_and_the_named_command_mends_it() {
    let world = restored();
    let before = ids(&world);
    life().block_on(async {
        world.deployer.recover().await;
        assert_eq!(ids(&world), before, "an agent that starts touches nothing");
        assert!(unclear(&world).await);
        let found = findings(&world).await;
        assert_eq!(found.len(), 2, "{found:?}");
        for finding in &found {
            assert!(finding.why.contains("older than"), "{finding:?}");
            assert_eq!(finding.mend, "controller deploy emilia/shop");
        }
        let bundle = shop("r/web:2", "2");
        let plan = world.plan(&bundle).await.unwrap();
        let warned = plan.warnings.join("\n");
        assert!(warned.contains("older than"), "{warned}");

        // The named command does what its plan has told, for each service once.
        let end = world.deploy(&bundle, 3).await;
        assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
        let names: Vec<String> = ids(&world).into_keys().collect();
        assert_eq!(names, before.into_keys().collect::<Vec<_>>());
        assert_eq!(findings(&world).await, []);
        assert!(!unclear(&world).await);
        let plan = world.plan(&bundle).await.unwrap();
        assert!(!plan.has_changes() && plan.warnings.is_empty(), "{plan:?}");
    });
}

#[test]
fn a_part_of_what_is_not_as_recorded_is_refused_and_a_bad_version_goes_back_whole() {
    let world = restored();
    let before = ids(&world);
    life().block_on(async {
        world.deployer.recover().await;
        let web: ServiceName = "web".parse().unwrap();
        let scope = Scope::Alone([web].into());
        let part = world.plan_part(&shop("r/web:2", "2"), &scope).await;
        let fault = part.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused);
        let said = said(&fault);
        assert!(
            said.contains("db") && said.contains("the whole stack"),
            "{said}"
        );
        assert_eq!(ids(&world), before);

        world.engine.publish("r/web:3", "r/web:3", &["linux/amd64"]);
        let broken = Behaviour::unhealthy_after(Duration::from_secs(1), "no");
        world.engine.behave("r/web:3", broken);
        let end = world.deploy(&shop("r/web:3", "3"), 3).await;
        assert_eq!(
            (end.outcome, end.state),
            (Outcome::TimedOut, State::RolledBack),
            "{end:?}"
        );
        assert_eq!(end.revision, world.revision("shop"));
        // All of it is what the record says, and none of it what ran before.
        assert_eq!(findings(&world).await, []);
        let images = world.engine.all_containers().into_iter();
        let images: BTreeMap<_, _> = images
            .map(|it| (it.service.to_string(), it.image))
            .collect();
        assert_eq!(images["web"], WEB);
    });
}

#[test]
fn a_stack_whose_records_are_gone_is_adopted_without_a_restart_or_a_second_copy() {
    let bundle = || {
        let config = json!({ "services": {
            "web": { "image": WEB },
            "db": { "image": DB, "volumes": [{ "type": "bind", "source": "./conf", "target": "/c" }] },
        } });
        shop(WEB, "1").compose(&config).file("conf/app.ini", "a")
    };
    let first = life();
    let world = first.block_on(async {
        let world = World::new();
        let end = world.deploy(&bundle(), 1).await;
        assert_eq!(end.outcome, Outcome::Succeeded);
        world
    });
    drop(first);
    let before = ids(&world);
    // Everything but the project's own folder.
    let keep = world.project("shop");
    for file in files_below(&world.path("")) {
        if !file.starts_with(&keep) {
            std::fs::remove_file(file).unwrap();
        }
    }
    let world = world.restart();
    life().block_on(async {
        world.deployer.recover().await;
        assert_eq!(ids(&world), before);
        assert!(world.deployer.status(None).await.unwrap().is_empty());
        let refused = world.plan(&bundle()).await.unwrap_err();
        let refused = said(&refused);
        assert!(refused.contains("controller deploy --adopt"), "{refused}");

        let ups = world.count(Method::Up);
        let plan = world.plan_adopting(&bundle()).await.unwrap();
        assert!(crate::world::touched(&plan).is_empty(), "{plan:?}");
        assert!(!world.submit(&plan, id(2)).unwrap());
        let ended = end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
        assert_eq!(ended.outcome, Outcome::Succeeded, "{ended:?}");
        assert_eq!((ids(&world), world.count(Method::Up)), (before, ups));
        assert_eq!(findings(&world).await, []);
        assert!(!world.plan(&bundle()).await.unwrap().has_changes());
    });
}

/// Every file of the state with its content; the audit tells of refusals too.
fn state(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let all = files_below(&world.path("")).into_iter();
    let all = all.filter(|path| !path.starts_with(world.path("audit")));
    all.map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

#[test]
fn the_state_of_a_newer_agent_is_read_and_never_written() {
    let first = life();
    let world = first.block_on(async {
        let world = World::new();
        world.deploy(&shop(WEB, "1"), 1).await;
        world.deploy(&shop("r/web:2", "1"), 2).await;
        // In the middle of a third, which the newer agent is to go on with.
        world
            .engine
            .trouble(Method::Up, 1, agent::engine::scripted::Trouble::Hang);
        let mut watcher = world.begin(&shop(WEB, "3"), 3).await;
        crate::world::until(&mut watcher, crate::world::entered(State::Applying)).await;
        world
    });
    drop(first);
    let note = world.path("format.json");
    let newer = json!({ "format": 99, "agent": "7.3.0", "more": ["than", "we", "know"] });
    agent::record::write(&note, &newer).unwrap();
    let (before, containers) = (state(&world), ids(&world));
    let world = world.restart();
    life().block_on(async {
        world.deployer.recover().await;
        let status = world.deployer.status(Some(&name("shop"))).await.unwrap();
        assert_eq!(status[0].containers.len(), containers.len());
        assert_eq!(status[0].revision, world.revision("shop"));
        assert!(world.deployer.history(&name("shop"), 9).unwrap().len() >= 2);
        let found = findings(&world).await;
        let told = found.iter().find(|it| it.what.contains("a newer agent"));
        let told = told.unwrap_or_else(|| panic!("{found:?}"));
        assert!(told.mend.contains("agent 7.3.0"), "{told:?}");

        let down = world
            .deployer
            .down(id(5), name("shop"), false, "ana".parse().unwrap());
        for refused in [
            world.plan(&shop(WEB, "4")).await.map(drop),
            world.roll_back("shop", None, 4).map(drop),
            down.map(drop),
        ] {
            let fault = refused.unwrap_err();
            let said = said(&fault);
            assert_eq!(fault.kind, FaultKind::Refused, "{said}");
            assert!(said.contains("install agent 7.3.0"), "{said}");
        }
    });
    assert_eq!(state(&world), before);
    assert_eq!(ids(&world), containers);

    // The newer agent is back: the same state, and the deploy goes on.
    std::fs::remove_file(&note).unwrap();
    let world = world.restart_without_troubles();
    life().block_on(async {
        world.deployer.recover().await;
        let ended = end(&mut world.deployer.watch(&id(3), 0).unwrap()).await;
        assert_ne!(ended.outcome, Outcome::Interrupted, "{ended:?}");
        assert_eq!(findings(&world).await, []);
    });
}
