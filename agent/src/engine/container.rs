//! What an engine says about a container.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proto::event::{ContainerState, Health};
use proto::id::ServiceName;
use serde::{Deserialize, Serialize};

use crate::healthcheck::Healthcheck;
use crate::resolved::{NetworkAddress, Published};

/// So many digits of a container's id tell it from others, for Compose and for people.
pub(crate) const SHORT_ID: usize = 12;

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
    /// Ports of the host that it publishes; it holds them while it is up.
    #[serde(default)]
    pub published: BTreeSet<Published>,
    /// Whether it has the host's own network.
    #[serde(default)]
    pub host_network: bool,
    /// Its addresses in each network, by the engine's name of the network.
    #[serde(default)]
    pub endpoints: BTreeSet<NetworkAddress>,
    /// Published ports, as `docker ps` spells them: `127.0.0.1:8080->80/tcp`.
    pub ports: Vec<String>,
    /// Where the host itself reaches it; nowhere without a network, or before it has started.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

impl Container {
    /// Whether it holds what it publishes: a container that is paused, or between a crash and its next start, does.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(
            self.state,
            ContainerState::Running | ContainerState::Restarting | ContainerState::Paused
        )
    }

    /// Whether it is there and will not do: who waits for its health waits in vain, and `up` leaves it as it is.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        match self.state {
            ContainerState::Running => self.health == Health::Unhealthy,
            ContainerState::Restarting | ContainerState::Dead => true,
            // `up` starts these.
            ContainerState::Created | ContainerState::Exited => false,
            ContainerState::Paused | ContainerState::Removing => false,
        }
    }

    /// The beginning of the replaced container's id and the name that this one is to have, where a killed Compose has
    /// left it half made.
    ///
    /// Compose makes `<first 12 digits of the old id>_<name>`, removes the old container, and renames the new one. It
    /// labels that with what it replaces: 2.26 with the id of the old one, 2.40 with the end of its name.
    #[must_use]
    pub fn half_made(&self) -> Option<(&str, &str)> {
        let replaces = self.replaces.as_deref()?;
        let (old, name) = self.name.split_once('_')?;
        let is_id = replaces.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (by_id, by_name) = (is_id && replaces.starts_with(old), name.ends_with(replaces));
        (old.len() == SHORT_ID && (by_id || by_name)).then_some((old, name))
    }
}
