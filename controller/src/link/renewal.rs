//! What an agent is asked about its own identity: a newer list of revoked operators, a new certificate, other
//! authorities.

use proto::fault::Fault;
use proto::trust::Authorities;
use proto::wire::v1 as wire;

use super::{Link, SHORT};

impl Link {
    /// Brings a newer list of revoked operators, as it was signed; the number of the one that is in use then.
    ///
    /// # Errors
    /// When the agent refuses it, or does not answer.
    pub async fn revocations(&self, list: Vec<u8>) -> Result<u64, Fault> {
        let request = wire::RevocationsRequest { list };
        let mut client = self.client.clone();
        let answer = self.call("revocations", SHORT, client.revocations(request));
        Ok(answer.await?.number)
    }

    /// Has a new key made, and returns the request for its certificate. Asked again before it is answered, it stays
    /// the same.
    ///
    /// # Errors
    /// When the agent refuses, or does not answer.
    pub async fn renew(&self) -> Result<String, Fault> {
        let mut client = self.client.clone();
        let answer = self.call("renew", SHORT, client.renew(wire::RenewRequest {}));
        Ok(answer.await?.request)
    }

    /// Brings the grant that answers the request; unix seconds until which it is good.
    ///
    /// # Errors
    /// When the agent refuses it, or does not answer.
    pub async fn install(&self, grant: String) -> Result<u64, Fault> {
        let mut client = self.client.clone();
        let answer = self.call(
            "accept",
            SHORT,
            client.accept(wire::AcceptRequest { grant }),
        );
        Ok(answer.await?.expires)
    }

    /// Says which authorities the host shall believe from now on.
    ///
    /// # Errors
    /// When the agent refuses them, or does not answer.
    pub async fn believe(&self, authorities: Authorities) -> Result<(), Fault> {
        let mut client = self.client.clone();
        let request: wire::TrustRequest = authorities.into();
        self.call("trust", SHORT, client.trust(request)).await?;
        Ok(())
    }
}
