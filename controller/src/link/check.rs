//! What an agent finds wrong on its host.

use proto::check::Checkup;
use proto::fault::Fault;
use proto::id::StackName;
use proto::wire::v1 as wire;

use super::{Link, SHORT};

impl Link {
    /// What is wrong there: in general, and with these stacks or all.
    ///
    /// # Errors
    /// When the agent refuses, or does not answer.
    pub async fn check(&self, stacks: &[StackName]) -> Result<Checkup, Fault> {
        let stacks = stacks.iter().map(ToString::to_string).collect();
        let request = wire::CheckRequest { stacks };
        let mut client = self.client.clone();
        let answer = self.call("doctor", SHORT, client.check(request)).await?;
        Checkup::try_from(answer).map_err(|error| self.garbled(error))
    }
}
