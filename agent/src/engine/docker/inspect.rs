//! What the engine shows of containers and images, read with patience: other engines, other versions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use proto::event::{ContainerState, Health};
use serde::Deserialize;

use super::stamp;
use crate::engine::{Container, LocalImage};
use crate::healthcheck::Healthcheck;
use crate::resolved::{NetworkAddress, Published, address};

/// Marks every container of a project.
pub(super) const PROJECT_LABEL: &str = "com.docker.compose.project";
const SERVICE_LABEL: &str = "com.docker.compose.service";
const NUMBER_LABEL: &str = "com.docker.compose.container-number";
const ONE_OFF_LABEL: &str = "com.docker.compose.oneoff";
const HASH_LABEL: &str = "com.docker.compose.config-hash";
const REPLACE_LABEL: &str = "com.docker.compose.replace";
const DIRECTORY_LABEL: &str = "com.docker.compose.project.working_dir";
const FILES_LABEL: &str = "com.docker.compose.project.config_files";
const ENV_FILES_LABEL: &str = "com.docker.compose.project.environment_file";
/// Bytes of healthcheck output that are kept.
const HEALTH_OUTPUT: usize = 4096;

/// An entry of the container list.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    /// The engine's id.
    pub(super) id: String,
}

/// An entry of the image list.
#[derive(Deserialize)]
pub(super) struct Named {
    /// With their tags; nothing for an image without one.
    #[serde(rename = "RepoTags")]
    pub(super) names: Option<Vec<String>>,
}

/// `GET /containers/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    restart_count: u64,
    #[serde(default)]
    state: State,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    network_settings: NetworkSettings,
    #[serde(default)]
    host_config: HostConfig,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    status: String,
    exit_code: i64,
    started_at: String,
    health: Option<HealthState>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct HealthState {
    status: String,
    log: Option<Vec<Check>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    end: String,
    output: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: String,
    tty: bool,
    healthcheck: Option<Asked>,
    stop_timeout: Option<u64>,
    labels: Option<BTreeMap<String, String>>,
}

/// Times are nanoseconds; zero means the engine's default.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Asked {
    test: Option<Vec<String>>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    retries: i64,
}

impl Asked {
    /// `None` when the check is switched off.
    fn check(&self) -> Option<Healthcheck> {
        let test = self.test.as_deref().unwrap_or_default();
        if test.first().is_none_or(|word| word == "NONE") {
            return None;
        }
        let time = |nanos: i64| u64::try_from(nanos).ok().map(Duration::from_nanos);
        Some(Healthcheck::of(
            time(self.interval),
            time(self.timeout),
            time(self.start_period),
            u64::try_from(self.retries).ok(),
        ))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    ports: Option<BTreeMap<String, Option<Vec<Binding>>>>,
    networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "IPAddress")]
    ipv4: String,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    network_mode: String,
    port_bindings: Option<BTreeMap<String, Option<Vec<Binding>>>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Binding {
    host_ip: String,
    host_port: String,
}

impl Inspected {
    /// Its output is a terminal's: one raw stream without frames.
    pub(super) fn has_terminal(&self) -> bool {
        self.config.tty
    }

    /// What it gets between TERM and KILL; `None` where it does not say.
    pub(super) fn stop_grace(&self) -> Option<Duration> {
        self.config.stop_timeout.map(Duration::from_secs)
    }

    /// The container whose network it uses, when it has none of its own.
    pub(super) fn shares_network_of(&self) -> Option<String> {
        let other = self.host_config.network_mode.strip_prefix("container:");
        other.map(str::to_owned)
    }

