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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BlobId;

    #[test]
    fn a_new_agent_is_described_or_refused() {
        let agent = NewAgent {
            version: "0.2.0".to_owned(),
            architecture: "arm64".to_owned(),
            size: 7_000_000,
            digest: BlobId::from_bytes([0xab; 32]),
        };
        assert_eq!(agent.build(), "0.2.0-abababab");
        let sent = wire::NewAgent::from(agent.clone());
        assert_eq!(NewAgent::try_from(sent.clone()).unwrap(), agent);
        let bad = [
            wire::NewAgent {
                version: "../../bin/sh".to_owned(),
                ..sent.clone()
            },
            wire::NewAgent {
                size: 0,
                ..sent.clone()
            },
            wire::NewAgent {
                size: u64::MAX,
                ..sent.clone()
            },
            wire::NewAgent {
                digest: vec![1; 31],
                ..sent
            },
        ];
        for bad in bad {
            assert!(NewAgent::try_from(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
