//! Makes a judged state the stack's revision.

use std::collections::BTreeMap;

use proto::id::RevisionId;

use super::{Job, Stopped};
use crate::clock;
use crate::engine::Container;
use crate::store::{ImagePin, Revision, Stage};

pub(super) async fn commit(
    job: &Job,
    stage: &Stage,
    images: BTreeMap<String, ImagePin>,
    containers: &[Container],
) -> Result<RevisionId, Stopped> {
    let engine_version = job.engine.facts().await?.version;
    let state = (
        &stage.spec,
        &images,
        &stage.compose_version,
        &engine_version,
    );
    let id = RevisionId::from_bytes(job.store.key().id("revision", &state));
    let revision = Revision {
        id,
        spec: stage.spec.clone(),
        resolved: stage.resolved.clone(),
        images,
        config_hashes: containers
            .iter()
            .filter(|container| !container.one_off)
            .map(|container| (container.service.clone(), container.config_hash.clone()))
            .collect(),
        compose_version: stage.compose_version.clone(),
        engine_version,
        directory: stage.directory.clone(),
        deploy: job.deploy,
        operator: job.operator.clone(),
        committed_at_millis: clock::unix_millis(),
    };
    job.store.commit(&revision)?;
    Ok(id)
}
