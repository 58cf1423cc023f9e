//! Runs Compose over laid-out files: first for what has to be recreated though Compose sees no change in it, then for
//! all the rest.
//!
//! A plain `up` waits for the health of containers that are to be replaced, and gives up on them, when what has changed
//! is nothing that it looks at: a mounted file, say. So those come before the run that waits, with what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::id::ServiceName;
use proto::stack::StackSpec;

use super::{COMPOSE_DEADLINE, Job, Stopped};
use crate::engine::{ComposeProject, Up};
use crate::resolved::ResolvedStack;

/// The services that a run is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Services {
    /// Empty: all of the project.
    only: Vec<ServiceName>,
    /// Whether what they depend on is left alone.
    no_deps: bool,
}

impl Services {
    /// All services of the project.
    pub(super) fn all() -> Self {
        Self::default()
    }

    /// Some of them; what they depend on is left alone where it is not among them.
    pub(super) fn only(names: BTreeSet<ServiceName>, stack: &ResolvedStack) -> Self {
        let all: BTreeMap<_, _> = stack.services.iter().map(|it| (&it.name, it)).collect();
        let needed = names.iter().filter_map(|name| all.get(name));
        let mut needed = needed.flat_map(|service| &service.depends_on);
        Self {
            no_deps: needed.any(|name| all.contains_key(name) && !names.contains(name)),
            only: names.into_iter().collect(),
        }
    }
}

impl Services {
    /// These services, in the same way.
    fn named(&self, names: &BTreeSet<ServiceName>) -> Self {
        Self {
            only: names.iter().cloned().collect(),
            no_deps: self.no_deps,
        }
    }
}

/// Containers that have to be replaced.
#[derive(Debug, Default)]
pub(super) struct Recreate<'a> {
    /// Of these services Compose may see no change: they come first.
    pub(super) first: BTreeSet<ServiceName>,
    /// No container of `of` may be one of these, by id, when it is done.
    pub(super) old: BTreeSet<&'a str>,
    /// Services whose old containers go, whatever Compose thinks of them.
    pub(super) of: BTreeSet<ServiceName>,
}

/// Compose waits in one run for everything that others depend on: as long as an operator gives those services, and some
/// time besides.
pub(super) fn deadline(spec: &StackSpec) -> Duration {
    COMPOSE_DEADLINE + spec.deadlines.values().sum::<Duration>()
}

/// Brings services to what the files say; each run has until `deadline`.
pub(super) async fn up(
    job: &Job,
    project: &ComposeProject,
    services: &Services,
    recreate: &Recreate<'_>,
    deadline: Duration,
) -> Result<(), Stopped> {
    let run = |services: Services, force| run(job, project, services, force, deadline);
    if !recreate.first.is_empty() {
        run(services.named(&recreate.first), true).await?;
    }
    if services.only.is_empty() || !services.only.iter().all(|it| recreate.first.contains(it)) {
        run(services.clone(), false).await?;
    }
    if recreate.old.is_empty() || recreate.of.is_empty() {
        return Ok(());
    }
    let left = job.engine.containers(&project.name).await?;
    let left = left.into_iter().filter(|container| {
        let old = recreate.old.contains(container.id.as_str());
        !container.one_off && old && recreate.of.contains(&container.service)
    });
    let left: BTreeSet<ServiceName> = left.map(|container| container.service).collect();
    if left.is_empty() {
        return Ok(());
    }
    run(services.named(&left), true).await
}

async fn run(
    job: &Job,
    project: &ComposeProject,
    services: Services,
    force_recreate: bool,
    deadline: Duration,
) -> Result<(), Stopped> {
    let Services { only, no_deps } = services;
    let up = Up {
        only,
        no_deps,
        force_recreate,
    };
    job.with_lines(deadline, |run| job.engine.up(project, &up, run))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolved::{Outside, ResolvedService};
    use crate::testing::service;

    #[test]
    fn what_services_depend_on_is_left_alone_only_where_it_is_not_meant() {
        let web = ResolvedService {
            depends_on: ["db".parse().unwrap(), "off".parse().unwrap()].into(),
            ..service("web")
        };
        let stack = ResolvedStack {
            services: vec![web, service("db")],
            definitions: BTreeMap::new(),
            outside: Outside::default(),
            inactive: BTreeSet::new(),
        };
        for (names, no_deps) in [
            (&["web"][..], true),
            (&["web", "db"], false),
            (&["db"], false),
        ] {
            let names = names.iter().map(|name| name.parse().unwrap()).collect();
            let services = Services::only(names, &stack);
            assert_eq!(services.no_deps, no_deps, "{services:?}");
        }
    }
}
