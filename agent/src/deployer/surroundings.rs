//! Looks at what a changing plan depends on beside the stack itself: networks, volumes, ports, other stacks.

use std::collections::{BTreeMap, BTreeSet};

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
    let ports: BTreeSet<u16> = ports_needed(plan, stage)
        .into_iter()
        .map(|(_, port)| port.port)
        .collect();
    let ports = async {
        if ports.is_empty() {
            return Ok(Default::default());
        }
        let (published, listening) = tokio::join!(engine.published(), engine.listening(ports));
        Ok::<_, EngineError>((published?, listening))
    };
    let (networks, volumes, ports) = tokio::try_join!(networks, volumes, ports)?;
    let mut around = Surroundings {
        missing_networks: networks.into_iter().flatten().collect(),
        published: ports.0,
        listening: ports.1,
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
