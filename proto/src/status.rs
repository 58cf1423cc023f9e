//! What runs on a host.

use serde::{Deserialize, Serialize};

use crate::event::{ContainerState, Health};
use crate::id::{DeployId, ProjectName, RevisionId, ServiceName, StackName};

/// One container as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The service it belongs to.
    pub service: ServiceName,
    /// What the engine says.
    pub state: ContainerState,
    /// What its healthcheck says.
    pub health: Health,
    /// The image it was made from, as named then.
    pub image: String,
    /// Meaningful when exited.
    pub exit_code: i64,
    /// When its newest healthcheck ended, unix milliseconds; 0 when none has.
    #[serde(default)]
    pub health_at_millis: u64,
    /// Unix milliseconds; 0 when never started.
    pub started_at_millis: u64,
    /// Published ports, as `docker ps` spells them.
    pub ports: Vec<String>,
}

/// One stack on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackStatus {
    /// Which.
    pub stack: StackName,
    /// Its Compose project.
    pub project: ProjectName,
    /// What is committed.
    pub revision: Option<RevisionId>,
    /// Unix milliseconds; 0 when nothing is.
    pub committed_at_millis: u64,
    /// Who committed it.
    pub committed_by: String,
    /// Its containers, by name.
    pub containers: Vec<ContainerStatus>,
    /// The deploy that runs now.
    pub deploy: Option<DeployId>,
    /// Seconds that are left to confirm that deploy, when it waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within: Option<u32>,
    /// What runs may be no revision: the last deploy could not tell or could not bring the stack back, or the
    /// containers are not those that the current revision made.
    #[serde(default)]
    pub needs_reconcile: bool,
}
