//! A deploy of some services: which ones it is about, and when it cannot go without the rest of the stack.

use std::collections::BTreeSet;

use proto::fault::{Fault, FaultKind};
use proto::id::ServiceName;
use proto::plan::{Action, FilePlan, Part, Scope, ServicePlan};

use super::Inputs;
use crate::resolved::{ResolvedService, ResolvedStack};
use crate::store::{Revision, Stage};

pub(super) const WHOLE: &str = "deploy the whole stack instead: name it without a service";

/// What a deploy of that scope is about: what was named, and what that depends on by the new files. `None` is the
/// whole stack.
///
/// # Errors
/// When there is no such service, nothing is committed to keep the others from, or what all services share differs.
pub fn part(scope: &Scope, stage: &Stage, base: Option<&Revision>) -> Result<Option<Part>, Fault> {
    let (named, closed) = match scope {
        Scope::Whole => return Ok(None),
        Scope::WithDependencies(named) => (named, true),
        Scope::Alone(named) => (named, false),
    };
    let stack = &stage.resolved;
    if let Some(unknown) = named.iter().find(|name| stack.service(name).is_none()) {
        return Err(unknown_service(unknown, stage));
    }
    let Some(base) = base else {
        let what = format!(
            "stack {} has no revision here yet that its other services could stay at",
            stage.spec.stack
        );
        return Err(Fault::new(FaultKind::Refused, what)
            .hint("deploy the whole stack first: name it without a service"));
    };
    check_shared(stack, base)?;
    let needed = if closed {
        dependencies(stack, named)
    } else {
        BTreeSet::new()
    };
    Ok(Some(Part {
        named: named.clone(),
        needed,
    }))
}

/// Everything that services depend on, near and far, without themselves.
fn dependencies(stack: &ResolvedStack, named: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<&ServiceName> = named.iter().collect();
    while let Some(name) = open.pop() {
        // A dependency that is not required may be behind a profile, and not there.
        let found = stack.service(name).into_iter();
        for next in found.flat_map(|service| &service.depends_on) {
            let there = stack.service(next).is_some();
            if there && !named.contains(next) && needed.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    needed
}

fn unknown_service(name: &ServiceName, stage: &Stage) -> Fault {
    let services = stage.resolved.services.iter();
    let names: Vec<&str> = services.map(|service| service.name.as_str()).collect();
    let what = format!("stack {} has no service {name}", stage.spec.stack);
    Fault::new(FaultKind::UnknownName, what)
        .hint(format!("its services are {}", names.join(", ")))
        .hint("services behind a profile are there only when the profile is active")
}

/// A network, volume, config or secret may concern any service, so it changes for all of them or not at all.
fn check_shared(stack: &ResolvedStack, base: &Revision) -> Result<(), Fault> {
    let (old, new) = (&base.resolved.definitions, &stack.definitions);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let causes: Vec<String> = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(
            |name| match (old.contains_key(name), new.contains_key(name)) {
                (false, _) => format!("{name} was added"),
                (_, false) => format!("{name} was removed"),
                _ => format!("{name} changed"),
            },
        )
        .collect();
    if causes.is_empty() {
        return Ok(());
    }
    let what = "what the services share has changed, so none can be deployed without the others";
    let mut fault = Fault::new(FaultKind::Refused, what).hint(WHOLE);
    fault.causes = causes;
    Err(fault)
}

/// Who joins a namespace of a container that is replaced or started again is left in a dead one, asked for or not.
pub(super) fn check_joined(inputs: &Inputs<'_>, plans: &[ServicePlan]) -> Result<(), Fault> {
    if inputs.part.is_none() {
        return Ok(());
    }
    let moved = |name: &&ServiceName| {
        let plan = plans.iter().find(|plan| plan.service == **name);
        plan.is_some_and(|plan| plan.action != Action::Keep)
    };
    let runs = |service: &ResolvedService| {
        let mut containers = inputs.containers.iter();
        containers.any(|it| it.service == service.name && it.is_up())
    };
    let others = inputs.stage.resolved.services.iter();
    let others = others.filter(|it| !inputs.covers(&it.name) && runs(it));
    let causes: Vec<String> = others
        .filter_map(|service| {
            let other = service.joins.iter().find(moved)?;
            Some(format!("{} shares what is {other}'s", service.name))
        })
        .collect();
    let what = "a service that is to be left alone would lose what it shares with another one";
    spared(what, causes)
}

/// A file lies in the project directory once: who mounts it sees the new one, asked for or not.
pub(super) fn check_files(inputs: &Inputs<'_>, files: &[FilePlan]) -> Result<(), Fault> {
    let (Some(_), Some(base)) = (inputs.part, inputs.base) else {
        return Ok(());
    };
    // What runs now mounts what the committed files said.
    let others = base.resolved.services.iter();
    let others = others.filter(|service| !inputs.covers(&service.name));
    let seen = others.flat_map(|service| {
        let mounted = |file: &&FilePlan| service.sees(&file.path);
        let cause = |file: &FilePlan| format!("{} mounts {}", service.name, file.path);
        files.iter().filter(mounted).map(cause)
    });
    let what = "a changed file is mounted by a service that is to be left alone";
    spared(what, seen.collect())
}

/// Refuses what would touch a service that is to be left alone; nothing is wrong without a cause.
fn spared(what: &str, causes: Vec<String>) -> Result<(), Fault> {
    if causes.is_empty() {
        return Ok(());
    }
    let mut fault = Fault::new(FaultKind::Refused, what)
        .hint("name that service too")
        .hint(WHOLE);
    fault.causes = causes;
    Err(fault)
}
