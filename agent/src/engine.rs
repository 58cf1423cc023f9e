//! The one seam between longshore and what runs containers: Docker and Compose in production, a script in tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use proto::event::{ContainerState, Health, LayerPhase};
use proto::id::{ProjectName, ServiceName};
use proto::log::Stream;
use proto::plan::Disk;
use proto::registry::RegistryAuth;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::resolved::Published;

use crate::healthcheck::Healthcheck;

mod compose;
mod docker;
mod error;
mod listening;
mod real;
#[cfg(any(test, feature = "test-util"))]
pub mod scripted;

pub use crate::process::Printed;
pub use error::EngineError;
pub use real::{EngineSettings, RealEngine};

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

/// How Compose is to read a project: every field becomes an explicit argument.
#[derive(Clone)]
pub struct ComposeProject {
    /// `-p`.
    pub name: ProjectName,
    /// `--project-directory`; relative paths of the files start here.
    pub directory: PathBuf,
    /// `-f`, absolute, in merge order.
    pub files: Vec<PathBuf>,
    /// `--env-file`, absolute; only the stack's own `.env`.
    pub env_file: Option<PathBuf>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// The whole environment of the child beside what Compose itself needs.
    pub environment: Vec<(String, String)>,
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

/// One container of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    /// From Compose's label.
    pub service: ServiceName,
    /// Compose's container number, from 1.
    pub number: u32,
    /// A `compose run` container: never part of what is judged or counted.
    pub one_off: bool,
    /// What the engine says.
    pub state: ContainerState,
    /// What its healthcheck says.
    pub health: Health,
    /// The newest healthcheck output, cut to its last 4 KiB.
    pub health_output: String,
    /// When the newest healthcheck ended, unix milliseconds; 0 when none has.
    #[serde(default)]
    pub health_at_millis: u64,
    /// How the engine checks it, whether its image or its service says so.
    #[serde(default)]
    pub check: Option<Healthcheck>,
    /// Meaningful when exited.
    pub exit_code: i64,
    /// How often the engine's restart policy has started it again.
    pub restarts: u64,
    /// The name it was made from.
    pub image: String,
    /// `sha256:…` of the image it was made from.
    pub image_id: String,
    /// Compose's `config-hash` label.
    pub config_hash: String,
    /// Compose's `project.working_dir` label.
    pub working_dir: String,
    /// Compose's `project.config_files` label, in merge order.
    #[serde(default)]
    pub config_files: Vec<String>,
    /// Compose's `project.environment_file` label: what `--env-file` named; empty when nothing did.
    #[serde(default)]
    pub env_files: Vec<String>,
    /// The id of the container that Compose made this one for, when it replaced one.
    pub replaces: Option<String>,
    /// Unix milliseconds; 0 when never started.
    pub started_at_millis: u64,
    /// Published ports, as `docker ps` spells them: `127.0.0.1:8080->80/tcp`.
    pub ports: Vec<String>,
    /// Where the host itself reaches it; nowhere without a network, or before it has started.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

/// How a program in a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecEnd {
    /// Its exit code.
    pub exit_code: i64,
    /// The last 4 KiB of what it printed on both outputs.
    pub output: String,
}

/// An image in the engine's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// As image platforms spell it.
    pub os: String,
    /// As image platforms spell it.
    pub architecture: String,
    /// `name@sha256:…` as pulled.
    pub digests: Vec<String>,
}

impl LocalImage {
    /// Whether it is what a registry has under this `sha256:…`.
    #[must_use]
    pub fn has_digest(&self, digest: &str) -> bool {
        // Some engines name an image by the digest of its manifest.
        let mut known = self.digests.iter().filter_map(|name| name.split_once('@'));
        self.id == digest || known.any(|(_, known)| known == digest)
    }
}

/// What a registry says a name means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteImage {
    /// `sha256:…` of the manifest or index.
    pub digest: String,
    /// `os/architecture` or `os/architecture/variant`; empty when the registry did not say.
    pub platforms: Vec<String>,
}

