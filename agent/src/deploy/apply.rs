//! Changes the host: shipped files one by one, then Compose, then what Compose alone would not do.

use std::collections::BTreeSet;

use proto::id::ServiceName;
use proto::plan::{Action, Part, Plan};

use super::{Job, Stopped};
use crate::deployer::on_disk;
use crate::engine::{ComposeProject, Container, Up};
use crate::projectdir::ProjectDir;
use crate::stage::compose_project;
use crate::store::{Applied, Stage};

pub(super) async fn apply(
    job: &Job,
    stage: &Stage,
    plan: &Plan,
    before: &[Container],
    remove_orphans: bool,
) -> Result<(), Stopped> {
    lay_out(job, stage)?;
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

/// Brings the project directory to the stack's files. The record comes first: after a crash it says what may lie there.
fn lay_out(job: &Job, stage: &Stage) -> Result<(), Stopped> {
    let spec = &stage.spec;
    let there = on_disk(job.store.applied(&spec.stack)?.as_ref());
    let mut applied = Applied {
        deploy: job.deploy,
        spec: spec.clone(),
        before: there.clone(),
    };
    job.store.save_applied(&applied)?;
    let directory = ProjectDir::open(&stage.directory)?;
    for file in &spec.files {
        if !directory.holds(file) {
            directory.write(file, job.store.blobs())?;
        }
    }
    let wanted: BTreeSet<_> = spec.files.iter().map(|file| &file.path).collect();
    for file in there.iter().filter(|file| !wanted.contains(&file.path)) {
        if !directory.remove_if_ours(file)? {
            job.warn(format!(
                "{} left the stack but was changed on the host; it stays",
                file.path
            ));
        }
    }
    applied.before.clear();
    Ok(job.store.save_applied(&applied)?)
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
