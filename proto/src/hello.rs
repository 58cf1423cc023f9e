//! The handshake: which protocols each side speaks, and what a host is.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::id::HostName;
use crate::role::Role;

/// The protocols this build speaks, oldest and newest.
pub const PROTOCOL: ProtocolRange = ProtocolRange { min: 1, max: 1 };

/// A closed range of protocol numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProtocolRange {
    /// Oldest.
    pub min: u32,
    /// Newest.
    pub max: u32,
}

/// The two builds share no protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "controller {controller} speaks protocol {}, agent {agent} on {host} speaks {}: upgrade the {older}",
    show(*.ours), show(*.theirs)
)]
pub struct VersionSkew {
    /// The controller's version.
    pub controller: String,
    /// The agent's version.
    pub agent: String,
    /// Where the agent is.
    pub host: String,
    /// What the controller speaks.
    pub ours: ProtocolRange,
    /// What the agent speaks.
    pub theirs: ProtocolRange,
    /// Which side is behind.
    pub older: &'static str,
}

fn show(range: ProtocolRange) -> String {
    if range.min == range.max {
        range.min.to_string()
    } else {
        format!("{} to {}", range.min, range.max)
    }
}

impl ProtocolRange {
    /// The newest protocol that both ranges hold.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

/// A program that the agent depends on: its version, or why it cannot be used.
pub type Component = Result<String, String>;

/// What an agent can do that the first ones could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Several env files in one stack.
    EnvFiles,
    /// Compose files whose relative paths start below the stack's folder.
    ProjectFolder,
}

impl Feature {
    /// Those of this build.
    pub const ALL: [Self; 2] = [Self::EnvFiles, Self::ProjectFolder];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EnvFiles => "env-files",
            Self::ProjectFolder => "project-folder",
        }
    }
}

/// What a host told about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The agent's own version.
    pub agent_version: String,
    /// What it speaks.
    pub protocol: ProtocolRange,
    /// Who it says it is; the certificate has already proved it.
    pub host: HostName,
    /// As image platforms spell it.
    pub os: String,
    /// As image platforms spell it.
    pub architecture: String,
    /// Docker.
    pub engine: Component,
    /// Compose.
    pub compose: Component,
    /// Bytes in one message.
    pub message_limit: u64,
    /// Bytes in one stack's files.
    pub bundle_limit: u64,
    /// Files in one stack.
    pub file_limit: u32,
    /// Who the agent takes the caller for.
    pub operator: String,
    /// With which role.
    pub role: Role,
    /// How long it is what it says; `None` from an agent that cannot renew.
    pub credentials: Option<Credentials>,
    /// Which agent runs, as [`NewAgent::build`](crate::upgrade::NewAgent::build) tells it; empty for one that was not
    /// installed as such.
    pub build: String,
    /// Another one with each start of the agent; empty from those that do not tell.
    pub instance: String,
    /// What it can do that the first agents could not; features that this build does not know are left out.
    pub features: BTreeSet<Feature>,
}

/// How long a host is what it says, and whom it no longer believes. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// When the host's certificate begins.
    pub begins: u64,
    /// When it ends.
    pub expires: u64,
    /// The number of the list of revoked operators that is in use.
    pub list: u64,
    /// When there should be a newer one.
    pub list_due: u64,
    /// Names all authorities that the host believes, as [`trust::fingerprint`](crate::trust::fingerprint) does; empty
    /// from an agent whose authorities cannot be changed over the network.
    pub authorities: String,
    /// Names the hosts' authority that signed the host's certificate, as [`trust::name`](crate::trust::name) does.
    pub signer: String,
}

/// The protocol to speak, or the sentence that says why there is none.
///
/// # Errors
/// When the ranges do not meet.
pub fn negotiate(
    controller: &str,
    ours: ProtocolRange,
    agent: &str,
    theirs: ProtocolRange,
    host: &str,
) -> Result<u32, VersionSkew> {
    ours.common(theirs).ok_or_else(|| VersionSkew {
        controller: controller.to_owned(),
        agent: agent.to_owned(),
        host: host.to_owned(),
        ours,
        theirs,
        older: if ours.max < theirs.min {
            "controller"
        } else {
            "agent"
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: u32, max: u32) -> ProtocolRange {
        ProtocolRange { min, max }
    }

    #[test]
    fn the_newest_common_protocol_wins() {
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(1, 1).common(range(2, 5)), None);
    }

    #[test]
    fn skew_is_a_sentence_that_names_who_is_behind() {
        let skew = negotiate("0.1.0", range(1, 1), "0.9.0", range(2, 3), "emilia").unwrap_err();
        assert_eq!(
            skew.to_string(),
            "controller 0.1.0 speaks protocol 1, agent 0.9.0 on emilia speaks 2 to 3: upgrade the controller"
        );
    }
}
