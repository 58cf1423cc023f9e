//! ssh-agent: asked with a deadline each time, because it may wait for a person, or for ever.

use std::path::Path;
use std::time::Duration;

use russh::keys::agent::client::AgentClient;
use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use russh::keys::{HashAlg, PublicKey};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Unsigned;

/// What it knows is told at once.
const TELL: Duration = Duration::from_secs(3);
/// For a signature somebody may have to touch a key or press a button.
const SIGN: Duration = Duration::from_secs(60);

/// A connection to ssh-agent.
pub(super) struct Agent {
    client: AgentClient<UnixStream>,
    /// What it holds, with comments.
    pub(super) keys: Vec<(PublicKey, String)>,
    stuck: bool,
}

impl Agent {
    /// Connects and asks for its keys; else what it did instead.
    pub(super) async fn open(
        socket: &Path,
        binding: Option<&AgentSessionBinding>,
    ) -> Result<Self, String> {
        let (client, found) = timeout(TELL, ask(socket, binding))
            .await
            .map_err(|_| {
                format!(
                    "({}) did not answer within {} s",
                    socket.display(),
                    TELL.as_secs()
                )
            })?
            .map_err(|error| format!("({}) cannot be used: {error}", socket.display()))?;
        let key = |identity| match identity {
            AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
            // The key itself is in the list too.
            AgentIdentity::Certificate { .. } => None,
        };
        Ok(Self {
            client,
            keys: found.into_iter().filter_map(key).collect(),
            stuck: false,
        })
    }

    /// Whether an answer is still outstanding, so that the next one could not be told from it.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck
    }
}

async fn ask(
    socket: &Path,
    binding: Option<&AgentSessionBinding>,
) -> Result<(AgentClient<UnixStream>, Vec<AgentIdentity>), russh::keys::Error> {
    let mut client = AgentClient::connect_uds(socket).await?;
    if let Some(binding) = binding {
        // Only keys that are limited to some hosts need it, and old agents do not know it.
        client.bind_session(binding, false).await.ok();
    }
    let found = client.request_identities().await?;
    Ok((client, found))
}

impl russh::Signer for Agent {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        key: &AgentIdentity,
        hash: Option<HashAlg>,
        data: Vec<u8>,
    ) -> Result<Vec<u8>, Unsigned> {
        match timeout(SIGN, self.client.sign_request(key, hash, data)).await {
            Ok(Ok(signed)) => Ok(signed),
            Ok(Err(error)) => Err(Unsigned::Because(format!("does not sign: {error}"))),
            Err(_) => {
                self.stuck = true;
                let limit = SIGN.as_secs();
                Err(Unsigned::Because(format!("did not sign within {limit} s")))
            }
        }
    }
}
