//! The Docker engine: what it is asked, in the terms of the engine seam.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _};
use proto::id::ProjectName;
use proto::plan::Disk;
use proto::registry::RegistryAuth;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::api::{Api, Ask, Refusal};
use self::direct::Direct;
use self::inspect::{InspectedImage, Named, PROJECT_LABEL};
use self::reference::Reference;
use self::request::encoded;
use super::{
    Attach, EngineError, EngineFacts, ExecEnd, Layer, LayerProgress, LocalImage, LogRange, Nudge,
    Pull, RawLine, RemoteImage,
};

mod api;
mod banner;
mod causes;
mod command;
mod containers;
mod demux;
mod direct;
mod exec;
mod frames;
mod inspect;
#[cfg(feature = "test-util")]
pub mod intake;
mod logs;
mod nudges;
mod outside;
mod pull;
pub(super) mod reference;
mod registry;
mod request;
mod stamp;
#[cfg(test)]
mod tests;
mod version;

/// For what the engine only has to look up. A busy one needs seconds.
const QUICK: Duration = Duration::from_secs(15);
/// The engine's own work around a stop or a removal.
const REMOVAL: Duration = Duration::from_secs(60);
/// What makes a container look different. Healthchecks cause events of other kinds at every interval.
const EVENTS: &[&str] = &[
    "create",
    "start",
    "restart",
    "die",
    "oom",
    "stop",
    "kill",
    "pause",
    "unpause",
    "rename",
    "update",
    "destroy",
    "health_status",
];

/// The engine behind a socket.
pub(super) struct Docker {
    api: Api,
    direct: Direct,
}

impl Docker {
    /// Connects to nothing yet.
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            api: Api::new(socket),
            direct: Direct::default(),
        }
    }

    /// What the engine is.
    pub(super) async fn facts(&self) -> Result<EngineFacts, EngineError> {
        let version = self.api.version().await;
        let version = version.map_err(|refusal| refusal.into_error("docker version"))?;
        if version::too_old(&version.api_version) {
            return Err(EngineError::EngineTooOld(version.version));
        }
        Ok(EngineFacts {
            version: version.version,
            os: version.os,
            architecture: version.arch,
        })
    }

    /// An image of the engine's store.
    pub(super) async fn image(&self, reference: &str) -> Result<Option<LocalImage>, EngineError> {
        image(&self.api, reference).await
    }

    /// What a registry says a name means.
    pub(super) async fn remote_image(
        &self,
        reference: &str,
        here: Option<&LocalImage>,
        auth: Option<&RegistryAuth>,
    ) -> Result<RemoteImage, EngineError> {
        if let Some(here) = here
            && let Some(same) = self.unchanged(reference, here, auth).await
        {
            return Ok(same);
        }
        registry::remote_image(&self.api, reference, auth).await
    }

    /// The image of a name that still means in its registry what it means here, where that is quickly told.
    async fn unchanged(
        &self,
        reference: &str,
        here: &LocalImage,
        auth: Option<&RegistryAuth>,
    ) -> Option<RemoteImage> {
        let rules = self.api.rules().await.ok()?;
        let digest = self.direct.digest(reference, auth, &rules).await?;
        let exact = format!("{}@{digest}", Reference::parse(reference).repository);
        here.digests.contains(&exact).then(|| RemoteImage {
            digest,
            platforms: vec![format!("{}/{}", here.os, here.architecture)],
        })
    }

    /// What an image is made of, where that is quickly told.
    pub(super) async fn layers(
        &self,
        reference: &str,
        digest: &str,
        platform: &str,
        auth: Option<&RegistryAuth>,
    ) -> Option<Vec<Layer>> {
        let rules = self.api.rules().await.ok()?;
        let direct = &self.direct;
        direct
            .layers(reference, digest, platform, auth, &rules)
            .await
    }

    /// Room in the engine's own folder.
    pub(super) async fn disk(&self) -> Result<Disk, EngineError> {
        let what = "room for images";
        let rules = self.api.rules().await;
        let path = rules.map_err(|refusal| refusal.into_error(what))?.root;
        let refused = |message: String| EngineError::Api {
            what: what.to_owned(),
            message,
        };
        let (there, told) = (path.clone(), refused);
        // A file system may hang.
        let look = tokio::task::spawn_blocking(move || rustix::fs::statvfs(there.as_str()));
        let looked = tokio::time::timeout(QUICK, look).await;
        let looked = looked.map_err(|_| EngineError::TimedOut {
            what: what.to_owned(),
            after: QUICK,
        })?;
        let found = looked.map_err(|error| told(error.to_string()))?;
        let found = found.map_err(|error| refused(format!("{path}: {error}")))?;
        Ok(Disk {
            path,
            free: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    /// Pulls an image.
    pub(super) async fn pull(
        &self,
        pull: &Pull,
        progress: mpsc::Sender<LayerProgress>,
        stop: CancellationToken,
    ) -> Result<LocalImage, EngineError> {
        pull::pull(&self.api, pull, progress, stop).await
    }

    /// Makes a command ready in a running container.
    pub(super) async fn prepare_exec(
        &self,
        container: &str,
        argv: &[String],
    ) -> Result<String, EngineError> {
        command::prepare(&self.api, container, argv).await
    }

    /// Runs a command that was made ready.
    pub(super) async fn run_exec(&self, exec: &str, attach: Attach) -> Result<i64, EngineError> {
        command::run(&self.api, exec, attach).await
    }

    /// Ends a command.
    pub(super) async fn end_exec(&self, exec: &str) -> Result<(), EngineError> {
        command::end(&self.api, exec).await
    }

    /// Gives an image one more name.
    pub(super) async fn tag(&self, image: &str, reference: &str) -> Result<(), EngineError> {
        let reference = Reference::parse(reference);
        let tag = reference.tag.unwrap_or("latest");
        give_name(&self.api, image, reference.repository, tag).await
    }

    /// Takes a name away from an image.
    pub(super) async fn untag(&self, reference: &str) -> Result<(), EngineError> {
        take_name(&self.api, reference).await
    }

    /// Every name in a repository.
    pub(super) async fn names(&self, repository: &str) -> Result<Vec<String>, EngineError> {
        let what = format!("images named {repository}");
        let ask = Ask {
            query: vec![("filters", json!({ "reference": [repository] }).to_string())],
            ..get(what.clone(), "/images/json".to_owned())
        };
        let listed: Result<Vec<Named>, _> = self.api.json(&ask).await;
        let listed = listed.map_err(|refusal| refusal.into_error(&what))?;
        let mut names: Vec<String> = listed
            .into_iter()
            .flat_map(|image| image.names.unwrap_or_default())
            .filter(|name| {
                name.rsplit_once(':')
                    .is_some_and(|(at, _)| at == repository)
            })
            .collect();
        names.sort();
        Ok(names)
    }

    /// Wakes whenever a container of the project changes.
    pub(super) async fn nudges(
        &self,
        project: &ProjectName,
    ) -> Result<BoxStream<'static, Nudge>, EngineError> {
        let what = format!("events of {project}");
        let down = |refusal: Refusal| refusal.into_error(&what);
        // An engine that is not there shall be an error and not an empty stream.
        self.api.version().await.map_err(down)?;
        let filters = json!({ "type": ["container"], "label": [label(project)], "event": EVENTS });
        let ask = Ask {
            query: vec![
                // From the beginning of what the engine remembers: nothing may fall between this call and the
                // moment in which the stream is first read.
                ("since", "1".to_owned()),
                ("filters", filters.to_string()),
            ],
            ..get(what.clone(), "/events".to_owned())
        };
        let body = self.api.stream(&ask).await.map_err(down)?;
        Ok(nudges::gather(body).boxed())
    }

    /// Runs a program in a container to its end.
    pub(super) async fn probe_exec(
        &self,
        container: &str,
        argv: &[String],
        deadline: Duration,
    ) -> Result<ExecEnd, EngineError> {
        exec::run(&self.api, container, argv, deadline).await
    }

    /// One container's log lines.
    pub(super) async fn logs(
        &self,
        container: &str,
        range: &LogRange,
    ) -> Result<BoxStream<'static, Result<RawLine, EngineError>>, EngineError> {
        logs::open(&self.api, container, range).await
    }
}

