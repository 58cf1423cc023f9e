//! What else is on the host: volumes, networks, ports that other containers publish.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::inspect::PROJECT_LABEL;
use super::request::encoded;
use super::{Docker, get};
use crate::engine::{EngineError, ExistingVolume, PortHolder};
use crate::resolved::{Published, address};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    driver: String,
    #[serde(default)]
    options: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
struct Port {
    #[serde(rename = "IP", default)]
    ip: String,
    #[serde(rename = "PublicPort", default)]
    public: u16,
    #[serde(rename = "Type", default)]
    protocol: String,
}

impl Docker {
    /// A volume by its name.
    pub(in crate::engine) async fn volume(
        &self,
        name: &str,
    ) -> Result<Option<ExistingVolume>, EngineError> {
        let ask = get(
            format!("volume {name}"),
            format!("/volumes/{}", encoded(name)?),
        );
        match self.api.json::<Volume>(&ask).await {
            Ok(volume) => Ok(Some(ExistingVolume {
                driver: volume.driver,
                options: volume.options.unwrap_or_default(),
            })),
            Err(refusal) if refusal.is_missing() => Ok(None),
            Err(refusal) => Err(refusal.into_error(&ask.what)),
        }
    }

    /// Whether there is a network of this name.
    pub(in crate::engine) async fn has_network(&self, name: &str) -> Result<bool, EngineError> {
        let ask = get(
            format!("network {name}"),
            format!("/networks/{}", encoded(name)?),
        );
        match self.api.json::<Network>(&ask).await {
            // The engine also answers to the beginning of an id.
            Ok(network) => Ok(network.name == name),
            Err(refusal) if refusal.is_missing() => Ok(false),
            Err(refusal) => Err(refusal.into_error(&ask.what)),
        }
    }

    /// Every port that a running container publishes.
    pub(in crate::engine) async fn published(&self) -> Result<Vec<PortHolder>, EngineError> {
        let what = "containers of the host";
        let ask = get(what.to_owned(), "/containers/json".to_owned());
        let listed: Result<Vec<Listed>, _> = self.api.json(&ask).await;
        let listed = listed.map_err(|refusal| refusal.into_error(what))?;
        Ok(listed.into_iter().flat_map(holders).collect())
    }
}

fn holders(container: Listed) -> Vec<PortHolder> {
    let names = container.names.unwrap_or_default();
    let name = names.first().map(String::as_str).unwrap_or_default();
    let name = name.strip_prefix('/').unwrap_or(name).to_owned();
    let labels = container.labels.unwrap_or_default();
    let project = labels.get(PROJECT_LABEL).cloned().unwrap_or_default();
    let ports = container.ports.unwrap_or_default().into_iter();
    let published = ports.filter(|port| port.public > 0);
    published
        .map(|port| PortHolder {
            port: Published {
                ip: address(&port.ip),
                port: port.public,
                protocol: port.protocol,
            },
            name: name.clone(),
            project: project.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_holds_what_it_publishes() {
        let listed = json!({
            "Names": ["/shop-web-1"], "Labels": { "com.docker.compose.project": "shop" },
            "Ports": [
                { "IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
                { "IP": "::", "PrivatePort": 53, "PublicPort": 53, "Type": "udp" },
                { "PrivatePort": 443, "Type": "tcp" }
            ]
        });
        let found = holders(serde_json::from_value(listed).unwrap());
        let shown: Vec<String> = found.iter().map(|one| one.port.to_string()).collect();
        assert_eq!(shown, ["127.0.0.1:8080/tcp", "53/udp"]);
        assert_eq!(
            (found[0].name.as_str(), found[0].project.as_str()),
            ("shop-web-1", "shop")
        );
        assert!(holders(serde_json::from_value(json!({})).unwrap()).is_empty());
    }
}
