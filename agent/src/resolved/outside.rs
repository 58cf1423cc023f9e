//! What a project needs of its host: ports that are free, networks and volumes that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hostkey::HostKey;

/// A port of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Published {
    /// On this address; `None`: on all.
    pub ip: Option<IpAddr>,
    /// Its number.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl Published {
    /// Whether two cannot be there at once.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        let same_address = match (self.ip, other.ip) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        self.port == other.port && self.protocol == other.protocol && same_address
    }
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ip {
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:")?,
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:")?,
            None => {}
        }
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// Ports of the host of which the engine takes one that is free for each container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// On this address; `None`: on all.
    pub ip: Option<IpAddr>,
    /// The first.
    pub first: u16,
    /// The last, which belongs to it.
    pub last: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

impl PortRange {
    /// Its ports, one by one.
    pub fn ports(&self) -> impl Iterator<Item = Published> {
        (self.first..=self.last).map(|port| Published {
            ip: self.ip,
            port,
            protocol: self.protocol.clone(),
        })
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}/{}", self.first, self.last, self.protocol)
    }
}

/// A fixed address of a container in a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetworkAddress {
    /// The engine's name of the network.
    pub network: String,
    /// The address.
    pub ip: IpAddr,
}

impl std::fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}", self.ip, self.network)
    }
}

/// Reads an address; every spelling of "all" is none.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.parse().ok()?;
    (!ip.is_unspecified()).then_some(ip)
}

/// A named volume of the project's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeWanted {
    /// As the files name it.
    pub key: String,
    /// Its driver.
    pub driver: String,
    /// Keyed digests of its driver's options: an option may hold a password.
    pub options: BTreeMap<String, String>,
    /// The folder of the host that it is, where it is one that has to be there.
    #[serde(default)]
    pub folder: Option<PathBuf>,
}

/// Networks and volumes, by the engine's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// Networks that somebody else makes.
    #[serde(default)]
    pub networks: BTreeSet<String>,
    /// Volumes that somebody else makes.
    #[serde(default)]
    pub volumes: BTreeSet<String>,
    /// Volumes that Compose makes where they are missing.
    #[serde(default)]
    pub own_volumes: BTreeMap<String, VolumeWanted>,
}

/// The digest of a volume option.
pub(crate) fn option_mark(key: &HostKey, value: &str) -> String {
    key.mark("volume option", &value)
}

pub(super) fn of(config: &Value, key: &HostKey) -> Outside {
    let mut outside = Outside::default();
    for (_, name, network) in named(config, "networks") {
        if is_external(network) {
            outside.networks.insert(name);
        }
    }
    for (volume_key, name, volume) in named(config, "volumes") {
        if is_external(volume) {
            outside.volumes.insert(name);
            continue;
        }
        let driver = volume.get("driver").and_then(Value::as_str);
        let wanted = VolumeWanted {
            key: volume_key,
            driver: driver.unwrap_or("local").to_owned(),
            options: options(volume, key),
            folder: folder(volume),
        };
        outside.own_volumes.insert(name, wanted);
    }
    outside
}

/// Refuses mounts of the agent's own state: relative to the folder in which a stack is resolved, `../` leads there.
///
/// # Errors
/// Names the service and its target.
pub fn check_sources(config: &Value, state: &Path, project: &Path) -> Result<(), Fault> {
    let leads_out = |path: &str| {
        let path = Path::new(path);
        path.starts_with(state) && !path.starts_with(project)
    };
    let services = config.get("services").and_then(Value::as_object);
    for (name, service) in services.into_iter().flatten() {
        let volumes = service.get("volumes").and_then(Value::as_array);
        for volume in volumes.into_iter().flatten() {
            let text = |key: &str| volume.get(key).and_then(Value::as_str);
            if text("type") == Some("bind") && text("source").is_some_and(leads_out) {
                let target = text("target").unwrap_or_default();
                return Err(outside_the_stack(&format!(
                    "what service {name} mounts at {target}"
                )));
            }
        }
    }
    for (section, kind) in [("configs", "config"), ("secrets", "secret")] {
        let items = config.get(section).and_then(Value::as_object);
        for (name, item) in items.into_iter().flatten() {
            let file = item.get("file").and_then(Value::as_str);
            if file.is_some_and(leads_out) {
                return Err(outside_the_stack(&format!("the file of {kind} {name}")));
            }
        }
    }
    Ok(())
}

