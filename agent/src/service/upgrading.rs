//! The Upgrade call: a new agent is offered, sent as far as it is missing, verified, and started in place of this one.

use std::sync::Arc;

use proto::convert::{InvalidMessage, blob_from_wire};
use proto::fault::Fault;
use proto::upgrade::NewAgent;
use proto::wire::v1 as wire;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use wire::upgrade_request::Body as Asked;
use wire::upgrade_response::Body as Answer;

use super::Answers;
use super::dialogue::{self, Dialogue};
use crate::audit::Caller;
use crate::deployer::Deployer;
use crate::upgrade::{Incoming, Offered, Upgrades};

/// What the call works on.
pub(super) struct Parts {
    pub(super) upgrades: Arc<Upgrades>,
    pub(super) deployer: Arc<Deployer>,
    pub(super) caller: Caller,
    pub(super) stop: CancellationToken,
}

/// Runs the call: when the controller goes before the new agent is whole, this one stays.
pub(super) fn answer(
    parts: Parts,
    requests: Streaming<wire::UpgradeRequest>,
) -> Answers<wire::UpgradeResponse> {
    let wrap = |answer| wire::UpgradeResponse { body: Some(answer) };
    dialogue::answer(requests, wrap, async move |dialogue| {
        Call { dialogue }.run(parts).await
    })
}

struct Call {
    dialogue: Dialogue<wire::UpgradeRequest, Answer>,
}

impl Call {
    async fn run(&mut self, parts: Parts) -> Result<(), Fault> {
        let Asked::Agent(new) = self.next().await? else {
            return Err(InvalidMessage::missing("the description of an agent").into());
        };
        let new = NewAgent::try_from(new)?;
        let build = new.build();
        parts.caller.asks(None, &format!("upgrade to {build}"));
        let mut incoming = match parts.upgrades.offered(new)? {
            Offered::Running => return self.dialogue.send(Answer::Running(wire::Running {})).await,
            Offered::Wanted(incoming) => incoming,
        };
        // Before anything is sent for nothing.
        parts.deployer.idle()?;
        self.fill(&mut incoming).await?;
        let whole = incoming.finish().await?;
        let pause = parts.deployer.pause()?;
        parts.caller.let_in()?;
        parts.upgrades.replace_by(&whole)?;
        // Nothing waits from here on: this agent ends, whether or not the controller still listens.
        pause.keep();
        parts.stop.cancel();
        tracing::info!(build, "a new agent takes the place of this one");
        self.dialogue
            .send(Answer::Starting(wire::Starting {}))
            .await
    }

    async fn fill(&mut self, incoming: &mut Incoming) -> Result<(), Fault> {
        let offset = incoming.here();
        self.dialogue
            .send(Answer::Rest(wire::Rest { offset }))
            .await?;
        while !incoming.is_complete() {
            let Asked::Chunk(wire::Chunk { blob, offset, data }) = self.next().await? else {
                return Err(InvalidMessage::missing("the rest of the agent").into());
            };
            blob_from_wire(&blob)?;
            incoming.chunk(offset, &data)?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Asked, Fault> {
        let message = self.dialogue.next().await?;
        message
            .body
            .ok_or_else(|| InvalidMessage::missing("an upgrade request's body").into())
    }
}
