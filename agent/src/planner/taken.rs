//! Whether the host can give the ports and names that a plan needs: checked against everything that will still be there,
//! and not against what this very plan stops.

use std::collections::BTreeSet;

use proto::fault::{Fault, FaultKind};
use proto::plan::{Action, Plan};

use super::{Surroundings, starting};
use crate::engine::{Container, HostContainer, Listener};
use crate::resolved::{Published, ResolvedService};
use crate::store::Stage;

/// Every port of the host that a plan needs, one by one.
pub fn ports_needed(plan: &Plan, stage: &Stage) -> BTreeSet<u16> {
    let services = starting(&stage.resolved, &plan.services).into_iter();
    services
        .flat_map(|service| {
            let ranges = service.port_ranges.iter().flat_map(|it| it.ports());
            let single = service.ports.iter().map(|it| it.port);
            single.chain(ranges.map(|it| it.port))
        })
        .collect()
}

/// What the containers of the host will be once the plan is carried out.
struct Host<'a> {
    plan: &'a Plan,
    stage: &'a Stage,
    /// The project's containers.
    own: &'a [Container],
    around: &'a Surroundings,
}

/// Refuses what somebody else has.
pub(super) fn check(
    plan: &Plan,
    stage: &Stage,
    own: &[Container],
    around: &Surroundings,
) -> Result<(), Fault> {
    let host = Host {
        plan,
        stage,
        own,
        around,
    };
    host.check_ports()?;
    host.check_addresses()?;
    host.check_names()
}

impl Host<'_> {
    fn check_ports(&self) -> Result<(), Fault> {
        let mut taken = BTreeSet::new();
        for service in starting(&self.stage.resolved, &self.plan.services) {
            let single = service.ports.iter().flat_map(|port| {
                let holders = self.holders(service, port).into_iter();
                holders.map(move |by| format!("port {port} of {} is taken by {by}", service.name))
            });
            taken.extend(single);
            for range in &service.port_ranges {
                let free = range
                    .ports()
                    .filter(|it| self.holders(service, it).is_empty());
                let free = free.take(service.replicas as usize).count();
                if free < service.replicas as usize {
                    let (name, wanted) = (&service.name, service.replicas);
                    taken.insert(format!(
                        "of ports {range} of {name} {free} are free, and it needs {wanted}"
                    ));
                }
            }
        }
        refuse(taken, "publish another port, or stop what holds this one")
    }

    /// Who else has a port that a service is to publish.
    fn holders(&self, service: &ResolvedService, port: &Published) -> Vec<String> {
        let published = |it: &&HostContainer| it.published.iter().any(|it| it.collides(port));
        let containers = self.around.containers.iter().filter(published);
        let containers = containers.filter_map(|it| self.stays(service, it));
        // The engine listens itself for what its containers publish.
        let by_engine = |one: &&Listener| {
            let mut all = self.around.containers.iter();
            all.any(|it| it.published.iter().any(|it| it.collides(&one.port)))
        };
        let programs = self.around.listening.iter().filter(|it| !by_engine(it));
        let programs = programs.filter(|it| it.port.collides(port) && !self.ends(it));
        let programs = programs.map(|it| it.name.clone());
        let beside = self.beside(service, port).into_iter();
        containers.chain(programs).chain(beside).collect()
    }

    /// Other services of the stack that publish the same port; each pair is told once.
    fn beside(&self, service: &ResolvedService, port: &Published) -> Vec<String> {
        let starts = |other: &ResolvedService| {
            let plan = self.plan.services.iter();
            plan.filter(|it| it.service == other.name)
                .any(|it| !matches!(it.action, Action::Keep | Action::Remove))
        };
        let others = self.stage.resolved.services.iter();
        let others = others.filter(|other| {
            let collides = other.ports.iter().any(|it| it.collides(port));
            let once = other.name < service.name || !starts(other);
            other.name != service.name && other.replicas > 0 && collides && once
        });
        others
            .map(|other| format!("service {} of the same stack", other.name))
            .collect()
    }

    /// A container that will still be there beside a service that is not its own, in words.
    fn stays(&self, service: &ResolvedService, holder: &HostContainer) -> Option<String> {
        let container = format!("container {}", holder.name);
        let Some(own) = self.own.iter().find(|it| it.name == holder.name) else {
            let of = match holder.project.as_str() {
                "" => String::new(),
                project => format!(" of project {project}"),
            };
            return Some(container + &of);
        };
        if own.one_off {
            return Some(format!("{container}, which somebody runs"));
        }
        // Of two services of the stack, the files tell.
        let known = self.stage.resolved.service(&own.service).is_some();
        let left_alone = !self.plan.covers(&own.service) && own.service != service.name;
        (known && left_alone).then_some(format!("{container}, which is left alone"))
    }

    /// Whether a program ends with a container that the plan replaces or removes: one that has the host's network.
    fn ends(&self, listener: &Listener) -> bool {
        let mut own = self
            .own
            .iter()
            .filter(|it| it.host_network && self.goes(it));
        match &listener.container {
            Some(id) => own.any(|it| it.id == *id),
            // Its container is hidden; then the program is taken for the one that will go.
            None => listener.hidden && own.next().is_some(),
        }
    }

    fn goes(&self, container: &Container) -> bool {
        let plan = self.plan.services.iter();
        let mut plan = plan.filter(|it| it.service == container.service);
        let mut orphans = self.plan.orphans.iter();
        plan.any(|it| matches!(it.action, Action::Recreate | Action::Remove))
            || orphans.any(|it| it.container == container.name && !it.in_the_way.is_empty())
    }

    /// An address may be held by a container that got it by chance, and that the plan leaves as it is.
    fn check_addresses(&self) -> Result<(), Fault> {
        let mut taken = BTreeSet::new();
        for service in starting(&self.stage.resolved, &self.plan.services) {
            let others = self.own.iter().filter(|it| {
                it.is_up() && it.service != service.name && (it.one_off || !self.goes(it))
            });
            for other in others {
                let held = service.addresses.intersection(&other.endpoints);
                taken.extend(held.map(|address| {
                    let (name, by) = (&service.name, &other.name);
                    format!("address {address} of {name} is taken by container {by}")
                }));
            }
        }
        refuse(
            taken,
            "give the service another address, or stop what holds this one",
        )
    }

    fn check_names(&self) -> Result<(), Fault> {
        let mut taken = BTreeSet::new();
        for service in starting(&self.stage.resolved, &self.plan.services) {
            for name in service.container_names(&self.plan.project) {
                let holder = self.around.containers.iter().find(|it| it.name == name);
                if let Some(by) = holder.and_then(|it| self.has_name(service, it)) {
                    let service = &service.name;
                    taken.insert(format!("the name {name} of {service} is taken by {by}"));
                }
            }
        }
        refuse(
            taken,
            "remove or rename that container on the host, or give the service another container_name",
        )
    }

    /// Who has a name and keeps it, in words.
    fn has_name(&self, service: &ResolvedService, holder: &HostContainer) -> Option<String> {
        if self.own.iter().any(|it| it.name == holder.name) {
            return self.stays(service, holder);
        }
        Some(match holder.project.as_str() {
            "" => "a container that is not of this stack".to_owned(),
            project => format!("a container of project {project}"),
        })
    }
}

fn refuse(taken: BTreeSet<String>, hint: &str) -> Result<(), Fault> {
    let mut taken = taken.into_iter();
    let Some(first) = taken.next() else {
        return Ok(());
    };
    let fault = Fault::new(FaultKind::Refused, first).hint(hint);
    Err(taken.fold(fault, Fault::cause))
}
