//! Runs Compose over laid-out files, and once more for what Compose alone would leave.

use std::collections::BTreeSet;

use proto::id::ServiceName;

use super::{Job, Stopped};
use crate::engine::{ComposeProject, Up};

/// Containers that have to be made anew though Compose may see no change in them: it does not look into mounted files.
pub(super) struct Anew<'a> {
    /// Those that are there now, by id.
    pub(super) ids: BTreeSet<&'a str>,
    /// Of these services.
    pub(super) services: BTreeSet<&'a ServiceName>,
    /// Services whose containers come first: Compose would wait for what will never be well.
    pub(super) first: BTreeSet<&'a ServiceName>,
}

/// Brings some services to what the files say; without a name, all of them.
pub(super) async fn up(
    job: &Job,
    project: &ComposeProject,
    only: Vec<ServiceName>,
    anew: &Anew<'_>,
) -> Result<(), Stopped> {
    if !anew.first.is_empty() {
        let first = anew.first.iter().copied().cloned().collect();
        run(job, project, first, true).await?;
    }
    run(job, project, only, false).await?;
    if anew.ids.is_empty() || anew.services.is_empty() {
        return Ok(());
    }
    let left = job.engine.containers(&project.name).await?;
    let left = left.into_iter().filter(|container| {
        let named = anew.ids.contains(container.id.as_str());
        !container.one_off && named && anew.services.contains(&container.service)
    });
    let again: BTreeSet<ServiceName> = left.map(|container| container.service).collect();
    if again.is_empty() {
        return Ok(());
    }
    run(job, project, again.into_iter().collect(), true).await
}

async fn run(
    job: &Job,
    project: &ComposeProject,
    only: Vec<ServiceName>,
    force_recreate: bool,
) -> Result<(), Stopped> {
    let up = Up {
        only,
        force_recreate,
    };
    job.with_lines(|run| job.engine.up(project, &up, run)).await
}
