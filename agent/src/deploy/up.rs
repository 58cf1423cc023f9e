//! Runs Compose over laid-out files: first for what has to be recreated though Compose sees no change in it, then for
//! all the rest.
//!
//! A plain `up` waits for the health of containers that are to be replaced, and gives up on them, when what has changed
//! is nothing that it looks at: a mounted file, say. So those come before the run that waits, with what they depend on.

use std::collections::{BTreeMap, BTreeSet};

use proto::id::ServiceName;

use super::{Job, Stopped};
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

/// Brings services to what the files say.
pub(super) async fn up(
    job: &Job,
    project: &ComposeProject,
    services: &Services,
    recreate: &Recreate<'_>,
) -> Result<(), Stopped> {
    force(job, project, services, &recreate.first).await?;
    if services.only.is_empty() || !services.only.iter().all(|it| recreate.first.contains(it)) {
        run(job, project, services, false).await?;
    }
    if recreate.old.is_empty() || recreate.of.is_empty() {
        return Ok(());
    }
    let left = job.engine.containers(&project.name).await?;
    let left = left.into_iter().filter(|container| {
        let old = recreate.old.contains(container.id.as_str());
        !container.one_off && old && recreate.of.contains(&container.service)
    });
    let left = left.map(|container| container.service).collect();
    force(job, project, services, &left).await
}

async fn force(
    job: &Job,
    project: &ComposeProject,
    services: &Services,
    names: &BTreeSet<ServiceName>,
) -> Result<(), Stopped> {
    if names.is_empty() {
        return Ok(());
    }
    let services = Services {
        only: names.iter().cloned().collect(),
        no_deps: services.no_deps,
    };
    run(job, project, &services, true).await
}

async fn run(
    job: &Job,
    project: &ComposeProject,
    services: &Services,
    force_recreate: bool,
) -> Result<(), Stopped> {
    let up = Up {
        only: services.only.clone(),
        no_deps: services.no_deps,
        force_recreate,
    };
    job.with_lines(|run| job.engine.up(project, &up, run)).await
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
