//! Makes room before Compose starts anything: what holds a port, a name or an address that is needed gives it up, and
//! has it back if the deploy goes back.
//!
//! Nothing is removed before the new state is judged good: a container that gives way is stopped within its own grace
//! period, and renamed where its name is needed. Compose replaces those whose services the target has; the others are
//! removed in the end.

use std::collections::BTreeSet;

use proto::id::{ProjectName, ServiceName};
use proto::plan::{OrphanPlan, Plan};

use super::{Job, Point, Stopped};
use crate::engine::{Container, SHORT_ID};
use crate::planner::{InTheWay, in_the_way};
use crate::resolved::{ResolvedService, ResolvedStack};
use crate::store::Revision;

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

/// Stops containers that are to be replaced and that join a namespace of another service. They end with the container
/// that they have joined, and Compose fails where one ends by itself in the moment in which it is to be stopped.
pub(super) async fn stop_joined(
    job: &Job,
    project: &ProjectName,
    stack: &ResolvedStack,
    replaced: &BTreeSet<ServiceName>,
) -> Result<(), Stopped> {
    let joins = |name: &&ServiceName| stack.service(name).is_some_and(|it| !it.joins.is_empty());
    let joined: BTreeSet<&ServiceName> = replaced.iter().filter(joins).collect();
    if joined.is_empty() {
        return Ok(());
    }
    for container in job.engine.containers(project).await? {
        if !container.one_off && joined.contains(&container.service) {
            stop(job, &container).await?;
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

/// What stands between a container's own name and the first digits of its id while it gives way.
const GIVES_WAY: &str = ".replaced-";

fn passing_name(it: &InTheWay<'_>) -> String {
    let Container { id, name, .. } = it.container;
    let digits = id.get(..SHORT_ID).unwrap_or(id);
    format!("{name}{GIVES_WAY}{digits}")
}

/// The name that a container had before it gave way; `None` for one that has not.
pub(super) fn own_name(container: &Container) -> Option<&str> {
    let (name, digits) = container.name.rsplit_once(GIVES_WAY)?;
    (digits.len() == SHORT_ID && container.id.starts_with(digits)).then_some(name)
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
