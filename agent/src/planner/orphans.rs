//! Containers of the project whose service the stack does not have: left over, in the way, or of an inactive profile.

use proto::plan::{OrphanPlan, ServicePlan};

use super::{InTheWay, Inputs, in_the_way, starting};
use crate::engine::Container;

/// Containers of services that the stack does not have. A deploy of a part lists only those in its way: the others
/// are nothing of its.
pub(super) fn orphans(inputs: &Inputs<'_>, plans: &[ServicePlan]) -> Vec<OrphanPlan> {
    let starting = starting(&inputs.stage.resolved, plans);
    let in_the_way = in_the_way(&starting, &inputs.stage.spec.project, inputs.containers);
    let left = inputs.containers.iter().filter(|container| {
        !container.one_off && inputs.stage.resolved.service(&container.service).is_none()
    });
    let orphans = left.map(|container| {
        let needed = in_the_way.iter().find(|it| it.container.id == container.id);
        OrphanPlan {
            container: container.name.clone(),
            service: container.service.clone(),
            in_the_way: needed.map(InTheWay::needs).unwrap_or_default(),
        }
    });
    let inactive = &inputs.stage.resolved.inactive;
    orphans
        .filter(|orphan| {
            let left_over = inputs.part.is_none() && !inactive.contains(&orphan.service);
            left_over || !orphan.in_the_way.is_empty()
        })
        .collect()
}

/// Containers of services whose profiles are not active: to Compose, too, they are no orphans.
pub(super) fn inactive(inputs: &Inputs<'_>, orphans: &[OrphanPlan]) -> Vec<String> {
    let inactive = &inputs.stage.resolved.inactive;
    let stays = |container: &&Container| {
        let goes = orphans.iter().any(|it| it.container == container.name);
        !container.one_off && inactive.contains(&container.service) && !goes
    };
    let stays = inputs.containers.iter().filter(stays);
    let told = stays.map(|container| {
        let Container { name, service, .. } = container;
        format!("{name} is left as it is: no profile of service {service} is active")
    });
    told.collect()
}
