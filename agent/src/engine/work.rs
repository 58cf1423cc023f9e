//! What an engine is told to do: on which project, with whose output going where, and until when.

use std::path::PathBuf;
use std::time::Duration;

use proto::id::{ProjectName, ServiceName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::process::Printed;

/// How Compose is to read a project: every field becomes an explicit argument.
#[derive(Clone)]
pub struct ComposeProject {
    /// `-p`.
    pub name: ProjectName,
    /// Leave `-p` out: the files name the project, or else the project directory does.
    pub unnamed: bool,
    /// `--project-directory`, and `PWD`; relative paths of the files start here.
    pub directory: PathBuf,
    /// `-f`, absolute, in merge order.
    pub files: Vec<PathBuf>,
    /// `--env-file`, absolute: the stack's own `.env`, or what it has instead.
    pub env_files: Vec<PathBuf>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// The whole environment of the child beside what Compose itself needs.
    pub environment: Vec<(String, String)>,
}

/// What `up` is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Up {
    /// Only these, and what they depend on; empty: the whole project.
    pub only: Vec<ServiceName>,
    /// Leave what they depend on alone. Compose before 2.29.3 labels containers with another hash then, and makes
    /// them anew in the next run without this.
    pub no_deps: bool,
    /// Recreate the containers of `only` though Compose sees no change.
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
