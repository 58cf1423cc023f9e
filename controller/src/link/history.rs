//! Going back, and what there is to go back to.

use proto::convert::InvalidMessage;
use proto::fault::Fault;
use proto::history::HistoryEntry;
use proto::id::{DeployId, RevisionId, StackName};
use proto::registry::RegistryAuth;
use proto::wire::v1 as wire;

use super::{Link, SHORT};

impl Link {
    /// Brings a stack back to a kept revision. Sent again like a deploy.
    ///
    /// # Errors
    /// When the agent refuses, or cannot be reached in time.
    pub async fn rollback(
        &self,
        deploy: DeployId,
        stack: &StackName,
        to: RevisionId,
        auths: &[RegistryAuth],
    ) -> Result<(), Fault> {
        let request = wire::RollbackRequest {
            deploy: deploy.to_string(),
            stack: stack.to_string(),
            revision: to.to_string(),
            auths: auths.iter().cloned().map(Into::into).collect(),
        };
        self.submit(|link| {
            let (mut client, request) = (link.client.clone(), request.clone());
            async move { client.rollback(request).await }
        })
        .await
    }

    /// What has been done to a stack, the newest first, `limit` entries at most.
    ///
    /// # Errors
    /// When the stack was never deployed there, the agent refuses, or does not answer.
    pub async fn history(&self, stack: &StackName, limit: u32) -> Result<Vec<HistoryEntry>, Fault> {
        let stack = stack.to_string();
        let request = wire::HistoryRequest { stack, limit };
        let mut client = self.client.clone();
        let answer = self.call("history", SHORT, client.history(request)).await?;
        let entries = answer.entries.into_iter().map(HistoryEntry::try_from);
        let entries: Result<_, InvalidMessage> = entries.collect();
        entries.map_err(|error| self.garbled(error))
    }
}