/// What to do about a path that leads out of the stack.
pub(crate) const INTO_THE_STACK: &str = "move it into the stack's folder, name a folder above as the stack's root in fleet.toml (root = \"..\"), or name it by its absolute path on the host";

fn outside_the_stack(what: &str) -> Fault {
    let what = format!("{what} lies outside of the stack's folder");
    Fault::new(FaultKind::InvalidStack, what)
        .cause("a variable or a path in the Compose files leads there with ../")
        .hint(INTO_THE_STACK)
}

fn named<'a>(
    config: &'a Value,
    section: &str,
) -> impl Iterator<Item = (String, String, &'a Value)> {
    let items = config.get(section).and_then(Value::as_object);
    items.into_iter().flatten().map(|(key, item)| {
        let name = item.get("name").and_then(Value::as_str).unwrap_or(key);
        (key.clone(), name.to_owned(), item)
    })
}

fn is_external(item: &Value) -> bool {
    item.get("external").and_then(Value::as_bool) == Some(true)
}

/// A bind of a folder, as `driver_opts: { type: none, o: bind, device: /srv/data }`.
fn folder(volume: &Value) -> Option<PathBuf> {
    let option = |name: &str| volume.pointer(&format!("/driver_opts/{name}"))?.as_str();
    let binds = option("o")?
        .split(',')
        .any(|word| matches!(word, "bind" | "rbind"));
    let device = Path::new(option("device")?);
    (binds && device.is_absolute()).then(|| device.to_owned())
}

fn options(volume: &Value, key: &HostKey) -> BTreeMap<String, String> {
    let options = volume.get("driver_opts").and_then(Value::as_object);
    let options = options.into_iter().flatten();
    options
        .map(|(name, value)| {
            let text = value.as_str().map(|text| text.replace("$$", "$"));
            let text = text.unwrap_or_else(|| value.to_string());
            (name.clone(), option_mark(key, &text))
        })
        .collect()
}

/// The addresses that a service asks for with `ipv4_address` and `ipv6_address`.
pub(super) fn addresses(service: &Value, config: &Value) -> BTreeSet<NetworkAddress> {
    let networks = service.get("networks").and_then(Value::as_object);
    let wanted = networks.into_iter().flatten().flat_map(|(key, settings)| {
        let name = config
            .pointer(&format!("/networks/{key}/name"))
            .and_then(Value::as_str)
            .unwrap_or(key);
        ["ipv4_address", "ipv6_address"]
            .into_iter()
            .filter_map(|field| settings.get(field)?.as_str()?.parse().ok())
            .map(|ip| NetworkAddress {
                network: name.to_owned(),
                ip,
            })
    });
    wanted.collect()
}

/// The ports that a service publishes under a number of its own; of a range the engine takes what is free.
pub(super) fn ports(service: &Value) -> BTreeSet<Published> {
    let single = ranges_of(service).filter(|range| range.first == range.last);
    single.flat_map(|range| range.ports().next()).collect()
}

/// The ranges that a service publishes one port of.
pub(super) fn port_ranges(service: &Value) -> BTreeSet<PortRange> {
    ranges_of(service)
        .filter(|range| range.first < range.last)
        .collect()
}

fn ranges_of(service: &Value) -> impl Iterator<Item = PortRange> {
    let ports = service.get("ports").and_then(Value::as_array);
    ports.into_iter().flatten().filter_map(range)
}

