//! A new agent's description.

use super::{InvalidMessage, blob_from_wire, wire};
use crate::limits::AGENT_BYTES;
use crate::upgrade::{NewAgent, is_version};

impl From<NewAgent> for wire::NewAgent {
    fn from(agent: NewAgent) -> Self {
        let NewAgent {
            version,
            architecture,
            size,
            digest,
        } = agent;
        Self {
            version,
            architecture,
            size,
            digest: digest.as_bytes().to_vec(),
        }
    }
}

impl TryFrom<wire::NewAgent> for NewAgent {
    type Error = InvalidMessage;
    fn try_from(agent: wire::NewAgent) -> Result<Self, InvalidMessage> {
        let wire::NewAgent {
            version,
            architecture,
            size,
            digest,
        } = agent;
        if !is_version(&version) {
            return Err(InvalidMessage::missing("the version of an agent"));
        }
        if size == 0 || size > AGENT_BYTES {
            return Err(InvalidMessage::missing("an agent of a size that can be"));
        }
        Ok(Self {
            version,
            architecture,
            size,
            digest: blob_from_wire(&digest)?,
        })
    }
}
