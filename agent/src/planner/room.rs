//! Containers of a project that hold what its services need: a port, a name, an address. One rule for the plan, the
//! deploy, the way back and the rollback.
//!
//! Compose starts what it is told to start and leaves the rest alone, so what is in the way has to give way before:
//! stopped for a port or an address, renamed for a name, and removed in the end where no service asks for it any more.

use std::fmt;

use proto::id::{ProjectName, ServiceName};

use crate::engine::Container;
use crate::resolved::{NetworkAddress, Published, ResolvedService};

/// Something of the host that one container at a time can have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostResource {
    /// A port of the host.
    Port(Published),
    /// A container's name.
    Name(String),
    /// An address in a network.
    Address(NetworkAddress),
}

impl fmt::Display for HostResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Name(name) => write!(f, "name {name}"),
            Self::Address(address) => write!(f, "address {address}"),
        }
    }
}

/// A container that has to give way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InTheWay<'a> {
    /// Which.
    pub container: &'a Container,
    /// What it holds, and the service that needs it; never empty.
    pub holds: Vec<(HostResource, ServiceName)>,
}

impl InTheWay<'_> {
    /// Whether its name is needed, rather than what it holds only while it is up.
    #[must_use]
    pub fn by_name(&self) -> bool {
        let names = |(what, _): &(HostResource, _)| matches!(what, HostResource::Name(_));
        self.holds.iter().any(names)
    }

    /// What is needed and by whom, as `port 8080/tcp of proxy`.
    #[must_use]
    pub fn needs(&self) -> Vec<String> {
        let told = |(what, service): &(HostResource, ServiceName)| format!("{what} of {service}");
        self.holds.iter().map(told).collect()
    }
}

/// The containers that hold what one of `wanted` needs and that are not that service's own. One-off containers are
/// somebody's running command and never give way.
pub fn in_the_way<'a>(
    wanted: &[&ResolvedService],
    project: &ProjectName,
    containers: &'a [Container],
) -> Vec<InTheWay<'a>> {
    let own = containers.iter().filter(|container| !container.one_off);
    own.filter_map(|container| {
        let others = wanted.iter().filter(|it| it.name != container.service);
        let holds: Vec<_> = others
            .flat_map(|service| {
                let held = held(container, service, project).into_iter();
                held.map(|what| (what, service.name.clone()))
            })
            .collect();
        (!holds.is_empty()).then_some(InTheWay { container, holds })
    })
    .collect()
}

/// What of a service's needs a container has.
fn held(
    container: &Container,
    service: &ResolvedService,
    project: &ProjectName,
) -> Vec<HostResource> {
    let names = service.container_names(project).into_iter();
    let names = names.filter(|name| *name == container.name);
    let mut held: Vec<HostResource> = names.map(HostResource::Name).collect();
    if container.is_up() {
        let ports = service.ports.iter();
        let ports = ports.filter(|port| container.published.iter().any(|it| it.collides(port)));
        held.extend(ports.cloned().map(HostResource::Port));
        let addresses = service.addresses.intersection(&container.endpoints);
        held.extend(addresses.cloned().map(HostResource::Address));
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{container, service};
    use proto::event::ContainerState;

    fn port(number: u16) -> Published {
        Published {
            ip: None,
            port: number,
            protocol: "tcp".to_owned(),
        }
    }

    fn address(ip: &str) -> NetworkAddress {
        NetworkAddress {
            network: "shop_back".to_owned(),
            ip: ip.parse().unwrap(),
        }
    }

    fn told(wanted: &[&ResolvedService], containers: &[Container]) -> Vec<String> {
        let project = "shop".parse().unwrap();
        let found = in_the_way(wanted, &project, containers);
        let told = |it: &InTheWay<'_>| {
            let how = if it.by_name() { "renamed" } else { "stopped" };
            format!("{} {how}: {}", it.container.name, it.needs().join(", "))
        };
        found.iter().map(told).collect()
    }

    #[test]
    fn what_another_service_needs_is_in_the_way() {
        let proxy = ResolvedService {
            ports: [port(80), port(81)].into(),
            addresses: [address("10.5.0.5")].into(),
            container_name: Some("front".to_owned()),
            ..service("proxy")
        };
        let app = Container {
            name: "front".to_owned(),
            published: [port(81), port(82)].into(),
            endpoints: [address("10.5.0.5"), address("10.5.0.6")].into(),
            ..container("app")
        };
        let all = "front renamed: name front of proxy, port 81/tcp of proxy, \
                   address 10.5.0.5 in shop_back of proxy";
        assert_eq!(told(&[&proxy], std::slice::from_ref(&app)), [all]);
        let stopped = Container {
            state: ContainerState::Exited,
            ..app.clone()
        };
        let name_alone = "front renamed: name front of proxy";
        assert_eq!(told(&[&proxy], &[stopped]), [name_alone]);
        let elsewhere = Container {
            name: "shop-app-1".to_owned(),
            ..app
        };
        let while_up = "shop-app-1 stopped: port 81/tcp of proxy, \
                        address 10.5.0.5 in shop_back of proxy";
        assert_eq!(told(&[&proxy], &[elsewhere]), [while_up]);
    }

    #[test]
    fn a_services_own_containers_and_commands_of_people_stay() {
        let web = ResolvedService {
            ports: [port(80)].into(),
            ..service("web")
        };
        let own = Container {
            published: [port(80)].into(),
            ..container("web")
        };
        let command = Container {
            one_off: true,
            service: "tool".parse().unwrap(),
            ..own.clone()
        };
        assert!(told(&[&web], &[own, command, container("db")]).is_empty());
    }

    #[test]
    fn names_that_compose_makes_up_count_too() {
        let web = ResolvedService {
            replicas: 2,
            ..service("web")
        };
        let named = Container {
            name: "shop-web-2".to_owned(),
            ..container("app")
        };
        let told = told(&[&web], &[named]);
        assert_eq!(told, ["shop-web-2 renamed: name shop-web-2 of web"]);
    }
}