fn range(port: &Value) -> Option<PortRange> {
    let (first, last) = match port.get("published")? {
        Value::String(text) => match text.split_once('-') {
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
            None => {
                let number = text.parse().ok()?;
                (number, number)
            }
        },
        other => {
            let number = u16::try_from(other.as_u64()?).ok()?;
            (number, number)
        }
    };
    let text = |name: &str| port.get(name).and_then(Value::as_str);
    Some(PortRange {
        ip: text("host_ip").and_then(address),
        first: (first > 0).then_some(first)?,
        last,
        protocol: text("protocol").unwrap_or("tcp").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(ip: &str, port: u16, protocol: &str) -> Published {
        Published {
            ip: address(ip),
            port,
            protocol: protocol.to_owned(),
        }
    }

    #[test]
    fn ports_are_those_with_a_number() {
        let service = json!({"ports": [
            {"target": 80, "published": "8080", "host_ip": "127.0.0.1", "protocol": "tcp"},
            {"target": 53, "published": "53", "protocol": "udp"},
            {"target": 1}, {"target": 2, "published": "8000-8010"}, {"target": 3, "published": "0"},
        ]});
        let wanted = [at("", 53, "udp"), at("127.0.0.1", 8080, "tcp")];
        assert_eq!(ports(&service), wanted.into());
        let names: Vec<String> = ports(&service).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["53/udp", "127.0.0.1:8080/tcp"]);
        let ranges = port_ranges(&service);
        let told: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["8000-8010/tcp"]);
        assert_eq!(ranges.first().unwrap().ports().count(), 11);
    }

    #[test]
    fn a_volume_that_is_a_folder_of_the_host_says_which() {
        let of = |o: &str, device: &str| {
            folder(&json!({"driver_opts": {"type": "none", "o": o, "device": device}}))
        };
        assert_eq!(of("ro,bind", "/srv/x"), Some("/srv/x".into()));
        for (o, device) in [
            ("addr=10.0.0.1", "/srv/x"),
            ("bind", "./x"),
            ("bind", ":/x"),
        ] {
            assert_eq!(of(o, device), None, "{o} {device}");
        }
        assert_eq!(folder(&json!({"driver": "local"})), None);
    }

    #[test]
    fn what_leads_into_the_agents_own_state_is_refused() {
        let (state, project) = ("/var/lib/longshore", "/var/lib/longshore/stacks/c/project");
        let bind = |source: &str| {
            json!({"services": {"app": {"volumes": [
                {"type": "bind", "source": source, "target": "/data"},
                {"type": "volume", "source": "data", "target": "/v"},
            ]}}})
        };
        let secret = json!({"secrets": {"s": {"file": "/var/lib/longshore/staging/s"}}});
        let check = |config: &Value| check_sources(config, Path::new(state), Path::new(project));
        for good in [
            project,
            "/var/lib/longshore/stacks/c/project/data",
            "/srv",
            "/",
        ] {
            assert!(check(&bind(good)).is_ok(), "{good}");
        }
        for bad in [
            "/var/lib/longshore",
            "/var/lib/longshore/staging",
            "/var/lib/longshore/stacks",
        ] {
            let fault = check(&bind(bad)).unwrap_err();
            assert!(
                fault.what.starts_with("what service app mounts at /data"),
                "{fault}"
            );
            assert!(!format!("{fault:?}").contains("staging"), "{fault:?}");
        }
        assert!(check(&secret).unwrap_err().what.contains("secret s"));
    }

    #[test]
    fn fixed_addresses_go_by_the_networks_own_name() {
        let config = json!({"networks": {"back": {"name": "shop_back"}}});
        let service = json!({"networks": {
            "back": {"ipv4_address": "10.5.0.5", "ipv6_address": "fd00::5"}, "front": null,
        }});
        let told: Vec<String> = addresses(&service, &config)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told, ["10.5.0.5 in shop_back", "fd00::5 in shop_back"]);
    }

    #[test]
    fn an_address_collides_with_itself_and_with_all() {
        let one = at("127.0.0.1", 80, "tcp");
        assert!(one.collides(&one));
        assert!(one.collides(&at("0.0.0.0", 80, "tcp")));
        assert!(at("::", 80, "tcp").collides(&one));
        assert!(!one.collides(&at("10.0.0.1", 80, "tcp")));
        assert!(!one.collides(&at("", 80, "udp")));
        assert!(!one.collides(&at("", 81, "tcp")));
    }
}
