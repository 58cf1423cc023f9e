//! Fetches what a hook has printed, over a connection of its own and across lost links: from where it broke off.

use proto::fault::{Fault, FaultKind};
use proto::id::DeployId;
use proto::wire::v1 as wire;

use super::{Link, Patience, SHORT, fault};

/// Which output.
#[derive(Debug, Clone, Copy)]
pub struct SavedOf {
    /// Of which deploy.
    pub deploy: DeployId,
    /// Of which of its hooks.
    pub hook: u32,
    /// Its bytes: a host that sends more is broken off.
    pub size: u64,
}

impl Link {
    /// Hands every piece of it to `take`, in order and once.
    ///
    /// # Errors
    /// When the agent refuses or cannot be reached in time, or `take` fails.
    pub async fn saved(
        &self,
        of: SavedOf,
        patience: Patience,
        take: &mut (dyn FnMut(&[u8]) -> Result<(), Fault> + Send),
    ) -> Result<(), Fault> {
        let mut offset = 0;
        let mut backoff = patience.start();
        loop {
            let before = offset;
            let Err(fault) = self.saved_from(of, &mut offset, take).await else {
                return Ok(());
            };
            if offset > before {
                backoff.reset();
            }
            if fault.kind != FaultKind::Unreachable || !backoff.wait().await {
                return Err(fault);
            }
        }
    }

    async fn saved_from(
        &self,
        of: SavedOf,
        offset: &mut u64,
        take: &mut (dyn FnMut(&[u8]) -> Result<(), Fault> + Send),
    ) -> Result<(), Fault> {
        let request = wire::SavedRequest {
            deploy: of.deploy.to_string(),
            hook: of.hook,
            offset: *offset,
        };
        let mut client = self.bulk().await?;
        let answer = self.call("saved", SHORT, client.saved(request)).await?;
        let mut chunks = answer;
        loop {
            let chunk = chunks.message().await;
            let chunk =
                chunk.map_err(|status| fault::from_status(self.host(), "saved", &status))?;
            let Some(wire::SavedChunk { data }) = chunk else {
                break;
            };
            *offset = offset.saturating_add(data.len() as u64);
            if *offset > of.size {
                return Err(self.garbled("more than the hook has printed"));
            }
            take(&data)?;
        }
        if *offset < of.size {
            let what = "the agent ended the stream before all had come";
            return Err(Fault::new(FaultKind::Unreachable, what));
        }
        Ok(())
    }
}
