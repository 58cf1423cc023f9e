//! Changes the host: shipped files one by one, room for what comes, then Compose.

use std::collections::BTreeSet;

use proto::id::ServiceName;
use proto::plan::{Action, Overwrite, Plan, ServicePlan};

use super::layout::Conflicts;
use super::up::{Recreate, Services, deadline, up};
use super::{Job, Point, Stopped, layout, room};
use crate::planner::starting;
use crate::stage::compose_project;
use crate::store::Stage;

/// What the operator has agreed to.
#[derive(Clone, Copy)]
pub(super) struct Agreed<'a> {
    pub(super) plan: &'a Plan,
    /// Services to be recreated in whose containers Compose sees no change.
    pub(super) forced: &'a BTreeSet<ServiceName>,
    /// Files whose host's version is given up.
    pub(super) overwrite: &'a Overwrite,
}

pub(super) async fn apply(
    job: &Job,
    stage: &Stage,
    agreed: Agreed<'_>,
    point: &Point,
) -> Result<(), Stopped> {
    let Agreed {
        plan,
        forced,
        overwrite,
    } = agreed;
    let conflicts = Conflicts::Refused(overwrite);
    layout::lay_out(job, &stage.spec, &stage.directory, conflicts)?;
    let wanted = starting(&stage.resolved, &plan.services);
    room::make_room(job, &stage.spec.project, &wanted, &point.leaving).await?;
    let settled = |service: &ServicePlan| service.action == Action::Keep;
    let only_taken_over = plan.adoption.is_some() && plan.services.iter().all(settled);
    if only_taken_over {
        return Ok(());
    }
    converge(job, stage, plan, forced, point).await
}

async fn converge(
    job: &Job,
    stage: &Stage,
    plan: &Plan,
    forced: &BTreeSet<ServiceName>,
    point: &Point,
) -> Result<(), Stopped> {
    let project = compose_project(&stage.spec, &stage.directory);
    let recreated = plan.services.iter();
    let recreated = recreated.filter(|service| service.action == Action::Recreate);
    let recreate = Recreate {
        first: forced.clone(),
        old: point.before.iter().map(|it| it.id.as_str()).collect(),
        of: recreated.map(|service| service.service.clone()).collect(),
    };
    room::stop_joined(job, &project.name, &stage.resolved, &recreate.of).await?;
    // In one run, so that Compose starts them in the order of what they depend on.
    let services = match &plan.part {
        None => Services::all(),
        Some(part) => {
            let names = part.services().into_iter().cloned().collect();
            Services::only(names, &stage.resolved)
        }
    };
    up(job, &project, &services, &recreate, deadline(&stage.spec)).await
}
