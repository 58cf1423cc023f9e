//! Changes the host: shipped files one by one, then Compose, then what Compose alone would not do.

use std::collections::BTreeSet;

use proto::id::ServiceName;
use proto::plan::{Action, Part, Plan};

use super::{Job, Stopped, layout};
use crate::engine::{ComposeProject, Container, Up};
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
    let project = compose_project(&stage.spec, &stage.directory);
    // In one run, so that Compose starts them in the order of what they depend on.
    let part = plan.part.iter().flat_map(Part::services);
    let up = Up {
        only: part.cloned().collect(),
        force_recreate: false,
    };
    job.with_lines(|run| job.engine.up(&project, &up, run))
        .await?;
    recreate_for_files(job, stage, plan, before, &project).await?;
    if remove_orphans {
        remove(job, plan, before).await?;
    }
    Ok(())
}

/// Compose does not look into mounted files: services whose file changed are made anew on purpose.
async fn recreate_for_files(
    job: &Job,
    stage: &Stage,
    plan: &Plan,
    before: &[Container],
    project: &ComposeProject,
) -> Result<(), Stopped> {
    let wanted: BTreeSet<&ServiceName> = plan
        .services
        .iter()
        .filter(|service| service.action == Action::Recreate)
        .map(|service| &service.service)
        .collect();
    if wanted.is_empty() || before.is_empty() {
        return Ok(());
    }
    let old: BTreeSet<&str> = before
        .iter()
        .map(|container| container.id.as_str())
        .collect();
    let after = job.engine.containers(&stage.spec.project).await?;
    let only: BTreeSet<ServiceName> = after
        .into_iter()
        .filter(|c| !c.one_off && wanted.contains(&c.service) && old.contains(c.id.as_str()))
        .map(|container| container.service)
        .collect();
    if only.is_empty() {
        return Ok(());
    }
    let up = Up {
        only: only.into_iter().collect(),
        force_recreate: true,
    };
    job.with_lines(|run| job.engine.up(project, &up, run)).await
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