    /// As the seam shows it; `None` when it carries the project's label and is yet nothing that Compose made.
    pub(super) fn into_container(self) -> Option<Container> {
        let labels = self.config.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let health = self.state.health.unwrap_or_default();
        let newest = health.log.and_then(|mut log| log.pop()).unwrap_or_default();
        let settings = &self.network_settings;
        let endpoints = endpoints(settings.networks.as_ref());
        // What the engine chose stands in the settings, what was asked for in the bindings.
        let bound = [&settings.ports, &self.host_config.port_bindings];
        let bound = bound.into_iter().flatten().flat_map(bindings).collect();
        let addresses = addresses(&self.host_config, self.network_settings.networks.as_ref());
        Some(Container {
            addresses,
            endpoints,
            host_network: self.host_config.network_mode == "host",
            published: bound,
            service: label(SERVICE_LABEL).parse().ok()?,
            number: label(NUMBER_LABEL).parse().unwrap_or(1),
            one_off: label(ONE_OFF_LABEL).eq_ignore_ascii_case("true"),
            config_hash: label(HASH_LABEL),
            working_dir: label(DIRECTORY_LABEL),
            config_files: listed(&label(FILES_LABEL)),
            env_files: listed(&label(ENV_FILES_LABEL)),
            replaces: labels.get(REPLACE_LABEL).cloned(),
            name: self.name.strip_prefix('/').unwrap_or(&self.name).to_owned(),
            id: self.id,
            state: container_state(&self.state.status),
            health: health_status(&health.status),
            health_output: end_of(&newest.output),
            health_at_millis: millis(&newest.end),
            check: self.config.healthcheck.and_then(|asked| asked.check()),
            exit_code: self.state.exit_code,
            restarts: self.restart_count,
            image: self.config.image,
            image_id: self.image,
            started_at_millis: millis(&self.state.started_at),
            ports: self
                .network_settings
                .ports
                .map(published)
                .unwrap_or_default(),
        })
    }
}

/// Unix milliseconds; 0 for what has not happened.
fn millis(stamp: &str) -> u64 {
    let nanos = stamp::nanos(stamp.as_bytes()).unwrap_or_default();
    u64::try_from(nanos / 1_000_000).unwrap_or_default()
}

