//! How much of a stack `plan` and `deploy` are about: what targets and flags say together.

use proto::fault::{Fault, FaultKind};
use proto::plan::Scope;

use super::Target;
use crate::cli::SourceArgs;

/// Refuses flags that mean nothing for what the targets name.
///
/// # Errors
/// For `--no-deps` where a whole stack is named, and `--remove-orphans` where a service is.
pub(super) fn check(targets: &[Target], source: &SourceArgs) -> Result<(), Fault> {
    let usage = |what: String| Fault::new(FaultKind::InvalidRequest, what);
    let whole = targets.iter().find(|target| target.services.is_empty());
    if let Some(Target { place, .. }) = whole.filter(|_| source.no_deps) {
        let what = format!("--no-deps is for services, and {place} is a whole stack");
        return Err(usage(what).hint(format!("name the services: {place}/SERVICE")));
    }
    let part = targets.iter().find(|target| !target.services.is_empty());
    if let Some(Target { place, .. }) = part.filter(|_| source.remove_orphans) {
        let what =
            format!("--remove-orphans is for whole stacks, and {place} was narrowed to services");
        return Err(usage(what).hint(format!("name it as {place}")));
    }
    Ok(())
}

/// What a plan for a target is asked for.
pub(super) fn of(target: &Target, no_deps: bool) -> Scope {
    let services = target.services.iter().cloned().collect();
    match (target.services.is_empty(), no_deps) {
        (true, _) => Scope::Whole,
        (false, false) => Scope::WithDependencies(services),
        (false, true) => Scope::Alone(services),
    }
}
