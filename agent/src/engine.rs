//! The one seam between longshore and what runs containers: Docker and Compose in production, a script in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use proto::id::{ProjectName, ServiceName};
use proto::path::RelPath;
use proto::plan::Disk;
use proto::registry::RegistryAuth;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::resolved::Published;

mod compose;
mod container;
mod docker;
mod error;
mod image;
mod listening;
mod log;
mod real;
#[cfg(any(test, feature = "test-util"))]
pub mod scripted;
mod work;

pub use crate::process::Printed;
pub use container::Container;
pub(crate) use container::SHORT_ID;
pub use error::{EngineError, Unwilling};
pub use image::{Layer, LayerProgress, LocalImage, Pull, RemoteImage};
pub use log::{LogRange, RawLine};
pub use real::{EngineSettings, RealEngine};
pub use work::{Attach, ComposeProject, Once, Run, Up};

#[cfg(feature = "test-util")]
#[doc(hidden)]
pub mod intake {
    //! What reads the answers of Docker and Compose, for tests outside this crate.
    pub use super::compose::intake as compose;
    pub use super::docker::intake as docker;
}

/// What an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFacts {
    /// Docker's version.
    pub version: String,
    /// As image platforms spell it.
    pub os: String,
    /// As image platforms spell it: `amd64`, `arm64`.
    pub architecture: String,
}

/// Empty files that stand for those that could be brought: whether Compose opens one tells whether it is needed.
#[derive(Debug, Clone, Copy)]
pub struct Placeholders<'a> {
    /// The folder that they lie in.
    pub root: &'a Path,
    /// Where, below it.
    pub paths: &'a BTreeSet<RelPath>,
    /// A folder that holds nothing but the project: a path within was written as a relative one.
    pub private: &'a Path,
}

impl<'a> Placeholders<'a> {
    /// None at all, in a project that has a folder for itself.
    #[must_use]
    pub fn none(private: &'a Path) -> Self {
        static NONE: BTreeSet<RelPath> = BTreeSet::new();
        Self {
            root: private,
            paths: &NONE,
            private,
        }
    }
}

/// What a project's files name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Files, as written: env files, configs, secrets and bind sources that are relative. Paths with variables in them
    /// are left out.
    pub paths: Vec<String>,
    /// Placeholders that Compose opened. Without what they stand for, everything else here may be incomplete.
    #[serde(default)]
    pub opened: BTreeSet<RelPath>,
    /// What the project is called, where that was asked for.
    #[serde(default)]
    pub project: Option<ProjectName>,
    /// Services, those of inactive profiles too.
    pub services: BTreeSet<ServiceName>,
    /// Files of the host that Compose reads, or that are mounted as configs and secrets, by their absolute paths.
    #[serde(default)]
    pub host_files: BTreeSet<PathBuf>,
    /// Whether there may be more of those: Compose shows env files only where it reads the files without values.
    #[serde(default)]
    pub more_host_files: bool,
}

/// What Compose made of a project's files.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// `config --format json`, as it came.
    pub config: serde_json::Value,
    /// Variables that the files use, that nothing defines and that have no default; sorted.
    pub undefined: Vec<String>,
    /// Other warnings, in Compose's words.
    pub warnings: Vec<String>,
}

/// How a program in a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecEnd {
    /// Its exit code.
    pub exit_code: i64,
    /// The last 4 KiB of what it printed on both outputs.
    pub output: String,
}

/// A volume of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingVolume {
    /// What keeps it.
    pub driver: String,
    /// What its driver was told. May hold a password.
    pub options: BTreeMap<String, String>,
}

/// What carries a project's label beside its containers, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belongings {
    /// Networks.
    pub networks: BTreeSet<String>,
    /// Named volumes.
    pub volumes: BTreeSet<String>,
}

/// A container of the host, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostContainer {
    /// Without the leading slash.
    pub name: String,
    /// The project that it belongs to; empty without one.
    pub project: String,
    /// Ports of the host that it publishes now; none while it does not run.
    pub published: Vec<Published>,
}

/// A program of the host that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Which port.
    pub port: Published,
    /// `program nginx`, or whose it is where its name is hidden.
    pub name: String,
    /// The id of the container that it runs in; `None` outside of one, and where that is hidden.
    pub container: Option<String>,
    /// Whether the agent may not see which process it is.
    pub hidden: bool,
}

/// Something happened to a container of the project; look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nudge;

