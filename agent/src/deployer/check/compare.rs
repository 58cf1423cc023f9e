//! What runs against what the current revision says: pure.

use proto::event::{ContainerState, Health};
use proto::id::ServiceName;

use crate::engine::Container;
use crate::planner::{self, Foreign};
use crate::resolved::ResolvedService;
use crate::store::Revision;

/// What would mend a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mend {
    /// Making the host what the revision says.
    Restore,
    /// Saying again what is wanted: what is recorded may be older than that.
    Deploy,
    /// A deploy that takes away what no service asks for.
    RemoveOrphans,
    /// Nothing of ours: the service itself has something to say.
    Read(ServiceName),
}

/// One thing that is not as the revision says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) what: String,
    pub(super) why: String,
    pub(super) mend: Mend,
}

impl Difference {
    fn restore(what: String, why: impl Into<String>) -> Self {
        Self {
            what,
            why: why.into(),
            mend: Mend::Restore,
        }
    }
}

/// Everything that differs.
pub(super) fn differences(revision: &Revision, containers: &[Container]) -> Vec<Difference> {
    let mut found = Vec::new();
    let containers = || containers.iter().filter(|container| !container.one_off);
    for container in containers() {
        if container.half_made().is_some() {
            found.push(Difference::restore(
                format!("container {} is half made", container.name),
                "Compose was ended while it replaced another one",
            ));
        } else if revision.resolved.inactive.contains(&container.service) {
            // Somebody has started it with its profile, beside the stack.
        } else if revision.resolved.service(&container.service).is_none() {
            found.push(Difference {
                what: format!("container {} belongs to no service", container.name),
                why: format!(
                    "revision {} has no service {}",
                    revision.id.short(),
                    container.service
                ),
                mend: Mend::RemoveOrphans,
            });
        }
    }
    for service in &revision.resolved.services {
        let mine: Vec<&Container> = containers()
            .filter(|it| it.service == service.name && it.half_made().is_none())
            .collect();
        let wanted = service.replicas as usize;
        if mine.len() < wanted {
            found.push(Difference::restore(
                format!("service {} lacks containers", service.name),
                format!("{} of {wanted} exist", mine.len()),
            ));
        }
        let differing = mine
            .into_iter()
            .filter_map(|it| look(revision, service, it));
        found.extend(differing);
    }
    found
}

fn is_one_shot(revision: &Revision, service: &ResolvedService) -> bool {
    let (stack, probes) = (&revision.resolved, &revision.spec.probes);
    stack.is_one_shot(service, probes, revision.had_ended(&service.name))
}

fn look(
    revision: &Revision,
    service: &ResolvedService,
    container: &Container,
) -> Option<Difference> {
    let name = &container.name;
    if let Some(foreign) = planner::foreign(revision, service, container) {
        let what = match foreign {
            Foreign::Settings => format!("container {name} has another configuration"),
            Foreign::Image => format!("container {name} runs another image"),
        };
        return Some(Difference {
            what,
            why: planner::older(revision),
            mend: Mend::Deploy,
        });
    }
    let ended = format!("its exit code was {}", container.exit_code);
    match container.state {
        ContainerState::Running if container.health == Health::Unhealthy => Some(Difference {
            what: format!("container {name} is unhealthy"),
            why: match container.health_output.lines().next() {
                Some(line) => format!("its healthcheck says: {line}"),
                None => "its healthcheck says so".to_owned(),
            },
            mend: Mend::Read(service.name.clone()),
        }),
        ContainerState::Running => None,
        ContainerState::Exited if container.exit_code == 0 && is_one_shot(revision, service) => {
            None
        }
        ContainerState::Restarting => Some(Difference {
            what: format!("container {name} starts again and again"),
            why: ended,
            mend: Mend::Read(service.name.clone()),
        }),
        ContainerState::Created => Some(Difference::restore(
            format!("container {name} has not started"),
            "it was created, and nothing more",
        )),
        ContainerState::Paused => Some(Difference {
            what: format!("container {name} is paused"),
            why: "somebody has paused it".to_owned(),
            mend: Mend::Restore,
        }),
        ContainerState::Exited | ContainerState::Dead | ContainerState::Removing => Some(
            Difference::restore(format!("container {name} does not run"), ended),
        ),
    }
}
