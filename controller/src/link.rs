//! One host's agent: connects with a reason when it cannot, speaks the handshake, and turns every call and
//! answer between the wire and the domain. Wire types and gRPC statuses stop here.
//!
//! A link is cheap to clone. Unary calls have a deadline; streams live as long as the keepalive proves the
//! connection. [`Watch`] and [`LogStream`] use connections of their own when the first one breaks.

mod audit;
mod backoff;
mod channel;
mod check;
mod deploy;
mod dial;
mod fault;
mod heard;
mod hello;
mod history;
mod logs;
mod renewal;
mod saved;
mod stage;
mod upgrade;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::event::Event;
use proto::fault::{Fault, FaultKind};
use proto::hello::HostFacts;
use proto::id::HostName;
use proto::limits::MESSAGE_BYTES;
use proto::status::StackStatus;
use proto::wire::v1 as wire;
use tonic::{Response, Status};
use wire::agent_client::AgentClient;

use dial::told;
use heard::Heard;
use hello::hello;

pub use audit::RecordLines;
pub use backoff::Patience;
pub use deploy::Order;
pub use dial::{BoxedIo, Dial, Io, Upkeep};
pub use logs::{LogSeen, LogStream};
pub use saved::SavedOf;
pub use stage::{Staged, Supply};
pub use upgrade::{Came, Taken};
pub use watch::{Seen, Subject, Watch};

/// This program's version, for messages.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const SHORT: Duration = Duration::from_secs(30);

/// A connection to one host's agent.
#[derive(Clone)]
pub struct Link {
    host: HostName,
    dial: Arc<dyn Dial>,
    client: AgentClient<Heard>,
    facts: Arc<HostFacts>,
}

impl Link {
    /// Connects, speaks the handshake and does what is due on the host.
    ///
    /// # Errors
    /// When the host cannot be reached, refuses us, or speaks another protocol.
    pub async fn connect(host: HostName, dial: Arc<dyn Dial>) -> Result<Self, Fault> {
        let link = Self::open(host, dial).await?;
        if let Some(upkeep) = link.dial.upkeep() {
            upkeep.look_after(&link).await;
        }
        Ok(link)
    }

    /// Connects and speaks the handshake, and nothing more.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(host: HostName, dial: Arc<dyn Dial>) -> Result<Self, Fault> {
        let client = client(&host, &dial, channel::Purpose::Control).await?;
        let facts = hello(&host, client.clone()).await;
        let facts = Arc::new(facts.map_err(|fault| told(&dial, fault))?);
        Ok(Self {
            host,
            dial,
            client,
            facts,
        })
    }

    /// The same host on a new connection.
    async fn reconnect(&self) -> Result<Self, Fault> {
        Self::connect(self.host.clone(), Arc::clone(&self.dial)).await
    }

    /// The same host again, for a while after its agent could not be reached.
    ///
    /// # Errors
    /// When it stays so.
    pub async fn again(&self) -> Result<Self, Fault> {
        let mut backoff = Patience::SUBMIT.start();
        loop {
            match self.reconnect().await {
                Err(fault) if fault.kind == FaultKind::Unreachable && backoff.wait().await => {}
                done => return done,
            }
        }
    }

    /// Which host.
    #[must_use]
    pub fn host(&self) -> &HostName {
        &self.host
    }

    /// What the host told about itself.
    #[must_use]
    pub fn facts(&self) -> &HostFacts {
        &self.facts
    }

    /// Brings a stack's files and values onto the host; `progress` hears bytes sent and bytes to send.
    ///
    /// # Errors
    /// When the stack is not valid, a file cannot be read, or the host stops answering.
    pub async fn stage(
        &self,
        supply: Box<dyn Supply>,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Staged, Fault> {
        stage::run(self, supply, progress).await
    }

    /// Follows a deploy from behind an event number.
    #[must_use]
    pub fn watch(&self, subject: Subject, after: u64, patience: Patience) -> Watch {
        Watch::new(self.clone(), subject, after, patience)
    }

    /// What runs on the host.
    ///
    /// # Errors
    /// When the agent refuses, or does not answer.
    pub async fn status(&self) -> Result<Vec<StackStatus>, Fault> {
        let request = wire::StatusRequest::default();
        let mut client = self.client.clone();
        let answer = self.call("status", SHORT, client.status(request)).await?;
        let stacks = answer.stacks.into_iter().map(TryInto::try_into);
        let stacks: Result<_, _> = stacks.collect();
        stacks.map_err(|error: proto::convert::InvalidMessage| self.garbled(error))
    }

    /// Reads log lines, over a connection of their own.
    #[must_use]
    pub fn logs(&self, query: proto::log::LogQuery, patience: Patience) -> LogStream {
        LogStream::new(self.clone(), query, patience)
    }

    async fn bulk(&self) -> Result<AgentClient<Heard>, Fault> {
        client(&self.host, &self.dial, channel::Purpose::Bulk).await
    }

    /// One answer within a deadline.
    async fn call<T>(
        &self,
        what: &str,
        limit: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Fault> {
        let answer = call(&self.host, what, limit, answer).await;
        answer.map_err(|fault| told(&self.dial, fault))
    }

    fn garbled(&self, why: impl std::fmt::Display) -> Fault {
        fault::garbled(&self.host, why)
    }

    fn event(&self, message: wire::Event) -> Result<Event, Fault> {
        message.try_into().map_err(|error| self.garbled(error))
    }
}

async fn client(
    host: &HostName,
    dial: &Arc<dyn Dial>,
    purpose: channel::Purpose,
) -> Result<AgentClient<Heard>, Fault> {
    let channel = channel::open(host, Arc::clone(dial), purpose).await;
    let channel = channel.map_err(|fault| told(dial, fault))?;
    let heard = Heard::new(channel, dial.heads());
    Ok(AgentClient::new(heard)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES))
}

async fn call<T>(
    host: &HostName,
    what: &str,
    limit: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(fault::from_status(host, what, &status)),
        Err(_) => Err(fault::silent(what, limit)),
    }
}

#[cfg(test)]
mod tests;
