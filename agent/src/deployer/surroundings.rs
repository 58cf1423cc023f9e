//! Looks at what a changing plan depends on beside the stack itself: networks, volumes, ports, other stacks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::try_join_all;
use proto::fault::Fault;
use proto::id::StackName;
use proto::plan::Plan;

use crate::engine::{Engine, EngineError, ExistingVolume};
use crate::hostkey::HostKey;
use crate::planner::{Surroundings, VolumeFound, ports_needed};
use crate::resolved::option_mark;
use crate::store::{Stage, Store};

pub(super) async fn look(
    store: &Store,
    engine: &dyn Engine,
    stage: &Stage,
    plan: &Plan,
) -> Result<Surroundings, Fault> {
    let outside = &stage.resolved.outside;
    let networks = outside.networks.iter();
    let networks = try_join_all(networks.map(|name| network(engine, name)));
    let volumes = outside.volumes.iter().chain(outside.own_volumes.keys());
    let volumes = try_join_all(volumes.map(|name| volume(engine, name)));
    let ports = ports_needed(plan, stage);
    let listening = async {
        if ports.is_empty() {
            return Ok(Vec::new());
        }
        Ok::<_, EngineError>(engine.listening(ports).await)
    };
    let (networks, volumes, containers, listening, missing_folders) = tokio::try_join!(
        networks,
        volumes,
        engine.host_containers(),
        listening,
        missing_folders(stage)
    )?;
    let mut around = Surroundings {
        missing_networks: networks.into_iter().flatten().collect(),
        containers,
        listening,
        missing_folders,
        sharing: sharing(store, stage, plan)?,
        ..Surroundings::default()
    };
    for (name, found) in volumes {
        match found {
            None if outside.volumes.contains(&name) => around.missing_volumes.push(name),
            None => {}
            Some(found) => drop(around.volumes.insert(name, comparable(found, store.key()))),
        }
    }
    Ok(around)
}

/// A folder of a network file system that does not answer is nobody's business but the engine's.
const FOLDERS_DEADLINE: Duration = Duration::from_secs(3);
/// What the unit's sandbox shows otherwise than the engine sees it.
const HIDDEN: [&str; 3] = ["/tmp", "/var/tmp", "/dev"];

/// The folders that volumes of the project are and that are not there.
async fn missing_folders(stage: &Stage) -> Result<Vec<(String, PathBuf)>, EngineError> {
    let volumes = stage.resolved.outside.own_volumes.values();
    let folders = volumes.filter_map(|it| Some((it.key.clone(), it.folder.clone()?)));
    let folders = folders.filter(|(_, it)| !HIDDEN.iter().any(|hidden| it.starts_with(hidden)));
    // What the deploy itself lays out need not be there before.
    let laid_out = |folder: &PathBuf| {
        let below = folder.strip_prefix(&stage.directory).ok();
        let mut files = stage.spec.files.iter();
        below.is_some_and(|below| files.any(|it| Path::new(it.path.as_str()).starts_with(below)))
    };
    let mut folders: Vec<_> = folders.filter(|(_, it)| !laid_out(it)).collect();
    if folders.is_empty() {
        return Ok(folders);
    }
    let look = tokio::task::spawn_blocking(move || {
        let gone = |(_, folder): &(String, PathBuf)| {
            let found = std::fs::metadata(folder);
            found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        folders.retain(gone);
        folders
    });
    match tokio::time::timeout(FOLDERS_DEADLINE, look).await {
        Ok(Ok(missing)) => Ok(missing),
        _ => Ok(Vec::new()),
    }
}

/// The name, when there is none.
async fn network(engine: &dyn Engine, name: &str) -> Result<Option<String>, EngineError> {
    let there = engine.has_network(name).await?;
    Ok((!there).then(|| name.to_owned()))
}

async fn volume(
    engine: &dyn Engine,
    name: &str,
) -> Result<(String, Option<ExistingVolume>), EngineError> {
    Ok((name.to_owned(), engine.volume(name).await?))
}

fn comparable(volume: ExistingVolume, key: &HostKey) -> VolumeFound {
    let options = volume.options.into_iter();
    VolumeFound {
        driver: volume.driver,
        options: options
            .map(|(name, value)| (name, option_mark(key, &value)))
            .collect(),
    }
}

fn sharing(
    store: &Store,
    stage: &Stage,
    plan: &Plan,
) -> Result<BTreeMap<String, Vec<StackName>>, Fault> {
    let mut sharing: BTreeMap<String, Vec<StackName>> = BTreeMap::new();
    for stack in store.stacks()? {
        // Records that are lost are told of where that stack itself is asked for.
        let Ok(Some(current)) = store.current(&stack) else {
            continue;
        };
        if stack == stage.spec.stack {
            continue;
        }
        // A name with a digest means one thing for ever.
        let images = plan.images.iter().map(|image| &image.reference);
        for name in images.filter(|name| !name.contains('@')) {
            if current.images.contains_key(name) {
                sharing.entry(name.clone()).or_default().push(stack.clone());
            }
        }
    }
    Ok(sharing)
}
