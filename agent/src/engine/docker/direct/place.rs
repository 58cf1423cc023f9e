//! Where a name's registry is, and whether it may be asked without the engine.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use crate::engine::docker::reference::Reference;

/// What the engine's configuration says of registries, and of its own folder: `GET /info`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(in crate::engine::docker) struct Rules {
    http_proxy: String,
    https_proxy: String,
    registry_config: RegistryConfig,
    /// Where the engine keeps its images.
    #[serde(rename = "DockerRootDir")]
    pub(in crate::engine::docker) root: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RegistryConfig {
    index_configs: BTreeMap<String, Index>,
    #[serde(rename = "InsecureRegistryCIDRs")]
    insecure_cidrs: Option<Vec<String>>,
    mirrors: Option<Vec<String>>,
}

impl RegistryConfig {
    /// Whether an address lies in a network that the engine speaks plain HTTP with.
    fn is_insecure(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() else {
            return false;
        };
        let mut networks = self.insecure_cidrs.iter().flatten();
        networks.any(|network| contains(network, address).unwrap_or(false))
    }
}

fn contains(network: &str, address: IpAddr) -> Option<bool> {
    let (base, length) = network.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((base, family), (address, other)) = (bits(base.parse().ok()?), bits(address));
    let ignored = 128_u32.checked_sub(length)?;
    let differs = (base ^ address).checked_shr(ignored).unwrap_or(0) != 0;
    Some(family == other && length <= family && !differs)
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    #[serde(default = "secure")]
    secure: bool,
}

fn secure() -> bool {
    true
}

/// A name in a registry that may be asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scheme: &'static str,
    pub(super) host: String,
    path: String,
    tag: String,
}

impl Place {
    /// `None` where the engine goes another way than straight ahead, or where there is nothing to ask.
    pub(super) fn of(reference: &Reference<'_>, rules: &Rules) -> Option<Self> {
        let proxied = !rules.http_proxy.is_empty() || !rules.https_proxy.is_empty();
        if proxied {
            return None;
        }
        let config = &rules.registry_config;
        let (first, rest) = match reference.repository.split_once('/') {
            Some((first, rest)) => (first, rest),
            None => ("", reference.repository),
        };
        // By Docker's rule: only what has a dot, a port or this name is a host.
        let is_host = first.contains(['.', ':']) || first == "localhost";
        let (host, path) = match (is_host, first) {
            (true, "docker.io" | "index.docker.io") => ("docker.io", rest.to_owned()),
            (true, host) => (host, rest.to_owned()),
            (false, "") => ("docker.io", format!("library/{rest}")),
            (false, _) => ("docker.io", reference.repository.to_owned()),
        };
        let mirrored = config.mirrors.as_ref().is_some_and(|all| !all.is_empty());
        if host == "docker.io" && mirrored {
            return None;
        }
        let insecure = match config.index_configs.get(host) {
            Some(index) => !index.secure,
            None => config.is_insecure(host),
        };
        Some(Self {
            scheme: if insecure { "http" } else { "https" },
            host: match host {
                "docker.io" => "registry-1.docker.io".to_owned(),
                host => host.to_owned(),
            },
            path: match (host, path.contains('/')) {
                ("docker.io", false) => format!("library/{path}"),
                _ => path,
            },
            tag: reference.tag.unwrap_or("latest").to_owned(),
        })
    }

    /// The address of the manifest that the name's tag stands for.
    pub(super) fn manifest(&self) -> String {
        self.manifest_of(&self.tag)
    }

    /// The address of the manifest of a tag or digest beside it.
    pub(super) fn manifest_of(&self, which: &str) -> String {
        let Self {
            scheme, host, path, ..
        } = self;
        format!("{scheme}://{host}/v2/{path}/manifests/{which}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rules: &Rules) -> Option<String> {
        Place::of(&Reference::parse(name), rules).map(|place| place.manifest())
    }

    fn rules(json: &str) -> Rules {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn names_lead_where_docker_would_go() {
        let plain = rules("{}");
        for (name, wanted) in [
            (
                "mongo",
                "https://registry-1.docker.io/v2/library/mongo/manifests/latest",
            ),
            (
                "mongo:4",
                "https://registry-1.docker.io/v2/library/mongo/manifests/4",
            ),
            (
                "docker.io/mongo",
                "https://registry-1.docker.io/v2/library/mongo/manifests/latest",
            ),
            (
                "org/view:1",
                "https://registry-1.docker.io/v2/org/view/manifests/1",
            ),
            ("ghcr.io/a/b:2", "https://ghcr.io/v2/a/b/manifests/2"),
            (
                "10.0.0.1:5000/a",
                "https://10.0.0.1:5000/v2/a/manifests/latest",
            ),
        ] {
            assert_eq!(manifest(name, &plain).as_deref(), Some(wanted), "{name}");
        }
    }

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, wanted) in [
            ("10.77.0.0/16", "10.77.3.1", Some(true)),
            ("10.77.0.0/16", "10.78.0.1", Some(false)),
            ("0.0.0.0/0", "1.2.3.4", Some(true)),
            ("10.0.0.1/32", "10.0.0.1", Some(true)),
            ("10.0.0.1/32", "10.0.0.2", Some(false)),
            ("::1/128", "::1", Some(true)),
            ("::/0", "1.2.3.4", Some(false)),
            ("10.0.0.0/64", "10.0.0.1", Some(false)),
            ("10.0.0.0/999", "10.0.0.1", None),
            ("x/8", "10.0.0.1", None),
        ] {
            let found = contains(network, address.parse().unwrap());
            assert_eq!(found, wanted, "{network} {address}");
        }
        let rules = rules(r#"{"RegistryConfig":{"InsecureRegistryCIDRs":["127.0.0.0/8"]}}"#);
        let there = manifest("127.0.0.1:5000/a", &rules).unwrap();
        assert!(there.starts_with("http://127.0.0.1:5000/"), "{there}");
    }

    #[test]
    fn where_the_engine_goes_another_way_it_goes_alone() {
        assert_eq!(manifest("a", &rules(r#"{"HttpsProxy":"http://p"}"#)), None);
        let mirrored = rules(r#"{"RegistryConfig":{"Mirrors":["https://m/"]}}"#);
        assert_eq!(manifest("a", &mirrored), None);
        assert!(manifest("ghcr.io/a", &mirrored).is_some());
        let insecure = rules(
            r#"{"RegistryConfig":{"IndexConfigs":{"h:5000":{"Secure":false}},"Mirrors":null}}"#,
        );
        let there = manifest("h:5000/a", &insecure).unwrap();
        assert!(there.starts_with("http://h:5000/"), "{there}");
    }
}