/// What runs containers.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Docker's facts. Cheap enough to ask for on each handshake; 5 s at most.
    async fn facts(&self) -> Result<EngineFacts, EngineError>;

    /// Compose's version, probed once per start and remembered when it is usable (v2.26 or newer).
    async fn compose_version(&self) -> Result<String, EngineError>;

    /// What the project's files name, whatever profiles are active.
    async fn named(
        &self,
        project: &ComposeProject,
        placeholders: Placeholders<'_>,
    ) -> Result<Named, EngineError>;

    /// `config --format json` for the project.
    async fn resolve(&self, project: &ComposeProject) -> Result<Resolution, EngineError>;

    /// The hash that Compose would label each service's containers with. `project` has one file: what [`Self::resolve`]
    /// gave, with its paths where they are to be; for the files themselves Compose's own answer is wrong as soon as
    /// a service has an env file.
    async fn config_hashes(
        &self,
        project: &ComposeProject,
    ) -> Result<BTreeMap<ServiceName, String>, EngineError>;

    /// All containers that carry the project's label, stopped and one-off ones too, sorted by name.
    async fn containers(&self, project: &ProjectName) -> Result<Vec<Container>, EngineError>;

    /// An image of the engine's store, by name, digest or id.
    async fn image(&self, reference: &str) -> Result<Option<LocalImage>, EngineError>;

    /// Asks the registry what a name means now. `here` is what the engine's store has under it: with it a name that
    /// still means the same is told more cheaply.
    async fn remote_image(
        &self,
        reference: &str,
        here: Option<&LocalImage>,
        auth: Option<&RegistryAuth>,
    ) -> Result<RemoteImage, EngineError>;

    /// What an image is made of for this `os/architecture`, by its digest; `None` when its registry does not say so at
    /// once.
    async fn layers(
        &self,
        reference: &str,
        digest: &str,
        platform: &str,
        auth: Option<&RegistryAuth>,
    ) -> Option<Vec<Layer>>;

    /// Room where images are kept.
    async fn disk(&self) -> Result<Disk, EngineError>;

    /// The networks and volumes that carry the project's label.
    async fn belongings(&self, project: &ProjectName) -> Result<Belongings, EngineError>;

    /// Removes a network; gone already is success.
    async fn remove_network(&self, name: &str) -> Result<(), EngineError>;

    /// Removes a volume with its data; gone already is success.
    async fn remove_volume(&self, name: &str) -> Result<(), EngineError>;

    /// A volume by its name.
    async fn volume(&self, name: &str) -> Result<Option<ExistingVolume>, EngineError>;

    /// Whether there is a network of this name.
    async fn has_network(&self, name: &str) -> Result<bool, EngineError>;

    /// Every container of the host, whatever project it belongs to, stopped ones too.
    async fn host_containers(&self) -> Result<Vec<HostContainer>, EngineError>;

    /// Programs of the host that listen on one of these ports, containers' among them. What cannot be found out is
    /// left out.
    async fn listening(&self, ports: BTreeSet<u16>) -> Vec<Listener>;

    /// Pulls, verifies by inspect that the image of the right platform is there, tags it with its readable name.
    /// Progress is dropped when the queue is full.
    async fn pull(
        &self,
        pull: &Pull,
        progress: mpsc::Sender<LayerProgress>,
        stop: CancellationToken,
    ) -> Result<LocalImage, EngineError>;

    /// `up --detach --pull never`; success says that Compose is content, nothing about health.
    async fn up(&self, project: &ComposeProject, up: &Up, run: Run) -> Result<(), EngineError>;

    /// Removes the project's containers and networks, and with `volumes` its named volumes.
    async fn down(
        &self,
        project: &ComposeProject,
        volumes: bool,
        run: Run,
    ) -> Result<(), EngineError>;

    /// Makes a command ready in a running container, without a shell; its id. Nothing runs yet.
    async fn prepare_exec(&self, container: &str, argv: &[String]) -> Result<String, EngineError>;

    /// Runs a command that was made ready; its exit code. When it must be over, or cannot be followed any more, every
    /// process of it is ended before this returns.
    async fn run_exec(&self, exec: &str, attach: Attach) -> Result<i64, EngineError>;

    /// Ends every process of a command that may still run. Gone already is success.
    async fn end_exec(&self, exec: &str) -> Result<(), EngineError>;

    /// `run --rm --no-deps`: a command in a new container of a service, from what is laid out; its exit code. The
    /// container is gone when this returns, however it ended.
    async fn run_once(
        &self,
        project: &ComposeProject,
        once: &Once,
        attach: Attach,
    ) -> Result<i64, EngineError>;

    /// Stops one container within its own grace period (`stop_grace_period`; the engine's default is 10 s). Stopped or
    /// gone already is success.
    async fn stop_container(&self, id: &str) -> Result<(), EngineError>;

    /// Starts one container; running already is success.
    async fn start_container(&self, id: &str) -> Result<(), EngineError>;

    /// Stops one container as [`Self::stop_container`] does and removes it; its volumes stay. Gone already is success.
    async fn remove_container(&self, id: &str) -> Result<(), EngineError>;

    /// Gives a container another name.
    async fn rename_container(&self, id: &str, name: &str) -> Result<(), EngineError>;

    /// Gives an image of the engine's store one more name; a name that another image had moves.
    async fn tag(&self, image: &str, reference: &str) -> Result<(), EngineError>;

    /// Takes a name away; the image goes with its last one, unless a container uses it. Gone already is success.
    async fn untag(&self, reference: &str) -> Result<(), EngineError>;

    /// Every name, with its tag, that images of the engine's store have in a repository.
    async fn names(&self, repository: &str) -> Result<Vec<String>, EngineError>;

    /// Ends every child of this engine that an earlier agent left running, and waits until they are gone.
    async fn end_leftovers(&self) -> Result<(), EngineError>;

    /// Wakes whenever a container of the project changes. Ends when the engine's event stream ends.
    async fn nudges(&self, project: &ProjectName)
    -> Result<BoxStream<'static, Nudge>, EngineError>;

    /// Runs a program in a container to its end, and gives that. At the deadline it is ended; one whose caller gives up
    /// goes on inside.
    async fn probe_exec(
        &self,
        container: &str,
        argv: &[String],
        deadline: Duration,
    ) -> Result<ExecEnd, EngineError>;

    /// One container's log lines. Dropping the stream closes it.
    async fn logs(
        &self,
        container: &str,
        range: LogRange,
    ) -> Result<BoxStream<'static, Result<RawLine, EngineError>>, EngineError>;
}
