//! What else is on the host: volumes, networks, ports that other containers publish.

use std::collections::BTreeMap;

use proto::id::ProjectName;
use serde::Deserialize;
use serde_json::json;

use super::api::{Ask, Refusal};
use super::inspect::PROJECT_LABEL;
use super::request::encoded;
use super::{Docker, REMOVAL, get, label};
use crate::engine::{Belongings, EngineError, ExistingVolume, HostContainer};
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
struct WithName {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    #[serde(default)]
    volumes: Option<Vec<WithName>>,
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
        match self.api.json::<WithName>(&ask).await {
            // The engine also answers to the beginning of an id.
            Ok(network) => Ok(network.name == name),
            Err(refusal) if refusal.is_missing() => Ok(false),
            Err(refusal) => Err(refusal.into_error(&ask.what)),
        }
    }

    /// The networks and volumes that carry the project's label.
    pub(in crate::engine) async fn belongings(
        &self,
        project: &ProjectName,
    ) -> Result<Belongings, EngineError> {
        let what = format!("networks and volumes of {project}");
        let ask = |path: &str| Ask {
            query: vec![("filters", json!({ "label": [label(project)] }).to_string())],
            ..get(what.clone(), path.to_owned())
        };
        let (networks, volumes) = (ask("/networks"), ask("/volumes"));
        let (networks, volumes) = tokio::join!(
            self.api.json::<Vec<WithName>>(&networks),
            self.api.json::<Volumes>(&volumes)
        );
        let failed = |refusal: Refusal| refusal.into_error(&what);
        let networks = networks.map_err(failed)?.into_iter();
        let volumes = volumes.map_err(failed)?.volumes.unwrap_or_default();
        Ok(Belongings {
            networks: networks.map(|it| it.name).collect(),
            volumes: volumes.into_iter().map(|it| it.name).collect(),
        })
    }

    /// Removes a network.
    pub(in crate::engine) async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.remove(format!("removing network {name}"), "networks", name)
            .await
    }

    /// Removes a volume with its data.
    pub(in crate::engine) async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        self.remove(format!("removing volume {name}"), "volumes", name)
            .await
    }

    async fn remove(&self, what: String, kind: &str, name: &str) -> Result<(), EngineError> {
        let ask = Ask {
            method: "DELETE",
            deadline: REMOVAL,
            ..get(what, format!("/{kind}/{}", encoded(name)?))
        };
        match self.api.bytes(&ask).await {
            Err(refusal) if !refusal.is_missing() => Err(refusal.into_error(&ask.what)),
            _ => Ok(()),
        }
    }

    /// Every container of the host.
    pub(in crate::engine) async fn host_containers(
        &self,
    ) -> Result<Vec<HostContainer>, EngineError> {
        let what = "containers of the host";
        let ask = Ask {
            query: vec![("all", "1".to_owned())],
            ..get(what.to_owned(), "/containers/json".to_owned())
        };
        let listed: Result<Vec<Listed>, _> = self.api.json(&ask).await;
        let listed = listed.map_err(|refusal| refusal.into_error(what))?;
        Ok(listed.into_iter().map(HostContainer::from).collect())
    }
}

impl From<Listed> for HostContainer {
    fn from(container: Listed) -> Self {
        // A link has a name below that of the container that uses it.
        let names = container.names.unwrap_or_default();
        let mut names = names.iter().map(|name| name.trim_start_matches('/'));
        let labels = container.labels.unwrap_or_default();
        let ports = container.ports.unwrap_or_default().into_iter();
        let published = ports.filter(|port| port.public > 0);
        Self {
            name: names
                .find(|name| !name.contains('/'))
                .unwrap_or_default()
                .to_owned(),
            project: labels.get(PROJECT_LABEL).cloned().unwrap_or_default(),
            published: published
                .map(|port| Published {
                    ip: address(&port.ip),
                    port: port.public,
                    protocol: port.protocol,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_holds_what_it_publishes() {
        let listed = json!({
            "Names": ["/other/web", "/shop-web-1"], "Labels": { "com.docker.compose.project": "shop" },
            "Ports": [
                { "IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp" },
                { "IP": "::", "PrivatePort": 53, "PublicPort": 53, "Type": "udp" },
                { "PrivatePort": 443, "Type": "tcp" }
            ]
        });
        let read =
            |listed| -> HostContainer { serde_json::from_value::<Listed>(listed).unwrap().into() };
        let found = read(listed);
        let shown: Vec<String> = found.published.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:8080/tcp", "53/udp"]);
        assert_eq!(
            (found.name.as_str(), found.project.as_str()),
            ("shop-web-1", "shop")
        );
        assert!(read(json!({})).published.is_empty());
    }
}
