//! Containers: those of a project, looked at one by one, and what is done to one of them.

use std::time::Duration;

use futures_util::stream::{StreamExt as _, iter};
use proto::id::ProjectName;
use serde_json::json;

use super::api::{Api, Ask, Refusal};
use super::inspect::{Inspected, Listed};
use super::request::encoded;
use super::{Docker, REMOVAL, act, get, label};
use crate::engine::{Container, EngineError};

/// What the engine gives a container between TERM and KILL that does not say how much it wants.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// Inspections under way at once.
const INSPECTIONS: usize = 8;

impl Docker {
    /// The project's containers, by name.
    pub(in crate::engine) async fn containers(
        &self,
        project: &ProjectName,
    ) -> Result<Vec<Container>, EngineError> {
        let what = format!("containers of {project}");
        let ask = Ask {
            query: vec![
                ("all", "1".to_owned()),
                ("filters", json!({ "label": [label(project)] }).to_string()),
            ],
            ..get(what.clone(), "/containers/json".to_owned())
        };
        let listed: Result<Vec<Listed>, _> = self.api.json(&ask).await;
        let listed = listed.map_err(|refusal| refusal.into_error(&what))?;
        let mut inspections = iter(listed)
            .map(|listed| async move { inspect_container(&self.api, &listed.id).await })
            .buffer_unordered(INSPECTIONS);
        let mut containers: Vec<Container> = Vec::new();
        let mut sharing = Vec::new();
        while let Some(inspected) = inspections.next().await {
            match inspected {
                Ok(inspected) => {
                    let other = inspected.shares_network_of();
                    let container = inspected.into_container();
                    let own = container.as_ref().map(|it| it.id.clone());
                    sharing.extend(own.zip(other));
                    containers.extend(container);
                }
                // Gone between the list and the look.
                Err(refusal) if refusal.is_missing() => {}
                Err(refusal) => return Err(refusal.into_error(&what)),
            }
        }
        share_addresses(&mut containers, &sharing);
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(containers)
    }

    /// Stops one container within its own grace period.
    pub(in crate::engine) async fn stop_container(&self, id: &str) -> Result<(), EngineError> {
        let what = format!("stopping container {id}");
        let grace = match inspect_container(&self.api, id).await {
            Ok(inspected) => inspected.stop_grace(),
            Err(refusal) if refusal.is_missing() => return Ok(()),
            // The stop itself tells what is wrong.
            Err(_) => None,
        };
        let grace = grace.unwrap_or(STOP_GRACE);
        let stop = Ask {
            method: "POST",
            deadline: grace + REMOVAL,
            ..get(what, format!("/containers/{}/stop", encoded(id)?))
        };
        self.act_if_there(&stop).await
    }

    /// Starts one container.
    pub(in crate::engine) async fn start_container(&self, id: &str) -> Result<(), EngineError> {
        let start = Ask {
            method: "POST",
            deadline: REMOVAL,
            ..get(
                format!("starting container {id}"),
                format!("/containers/{}/start", encoded(id)?),
            )
        };
        act(&self.api, &start).await
    }

    /// Stops and removes one container; its anonymous volumes stay.
    pub(in crate::engine) async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        self.stop_container(id).await?;
        let remove = Ask {
            method: "DELETE",
            // It may have been started again, or be paused.
            query: vec![("force", "1".to_owned())],
            deadline: REMOVAL,
            ..get(
                format!("removing container {id}"),
                format!("/containers/{}", encoded(id)?),
            )
        };
        self.act_if_there(&remove).await
    }

    async fn act_if_there(&self, ask: &Ask<'_>) -> Result<(), EngineError> {
        match self.api.bytes(ask).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_missing() => Ok(()),
            // Somebody else is removing it.
            Err(Refusal::Status(409, text)) if text.contains("already in progress") => Ok(()),
            Err(refusal) => Err(refusal.into_error(&ask.what)),
        }
    }

    /// Gives a container another name.
    pub(in crate::engine) async fn rename_container(
        &self,
        id: &str,
        name: &str,
    ) -> Result<(), EngineError> {
        let ask = Ask {
            method: "POST",
            query: vec![("name", name.to_owned())],
            ..get(
                format!("renaming container {id}"),
                format!("/containers/{}/rename", encoded(id)?),
            )
        };
        act(&self.api, &ask).await
    }
}

/// A container in another one's network is reached where that one is.
fn share_addresses(containers: &mut [Container], sharing: &[(String, String)]) {
    for (own, other) in sharing {
        let there = containers.iter().find(|it| it.id == *other);
        let Some(there) = there.map(|it| it.addresses.clone()) else {
            continue;
        };
        if let Some(container) = containers.iter_mut().find(|it| it.id == *own) {
            container.addresses = there;
        }
    }
}

pub(super) async fn inspect_container(api: &Api, id: &str) -> Result<Inspected, Refusal> {
    let name = encoded(id).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let ask = get(
        format!("container {id}"),
        format!("/containers/{name}/json"),
    );
    api.json(&ask).await
}
