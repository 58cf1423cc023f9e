//! What must hold on a host whenever no deploy is under way: it has ended once, and what runs is what is recorded.

use std::collections::BTreeSet;

use proto::event::{ContainerState, EventKind, Outcome, State};
use proto::id::RevisionId;

use crate::deeds::NEW;
use crate::world::{End, World, end, name};

/// After a crash at this copy: the deploy has ended, and what runs is exactly what is recorded.
pub(crate) async fn claim_whole(
    world: &World,
    number: &str,
    whole: &End,
    known: &BTreeSet<Option<RevisionId>>,
    found: &[String],
) {
    world.deployer.recover().await;
    let Ok(mut watcher) = world.deployer.watch(&NEW, 0) else {
        // Killed before it was taken.
        return claim_agreed(world, number, found);
    };
    let ended = end(&mut watcher).await;
    let current = world.revision("shop");
    assert_eq!(ended.revision, current, "{number}: {ended:?}");
    assert!(known.contains(&current), "{number}: {ended:?}");
    match ended.outcome {
        Outcome::Interrupted => assert_eq!(ended.state, State::Failed, "{number}"),
        // A hook after the commit was cut off.
        Outcome::Failed if ended.state == State::Committed => {
            assert_eq!(ended.revision, whole.revision, "{number}");
            let told = Some(Outcome::Interrupted);
            assert!(hooks_told(world).await.contains(&told), "{number}");
        }
        outcome => assert_eq!(
            (outcome, ended.state, ended.revision),
            (whole.outcome, whole.state, whole.revision),
            "{number}"
        ),
    }
    claim_agreed(world, number, found);
    assert!(world.engine.running_commands().is_empty(), "{number}");
    let hooks = hooks_told(world).await;
    if ended.state == State::Committed {
        assert!(hooks.iter().all(Option::is_some), "{number}: {hooks:?}");
        let wanted = current_hooks(world);
        assert_eq!(hooks.len(), wanted, "{number}: some were forgotten");
    }
    assert_eq!(world.deployer.running(&name("shop")), None);
    let left = std::fs::read_dir(world.path("work")).unwrap().count();
    assert_eq!(left, 0, "{number}: work that nobody needs");
    let ends = world.events(99, 0).await;
    let ends = ends.iter().filter(|it| it.kind.is_last()).count();
    assert_eq!(ends, 1, "{number}: it ended {ends} times");
}

/// How each hook of the deploy ended, when that was told; each no more than once.
async fn hooks_told(world: &World) -> Vec<Option<Outcome>> {
    let mut told = std::collections::BTreeMap::new();
    for event in world.events(99, 0).await {
        match event.kind {
            EventKind::HookStarted { hook, .. } => assert!(told.insert(hook, None).is_none()),
            EventKind::HookFinished { hook, outcome, .. } => {
                assert_eq!(told.insert(hook, Some(outcome)), Some(None));
            }
            _ => {}
        }
    }
    told.into_values().collect()
}

fn current_hooks(world: &World) -> usize {
    let current = world.store.current(&name("shop")).unwrap();
    let ours = current.filter(|current| current.deploy == NEW);
    ours.map_or(0, |current| current.spec.hooks.len())
}

/// The containers and the files are those of the recorded revision, and nothing else is there.
pub(crate) fn claim_agreed(world: &World, number: &str, found: &[String]) {
    let current = world.store.current(&name("shop")).unwrap();
    let containers = world.engine.all_containers();
    let names: Vec<&str> = containers.iter().map(|it| it.service.as_str()).collect();
    let Some(current) = current else {
        let there: Vec<&String> = containers.iter().map(|it| &it.id).collect();
        assert!(
            there.iter().copied().eq(found),
            "{number}: {names:?} of no revision"
        );
        return;
    };
    let wanted: Vec<&str> = current
        .resolved
        .services
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len(), "{number}: two of one service");
    assert_eq!(unique, wanted.iter().copied().collect(), "{number}");
    for container in &containers {
        let service = current.resolved.service(&container.service).unwrap();
        assert_eq!(
            container.config_hash, current.config_hashes[&container.service],
            "{number}"
        );
        assert_eq!(container.state, ContainerState::Running, "{number}");
        if !current.older.contains_key(&container.service) {
            assert_eq!(
                container.image_id, current.images[&service.image].id,
                "{number}"
            );
        }
    }
    for file in &current.spec.files {
        let path = file.path.under(&world.project("shop"));
        let content = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            crate::bundle::blob(&content),
            file.blob,
            "{number}: {}",
            file.path
        );
    }
}