/// A volume of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingVolume {
    /// What keeps it.
    pub driver: String,
    /// What its driver was told. May hold a password.
    pub options: BTreeMap<String, String>,
}

/// Who holds a port of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// Which port.
    pub port: Published,
    /// A container's name, or the name of a program.
    pub name: String,
    /// The project that a container belongs to; empty for containers without one, and for programs.
    pub project: String,
}

/// A layer of an image in its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:…` as it is sent.
    pub digest: String,
    /// Its size as it is sent.
    pub bytes: u64,
}

/// What is being pulled.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The readable name, which is tagged locally afterwards.
    pub reference: String,
    /// What to fetch: `sha256:…`; `None` takes what the name means now.
    pub digest: Option<String>,
    /// `os/architecture` the image must be of.
    pub platform: String,
    /// The login, if there is one.
    pub auth: Option<RegistryAuth>,
}

/// A layer's progress during a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProgress {
    /// Short digest.
    pub layer: String,
    /// What is happening to it.
    pub phase: LayerPhase,
    /// Bytes so far.
    pub current: u64,
    /// Bytes in all; 0 when unknown.
    pub total: u64,
}

/// What `up` is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Up {
    /// Only these, without what they depend on; empty: the whole project.
    pub only: Vec<ServiceName>,
    /// Make containers anew though Compose sees no change.
    pub force_recreate: bool,
}

/// A bounded child of ours: where its lines go, when it must be over, who may stop it.
#[derive(Clone)]
pub struct Run {
    /// Lines of both outputs, sanitised of nothing. When the queue is full the child waits.
    pub lines: mpsc::Sender<String>,
    /// The child's group is told to end by then, and killed 5 s later.
    pub deadline: Duration,
    /// Ends the child's group the same way.
    pub stop: CancellationToken,
}

/// A command in a container: where its output goes, when it must be over, who may end it.
#[derive(Clone)]
pub struct Attach {
    /// What it prints. When the queue is full the command waits.
    pub output: mpsc::Sender<Printed>,
    /// Every process of it is gone soon after.
    pub deadline: Duration,
    /// Ends it the same way.
    pub stop: CancellationToken,
}

/// A command in a container of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The service that the container is of.
    pub service: ServiceName,
    /// The container's name, by which one that was left can be found.
    pub name: String,
    /// The program and its arguments, as they are.
    pub argv: Vec<String>,
}

/// Which of a container's log lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRange {
    /// Keep going until the container is gone.
    pub follow: bool,
    /// Lines from the end; `None`: all.
    pub tail: Option<u32>,
    /// Unix nanoseconds, inclusive.
    pub since_nanos: Option<i64>,
    /// Unix nanoseconds.
    pub until_nanos: Option<i64>,
}

/// A line as the container wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLine {
    /// Which output.
    pub stream: Stream,
    /// The engine's timestamp, unix nanoseconds.
    pub at_nanos: i64,
    /// Without the newline; lines over 1 MiB come in pieces.
    pub text: Vec<u8>,
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

    /// The file paths that the project's files name, uninterpolated, as written: env files, configs, secrets and
    /// bind sources that are relative. Paths with variables in them are left out.
    async fn named_paths(&self, project: &ComposeProject) -> Result<Vec<String>, EngineError>;

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

    /// A volume by its name.
    async fn volume(&self, name: &str) -> Result<Option<ExistingVolume>, EngineError>;

    /// Whether there is a network of this name.
    async fn has_network(&self, name: &str) -> Result<bool, EngineError>;

    /// Every port of the host that a running container publishes, whatever project it belongs to.
    async fn published(&self) -> Result<Vec<PortHolder>, EngineError>;

    /// Programs of the host that listen on one of these ports, containers' among them. What cannot be found out is
    /// left out.
    async fn listening(&self, ports: BTreeSet<u16>) -> Vec<PortHolder>;

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

    /// Stops (10 s of grace) and removes one container; gone already is success.
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
