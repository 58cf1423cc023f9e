//! Changes the host: shipped files one by one, then Compose, then what Compose alone would not do.

use std::collections::BTreeSet;

use proto::plan::{Action, Part, Plan, ServicePlan};

use super::up::{Anew, up};
use super::{Job, Stopped, layout};
use crate::engine::Container;
use crate::stage::compose_project;
use crate::store::Stage;

pub(super) async fn apply(
    job: &Job,
    stage: &Stage,
    plan: &Plan,
    before: &[Container],
    remove_orphans: bool,
) -> Result<(), Stopped> {
    layout::lay_out(job, &stage.spec, &stage.directory)?;
    let settled = |service: &ServicePlan| service.action == Action::Keep;
    let only_taken_over = plan.adoption.is_some() && plan.services.iter().all(settled);
    if !only_taken_over {
        converge(job, stage, plan, before).await?;
    }
    if remove_orphans {
        remove(job, plan, before).await?;
    }
    Ok(())
}

async fn converge(
    job: &Job,
    stage: &Stage,
    plan: &Plan,
    before: &[Container],
) -> Result<(), Stopped> {
    let project = compose_project(&stage.spec, &stage.directory);
    let recreated = plan.services.iter();
    let recreated = recreated.filter(|service| service.action == Action::Recreate);
    let anew = Anew {
        ids: before
            .iter()
            .map(|container| container.id.as_str())
            .collect(),
        services: recreated.map(|service| &service.service).collect(),
        first: BTreeSet::new(),
    };
    // In one run, so that Compose starts them in the order of what they depend on.
    let part = plan.part.iter().flat_map(Part::services);
    up(job, &project, part.cloned().collect(), &anew).await
}

/// Exactly the containers that the plan listed; never `--remove-orphans`, which takes whatever carries the label.
async fn remove(job: &Job, plan: &Plan, before: &[Container]) -> Result<(), Stopped> {
    for orphan in &plan.orphans {
        let container = before
            .iter()
            .find(|c| c.name == orphan.container && c.service == orphan.service);
        if let Some(container) = container {
            job.engine.remove_container(&container.id).await?;
        }
    }
    Ok(())
}
