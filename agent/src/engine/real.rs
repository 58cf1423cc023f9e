//! The engine in production: Docker by its socket, Compose by its plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use proto::id::{ProjectName, ServiceName};
use proto::plan::Disk;
use proto::registry::RegistryAuth;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::compose::Compose;
use super::docker::Docker;
use super::listening;
use super::{
    Attach, Belongings, ComposeProject, Container, Engine, EngineError, EngineFacts, ExecEnd,
    ExistingVolume, HostContainer, Layer, LayerProgress, Listener, LocalImage, LogRange, Named,
    Nudge, Once, Placeholders, Pull, RawLine, RemoteImage, Resolution, Run, Up,
};
use crate::witness;

/// Where Docker and Compose are.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The plugin binary; `None` looks where packages put it.
    pub plugin: Option<PathBuf>,
    /// The engine's socket.
    pub socket: PathBuf,
    /// A folder of our own, made when it is missing, that stays empty: Compose's working directory, its
    /// configuration and its search path, so that it finds nothing there that steers it.
    pub empty: PathBuf,
    /// What `~` and `${HOME}` mean in Compose files; `None`: the empty folder.
    pub home: Option<PathBuf>,
}

/// Docker and Compose of this host.
pub struct RealEngine {
    docker: Docker,
    compose: Compose,
}

impl RealEngine {
    /// Looks for neither: both may be installed or started later, and each call finds out anew.
    #[must_use]
    pub fn new(settings: EngineSettings) -> Self {
        Self {
            docker: Docker::new(settings.socket.clone()),
            compose: Compose::new(settings),
        }
    }
}

/// A call that changes what is outside the state directory.
async fn between<T>(what: &'static str, call: impl Future<Output = T>) -> T {
    witness::reached("before", what);
    let done = call.await;
    witness::reached("after", what);
    done
}

#[async_trait]
impl Engine for RealEngine {
    async fn facts(&self) -> Result<EngineFacts, EngineError> {
        self.docker.facts().await
    }

    async fn compose_version(&self) -> Result<String, EngineError> {
        self.compose.version().await
    }

    async fn named(
        &self,
        project: &ComposeProject,
        placeholders: Placeholders<'_>,
    ) -> Result<Named, EngineError> {
        self.compose.named(project, placeholders).await
    }

    async fn resolve(&self, project: &ComposeProject) -> Result<Resolution, EngineError> {
        self.compose.resolve(project).await
    }

    async fn config_hashes(
        &self,
        project: &ComposeProject,
    ) -> Result<BTreeMap<ServiceName, String>, EngineError> {
        self.compose.config_hashes(project).await
    }

    async fn containers(&self, project: &ProjectName) -> Result<Vec<Container>, EngineError> {
        self.docker.containers(project).await
    }

    async fn image(&self, reference: &str) -> Result<Option<LocalImage>, EngineError> {
        self.docker.image(reference).await
    }

    async fn remote_image(
        &self,
        reference: &str,
        here: Option<&LocalImage>,
        auth: Option<&RegistryAuth>,
    ) -> Result<RemoteImage, EngineError> {
        self.docker.remote_image(reference, here, auth).await
    }

    async fn layers(
        &self,
        reference: &str,
        digest: &str,
        platform: &str,
        auth: Option<&RegistryAuth>,
    ) -> Option<Vec<Layer>> {
        self.docker.layers(reference, digest, platform, auth).await
    }

    async fn disk(&self) -> Result<Disk, EngineError> {
        self.docker.disk().await
    }

    async fn belongings(&self, project: &ProjectName) -> Result<Belongings, EngineError> {
        self.docker.belongings(project).await
    }

    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        between("remove", self.docker.remove_network(name)).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        between("remove", self.docker.remove_volume(name)).await
    }

    async fn volume(&self, name: &str) -> Result<Option<ExistingVolume>, EngineError> {
        self.docker.volume(name).await
    }

    async fn has_network(&self, name: &str) -> Result<bool, EngineError> {
        self.docker.has_network(name).await
    }

    async fn host_containers(&self) -> Result<Vec<HostContainer>, EngineError> {
        self.docker.host_containers().await
    }

    async fn listening(&self, ports: BTreeSet<u16>) -> Vec<Listener> {
        listening::on(ports).await
    }

    async fn pull(
        &self,
        pull: &Pull,
        progress: mpsc::Sender<LayerProgress>,
        stop: CancellationToken,
    ) -> Result<LocalImage, EngineError> {
        between("pull", self.docker.pull(pull, progress, stop)).await
    }

    async fn up(&self, project: &ComposeProject, up: &Up, run: Run) -> Result<(), EngineError> {
        between("up", self.compose.up(project, up, run)).await
    }

    async fn down(
        &self,
        project: &ComposeProject,
        volumes: bool,
        run: Run,
    ) -> Result<(), EngineError> {
        between("down", self.compose.down(project, volumes, run)).await
    }

    async fn prepare_exec(&self, container: &str, argv: &[String]) -> Result<String, EngineError> {
        self.docker.prepare_exec(container, argv).await
    }

    async fn run_exec(&self, exec: &str, attach: Attach) -> Result<i64, EngineError> {
        self.docker.run_exec(exec, attach).await
    }

    async fn end_exec(&self, exec: &str) -> Result<(), EngineError> {
        self.docker.end_exec(exec).await
    }

    async fn run_once(
        &self,
        project: &ComposeProject,
        once: &Once,
        attach: Attach,
    ) -> Result<i64, EngineError> {
        let ended = self.compose.run_once(project, once, attach).await;
        // Compose removes it only if it lives to do so.
        self.docker.remove_container(&once.name).await?;
        ended
    }

    async fn stop_container(&self, id: &str) -> Result<(), EngineError> {
        between("stop", self.docker.stop_container(id)).await
    }

    async fn start_container(&self, id: &str) -> Result<(), EngineError> {
        between("start", self.docker.start_container(id)).await
    }

    async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        between("remove", self.docker.remove_container(id)).await
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<(), EngineError> {
        between("rename", self.docker.rename_container(id, name)).await
    }

    async fn tag(&self, image: &str, reference: &str) -> Result<(), EngineError> {
        between("tag", self.docker.tag(image, reference)).await
    }

    async fn untag(&self, reference: &str) -> Result<(), EngineError> {
        between("untag", self.docker.untag(reference)).await
    }

    async fn names(&self, repository: &str) -> Result<Vec<String>, EngineError> {
        self.docker.names(repository).await
    }

    async fn end_leftovers(&self) -> Result<(), EngineError> {
        self.compose.end_leftovers().await
    }

    async fn nudges(
        &self,
        project: &ProjectName,
    ) -> Result<BoxStream<'static, Nudge>, EngineError> {
        self.docker.nudges(project).await
    }

    async fn probe_exec(
        &self,
        container: &str,
        argv: &[String],
        deadline: Duration,
    ) -> Result<ExecEnd, EngineError> {
        self.docker.probe_exec(container, argv, deadline).await
    }

    async fn logs(
        &self,
        container: &str,
        range: LogRange,
    ) -> Result<BoxStream<'static, Result<RawLine, EngineError>>, EngineError> {
        self.docker.logs(container, &range).await
    }
}
