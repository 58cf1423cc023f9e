//! A stack that lives elsewhere on the host than where the agent keeps projects.

use proto::event::Outcome;
use proto::fault::FaultKind;
use serde_json::json;

use crate::bundle::Bundle;
use crate::world::{WEB, World, end, id, name};

fn at(stack: &str, directory: &std::path::Path) -> Bundle {
    let mut bundle = Bundle::web(stack).file("conf/a", "1");
    bundle.spec.directory = Some(directory.to_str().unwrap().parse().unwrap());
    bundle
}

#[tokio::test(start_paused = true)]
async fn a_stack_lives_where_its_host_says() {
    let (world, elsewhere) = (World::new(), tempfile::tempdir().unwrap());
    let directory = elsewhere.path().join("opq");
    assert_eq!(
        world.deploy(&at("shop", &directory), 1).await.outcome,
        Outcome::Succeeded
    );
    assert_eq!(std::fs::read(directory.join("conf/a")).unwrap(), b"1");
    assert!(!world.project("shop").exists());
    let container = world.engine.all_containers().pop().unwrap();
    assert_eq!(container.working_dir, directory.display().to_string());
    assert!(
        !world
            .plan(&at("shop", &directory))
            .await
            .unwrap()
            .has_changes()
    );
}

#[tokio::test(start_paused = true)]
async fn a_running_stack_does_not_move() {
    let (world, elsewhere) = (World::new(), tempfile::tempdir().unwrap());
    world.deploy(&Bundle::web("shop"), 1).await;
    let fault = world.plan(&at("shop", elsewhere.path())).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.what.contains("cannot move"), "{fault}");
    let ana = "ana".parse().unwrap();
    world
        .deployer
        .down(id(2), name("shop"), false, ana)
        .unwrap();
    end(&mut world.deployer.watch(&id(2), 0).unwrap()).await;
    let end = world.deploy(&at("shop", elsewhere.path()), 3).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn two_stacks_do_not_share_a_directory_and_none_takes_the_agents() {
    let (world, elsewhere) = (World::new(), tempfile::tempdir().unwrap());
    world.deploy(&at("shop", elsewhere.path()), 1).await;
    let other = Bundle::new("other", json!({ "web": { "image": WEB } }));
    for directory in [elsewhere.path().to_owned(), world.path("stacks")] {
        let mut other = other.clone();
        other.spec.directory = Some(directory.to_str().unwrap().parse().unwrap());
        let fault = world.plan(&other).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused, "{fault}");
    }
}
