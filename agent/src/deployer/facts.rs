//! Gathers what a plan or a status is made from: records, containers, images here and in their registries.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use proto::fault::{Fault, FaultKind};
use proto::id::{PlanId, ServiceName, StackName};
use proto::limits::RESOLVE_TIMEOUT;
use proto::plan::{Plan, Scope};
use proto::registry::{RegistryAuth, registry_of};
use proto::stack::ShippedFile;
use proto::status::{ContainerStatus, StackStatus};

use crate::engine::{Container, Engine, LocalImage, RemoteImage};
use crate::planner::{self, ImageFacts, Inputs};
use crate::store::{Applied, Stage, Store};

pub(super) async fn plan(
    store: &Store,
    engine: &dyn Engine,
    stage: &Stage,
    scope: &Scope,
    auths: &[RegistryAuth],
) -> Result<Plan, Fault> {
    let stack = &stage.spec.stack;
    let base = store.current(stack)?;
    let applied = store.applied(stack)?;
    let part = planner::part(scope, stage, base.as_ref())?;
    let covered = |name: &ServiceName| part.as_ref().is_none_or(|part| part.covers(name));
    let names = stage.resolved.images_of(covered);
    let images = join_all(names.keys().map(|name| image_facts(engine, name, auths)));
    let (facts, containers, images) = tokio::join!(
        engine.facts(),
        engine.containers(&stage.spec.project),
        images
    );
    let (facts, containers) = (facts?, containers?);
    let images = images
        .into_iter()
        .collect::<Result<BTreeMap<_, _>, Fault>>()?;
    planner::check_owner(applied.is_some(), stage.spec.project.as_str(), &containers)?;
    planner::plan(&Inputs {
        id: new_plan_id()?,
        stage,
        base: base.as_ref(),
        part: part.as_ref(),
        on_disk: &on_disk(applied.as_ref()),
        containers: &containers,
        images: &images,
        platform: &format!("{}/{}", facts.os, facts.architecture),
    })
}

/// What may lie in the project directory: what was laid out last, and what it was replacing if it was cut short.
pub(crate) fn on_disk(applied: Option<&Applied>) -> Vec<ShippedFile> {
    let Some(applied) = applied else {
        return Vec::new();
    };
    let left = applied
        .before
        .iter()
        .filter(|file| !applied.spec.files.iter().any(|f| f.path == file.path));
    applied.spec.files.iter().chain(left).cloned().collect()
}

async fn image_facts(
    engine: &dyn Engine,
    name: &str,
    auths: &[RegistryAuth],
) -> Result<(String, ImageFacts), Fault> {
    let local = engine.image(name).await?;
    let remote = remote_image(engine, name, local.as_ref(), auths).await;
    Ok((name.to_owned(), ImageFacts { local, remote }))
}

async fn remote_image(
    engine: &dyn Engine,
    name: &str,
    here: Option<&LocalImage>,
    auths: &[RegistryAuth],
) -> Result<RemoteImage, Fault> {
    let registry = registry_of(name);
    let auth = auths.iter().find(|auth| auth.registry == registry);
    match tokio::time::timeout(RESOLVE_TIMEOUT, engine.remote_image(name, here, auth)).await {
        Ok(answer) => answer.map_err(Fault::from),
        Err(_) => Err(Fault::new(
            FaultKind::Failed,
            format!(
                "registry {registry} did not answer within {} s",
                RESOLVE_TIMEOUT.as_secs()
            ),
        )),
    }
}

fn new_plan_id() -> Result<PlanId, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Fault::new(FaultKind::Internal, "no random numbers").cause(error.to_string())
    })?;
    Ok(PlanId::from_bytes(bytes))
}

pub(super) async fn status(
    store: &Store,
    engine: &dyn Engine,
    stack: &StackName,
) -> Result<Option<StackStatus>, Fault> {
    let Some(applied) = store.applied(stack)? else {
        return Ok(None);
    };
    let current = store.current(stack)?;
    let containers = engine.containers(&applied.spec.project).await?;
    Ok(Some(StackStatus {
        stack: stack.clone(),
        project: applied.spec.project,
        revision: current.as_ref().map(|revision| revision.id),
        committed_at_millis: current
            .as_ref()
            .map_or(0, |revision| revision.committed_at_millis),
        committed_by: current
            .map(|revision| revision.operator.to_string())
            .unwrap_or_default(),
        containers: containers
            .into_iter()
            .filter(|c| !c.one_off)
            .map(container_status)
            .collect(),
        deploy: None,
        confirm_within: None,
    }))
}

fn container_status(container: Container) -> ContainerStatus {
    ContainerStatus {
        id: container.id,
        name: container.name,
        service: container.service,
        state: container.state,
        health: container.health,
        health_at_millis: container.health_at_millis,
        image: container.image,
        exit_code: container.exit_code,
        started_at_millis: container.started_at_millis,
        ports: container.ports,
    }
}
