//! Makes room before Compose starts anything: what holds a port, a name or an address that is needed gives it up, and
//! has it back if the deploy goes back.
//!
//! Nothing is removed before the new state is judged good: a container that gives way is stopped within its own grace
//! period, and renamed where its name is needed. Compose replaces those whose services the target has; the others are
//! removed in the end.

use proto::id::{ProjectName, ServiceName};
use proto::plan::{OrphanPlan, Plan};

use super::{Job, Point, Stopped};
use crate::engine::Container;
use crate::planner::{InTheWay, in_the_way};
use crate::resolved::{ResolvedService, ResolvedStack};
use crate::store::Revision;

/// So many digits of a container's id go into its passing name.
const DIGITS: usize = 12;

/// The containers that leave the stack with a deploy, by id: what the plan says is removed.
pub(super) fn leaving_with_plan(
    plan: &Plan,
    remove_orphans: bool,
    before: &[Container],
) -> Vec<String> {
    let gone = |orphan: &&OrphanPlan| remove_orphans || !orphan.in_the_way.is_empty();
    let gone = plan.orphans.iter().filter(gone);
    let ids = gone.filter_map(|orphan| {
        let is = |it: &&Container| it.name == orphan.container && it.service == orphan.service;
        before.iter().find(is).map(|it| it.id.clone())
    });
    ids.collect()
}

/// The containers that leave the stack with a rollback, by id: those of services that are later than the target, and
/// whatever else of no service of it is in its way.
pub(super) fn leaving_with_rollback(
    current: Option<&Revision>,
    target: &Revision,
    before: &[Container],
) -> Vec<String> {
    let all: Vec<_> = target.resolved.services.iter().collect();
    let in_the_way = in_the_way(&all, &target.spec.project, before);
    let leaves = |container: &&Container| {
        let service = &container.service;
        let later = current.is_some_and(|it| it.resolved.service(service).is_some());
        let holds = in_the_way.iter().any(|it| it.container.id == container.id);
        !container.one_off && target.resolved.service(service).is_none() && (later || holds)
    };
    let leaving = before.iter().filter(leaves);
    leaving.map(|it| it.id.clone()).collect()
}

/// Stops what leaves, and what else is in the way of `wanted`.
pub(super) async fn make_room(
    job: &Job,
    project: &ProjectName,
    wanted: &[&ResolvedService],
    leaving: &[String],
) -> Result<(), Stopped> {
    let containers = job.engine.containers(project).await?;
    let in_the_way = in_the_way(wanted, project, &containers);
    for container in containers.iter().filter(|it| leaving.contains(&it.id)) {
        stop(job, container).await?;
    }
    for it in &in_the_way {
        stop(job, it.container).await?;
        if it.by_name() {
            let name = passing_name(it);
            job.engine.rename_container(&it.container.id, &name).await?;
        }
    }
    Ok(())
}

async fn stop(job: &Job, container: &Container) -> Result<(), Stopped> {
    if container.is_up() {
        job.engine.stop_container(&container.id).await?;
    }
    Ok(())
}

fn passing_name(it: &InTheWay<'_>) -> String {
    let Container { id, name, .. } = it.container;
    let digits = id.get(..DIGITS).unwrap_or(id);
    format!("{name}.replaced-{digits}")
}

/// Removes what has left the stack. The deploy is good without that: what fails is told, and no more.
pub(super) async fn remove_leaving(job: &Job, point: &Point) {
    for id in &point.leaving {
        if let Err(error) = job.engine.remove_container(id).await {
            let named = point.before.iter().find(|it| it.id == *id);
            let name = named.map_or(id.as_str(), |it| it.name.as_str());
            job.warn(format!(
                "{name} is no longer part of the stack and could not be removed: {error}"
            ));
        }
    }
}

/// Gives what had given way its own name again.
pub(super) async fn give_names_back(
    job: &Job,
    project: &ProjectName,
    before: &[Container],
) -> Result<(), Stopped> {
    let now = job.engine.containers(project).await?;
    for old in before {
        let there = now.iter().find(|it| it.id == old.id);
        let free = !now.iter().any(|it| it.name == old.name);
        if there.is_some_and(|it| it.name != old.name) && free {
            job.engine.rename_container(&old.id, &old.name).await?;
        }
    }
    Ok(())
}

/// Starts what had given way and what Compose does not look after: its service is none of `stack`.
pub(super) async fn start_again(
    job: &Job,
    project: &ProjectName,
    before: &[Container],
    stack: Option<&ResolvedStack>,
) -> Result<(), Stopped> {
    let now = job.engine.containers(project).await?;
    let ours = |service: &ServiceName| stack.is_some_and(|stack| stack.service(service).is_some());
    for old in before
        .iter()
        .filter(|old| old.is_up() && !ours(&old.service))
    {
        let down = now.iter().find(|it| it.id == old.id && !it.is_up());
        let Some(container) = down else { continue };
        if let Err(error) = job.engine.start_container(&container.id).await {
            job.warn(format!(
                "{} ran before this deploy and could not be started again: {error}",
                container.name
            ));
        }
    }
    Ok(())
}