fn get(what: String, path: String) -> Ask<'static> {
    Ask {
        what,
        method: "GET",
        path,
        query: Vec::new(),
        auth: None,
        body: None,
        deadline: QUICK,
    }
}

fn label(project: &ProjectName) -> String {
    format!("{PROJECT_LABEL}={project}")
}

async fn act(api: &Api, ask: &Ask<'_>) -> Result<(), EngineError> {
    let done = api.bytes(ask).await;
    done.map(drop)
        .map_err(|refusal| refusal.into_error(&ask.what))
}

async fn give_name(api: &Api, image: &str, repository: &str, tag: &str) -> Result<(), EngineError> {
    let ask = Ask {
        method: "POST",
        query: vec![("repo", repository.to_owned()), ("tag", tag.to_owned())],
        ..get(
            format!("tagging {repository}:{tag}"),
            format!("/images/{}/tag", encoded(image)?),
        )
    };
    act(api, &ask).await
}

/// Takes a name from an image; one that a container uses may keep it.
async fn take_name(api: &Api, reference: &str) -> Result<(), EngineError> {
    let ask = Ask {
        method: "DELETE",
        deadline: REMOVAL,
        ..get(
            format!("removing the image name {reference}"),
            format!("/images/{}", encoded(reference)?),
        )
    };
    match api.bytes(&ask).await {
        Err(Refusal::Status(404 | 409, _)) | Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.into_error(&ask.what)),
    }
}

async fn image(api: &Api, reference: &str) -> Result<Option<LocalImage>, EngineError> {
    let name = encoded(reference)?;
    let ask = get(format!("image {reference}"), format!("/images/{name}/json"));
    match api.json::<InspectedImage>(&ask).await {
        Ok(image) => Ok(Some(image.into())),
        Err(refusal) if refusal.is_missing() => Ok(None),
        Err(refusal) => Err(refusal.into_error(&ask.what)),
    }
}