fn listed(label: &str) -> Vec<String> {
    let names = label.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

fn container_state(status: &str) -> ContainerState {
    match status {
        "running" | "stopping" => ContainerState::Running,
        "restarting" => ContainerState::Restarting,
        "paused" => ContainerState::Paused,
        "exited" => ContainerState::Exited,
        "removing" => ContainerState::Removing,
        "created" => ContainerState::Created,
        // Unknown to us is nothing that may pass for good.
        _ => ContainerState::Dead,
    }
}

fn health_status(status: &str) -> Health {
    match status {
        "" | "none" => Health::None,
        "healthy" => Health::Healthy,
        "unhealthy" => Health::Unhealthy,
        _ => Health::Starting,
    }
}

fn end_of(output: &str) -> String {
    let from = output.len().saturating_sub(HEALTH_OUTPUT);
    let from = (from..).find(|index| output.is_char_boundary(*index));
    from.and_then(|from| output.get(from..))
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// Those of the fourth version first: they are what a host can always reach.
fn addresses(
    host: &HostConfig,
    networks: Option<&BTreeMap<String, Option<Endpoint>>>,
) -> Vec<IpAddr> {
    if host.network_mode == "host" {
        return vec![Ipv4Addr::LOCALHOST.into()];
    }
    let endpoints = || networks.into_iter().flat_map(BTreeMap::values).flatten();
    let all = endpoints().map(|it| &it.ipv4);
    let all = all.chain(endpoints().map(|it| &it.ipv6));
    all.filter_map(|text| text.parse().ok()).collect()
}

fn endpoints(networks: Option<&BTreeMap<String, Option<Endpoint>>>) -> BTreeSet<NetworkAddress> {
    let networks = networks.into_iter().flatten();
    let all = networks.filter_map(|(network, endpoint)| Some((network, endpoint.as_ref()?)));
    all.flat_map(|(network, endpoint)| {
        [&endpoint.ipv4, &endpoint.ipv6]
            .into_iter()
            .filter_map(|text| text.parse().ok())
            .map(|ip| NetworkAddress {
                network: network.clone(),
                ip,
            })
    })
    .collect()
}

/// Those with a number of their own.
fn bindings(ports: &BTreeMap<String, Option<Vec<Binding>>>) -> impl Iterator<Item = Published> {
    ports.iter().flat_map(|(inside, bindings)| {
        let protocol = inside.split_once('/').map_or("tcp", |(_, it)| it);
        let bindings = bindings.iter().flatten();
        bindings.filter_map(|binding| {
            let port = binding.host_port.parse().ok().filter(|port| *port > 0)?;
            Some(Published {
                ip: address(&binding.host_ip),
                port,
                protocol: protocol.to_owned(),
            })
        })
    })
}

fn published(ports: BTreeMap<String, Option<Vec<Binding>>>) -> Vec<String> {
    let mut all = Vec::new();
    for (inside, bindings) in ports {
        for Binding { host_ip, host_port } in bindings.unwrap_or_default() {
            all.push(match host_ip.as_str() {
                ip if ip.contains(':') => format!("[{ip}]:{host_port}->{inside}"),
                ip => format!("{ip}:{host_port}->{inside}"),
            });
        }
    }
    all.sort();
    all
}

/// `GET /images/NAME/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InspectedImage {
    id: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
}

impl From<InspectedImage> for LocalImage {
    fn from(image: InspectedImage) -> Self {
        Self {
            id: image.id,
            os: image.os,
            architecture: image.architecture,
            digests: image.repo_digests.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn sample() -> serde_json::Value {
        json!({
            "Id": "abc", "Name": "/shop-web-1", "Image": "sha256:11", "RestartCount": 2,
            "State": {
                "Status": "running", "ExitCode": 0, "StartedAt": "2024-02-29T23:59:59.123456789Z",
                "Health": { "Status": "unhealthy", "Log": [
                    { "Output": "old" },
                    { "Output": "new\n", "End": "2024-03-01T00:00:01.5Z" }
                ] }
            },
            "Config": { "Image": "web:1", "Tty": true, "Healthcheck": {
                "Test": ["CMD", "true"], "Interval": 5_000_000_000_u64, "Retries": 2
            }, "Labels": {
                "com.docker.compose.project": "shop", "com.docker.compose.service": "web",
                "com.docker.compose.container-number": "3", "com.docker.compose.oneoff": "True",
                "com.docker.compose.config-hash": "beef",
                "com.docker.compose.project.working_dir": "/srv/shop",
                "com.docker.compose.project.config_files": "/srv/shop/a.yml,/srv/shop/b.yml",
                "com.docker.compose.project.environment_file": "/srv/shop/prod.env",
                "com.docker.compose.replace": "0123456789abcdef"
            }},
            "HostConfig": { "NetworkMode": "shop_back", "PortBindings": {
                "90/tcp": [{ "HostIp": "", "HostPort": "9090" }, { "HostIp": "", "HostPort": "" }],
                "91/tcp": null
            }},
            "NetworkSettings": { "Ports": {
                "80/tcp": [
                    { "HostIp": "127.0.0.1", "HostPort": "8080" }, { "HostIp": "::", "HostPort": "8081" }
                ],
                "443/tcp": null
            }, "Networks": {
                "shop_back": { "IPAddress": "172.18.0.3", "GlobalIPv6Address": "fd00::3" },
                "shop_front": { "IPAddress": "172.19.0.3", "GlobalIPv6Address": "" },
                "shop_gone": null
            }}
        })
    }

    #[test]
    fn a_container_is_read_whole() {
        let inspected: Inspected = serde_json::from_value(sample()).unwrap();
        assert!(inspected.has_terminal());
        let container = inspected.into_container().unwrap();
        assert_eq!(
            container,
            Container {
                id: "abc".to_owned(),
                name: "shop-web-1".to_owned(),
                service: "web".parse().unwrap(),
                number: 3,
                one_off: true,
                state: ContainerState::Running,
                health: Health::Unhealthy,
                health_output: "new".to_owned(),
                health_at_millis: 1_709_251_201_500,
                check: Some(Healthcheck {
                    interval: Duration::from_secs(5),
                    retries: 2,
                    ..Healthcheck::default()
                }),
                exit_code: 0,
                restarts: 2,
                image: "web:1".to_owned(),
                image_id: "sha256:11".to_owned(),
                config_hash: "beef".to_owned(),
                working_dir: "/srv/shop".to_owned(),
                config_files: vec!["/srv/shop/a.yml".to_owned(), "/srv/shop/b.yml".to_owned()],
                env_files: vec!["/srv/shop/prod.env".to_owned()],
                replaces: Some("0123456789abcdef".to_owned()),
                started_at_millis: 1_709_251_199_123,
                ports: vec![
                    "127.0.0.1:8080->80/tcp".to_owned(),
                    "[::]:8081->80/tcp".to_owned()
                ],
                addresses: ["172.18.0.3", "172.19.0.3", "fd00::3"]
                    .map(|it| it.parse().unwrap())
                    .to_vec(),
                published: [(Some("127.0.0.1"), 8080), (None, 8081), (None, 9090)]
                    .map(|(ip, port)| Published {
                        ip: ip.map(|it| it.parse().unwrap()),
                        port,
                        protocol: "tcp".to_owned(),
                    })
                    .into(),
                host_network: false,
                endpoints: [
                    ("shop_back", "172.18.0.3"),
                    ("shop_back", "fd00::3"),
                    ("shop_front", "172.19.0.3"),
                ]
                .map(|(network, ip)| NetworkAddress {
                    network: network.to_owned(),
                    ip: ip.parse().unwrap(),
                })
                .into(),
            }
        );
    }

    #[test]
    fn never_started_and_not_composes_own() {
        let mut value = sample();
        value["State"] = json!({ "Status": "created", "StartedAt": "0001-01-01T00:00:00Z" });
        value["NetworkSettings"] = json!({ "Ports": {} });
        let inspected: Inspected = serde_json::from_value(value.clone()).unwrap();
        let container = inspected.into_container().unwrap();
        assert_eq!(container.started_at_millis, 0);
        assert_eq!(container.health, Health::None);
        value["Config"]["Labels"] = json!({ "com.docker.compose.project": "shop" });
        let inspected: Inspected = serde_json::from_value(value).unwrap();
        assert_eq!(inspected.into_container(), None);
    }

    #[test]
    fn a_host_reaches_a_container_on_its_own_network_at_home() {
        let addresses = |value: &serde_json::Value| {
            let inspected: Inspected = serde_json::from_value(value.clone()).unwrap();
            inspected.into_container().unwrap().addresses
        };
        let mut value = sample();
        value["HostConfig"] = json!({ "NetworkMode": "host" });
        assert_eq!(addresses(&value), [IpAddr::from(Ipv4Addr::LOCALHOST)]);
        value["HostConfig"] = json!({ "NetworkMode": "container:f00" });
        value["NetworkSettings"] = json!({ "Networks": {} });
        assert!(addresses(&value).is_empty());
        let inspected: Inspected = serde_json::from_value(value).unwrap();
        assert_eq!(inspected.shares_network_of().as_deref(), Some("f00"));
    }

    #[test]
    fn a_check_that_is_switched_off_is_none() {
        let mut value = sample();
        value["Config"]["Healthcheck"] = json!({ "Test": ["NONE"] });
        let inspected: Inspected = serde_json::from_value(value).unwrap();
        assert_eq!(inspected.into_container().unwrap().check, None);
    }

    #[test]
    fn a_state_that_nobody_knows_is_not_good() {
        assert_eq!(container_state("levitating"), ContainerState::Dead);
        assert_eq!(health_status("levitating"), Health::Starting);
    }

    proptest! {
        #[test]
        fn health_output_is_cut_between_characters(output in "[aé😀]{0,3000}") {
            let cut = end_of(&output);
            prop_assert!(cut.len() <= HEALTH_OUTPUT && output.ends_with(&cut));
        }
    }
}
