//! One host's agent: connects with a reason when it cannot, speaks the handshake, and turns every call and
//! answer between the wire and the domain. Wire types and gRPC statuses stop here.
//!
//! A link is cheap to clone. Unary calls have a deadline; streams live as long as the keepalive proves the
//! connection. [`Watch`] and [`LogStream`] use connections of their own when the first one breaks.

mod audit;
mod backoff;
mod channel;
mod check;
mod fault;
mod heard;
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

use futures_util::future::BoxFuture;
use proto::convert::{facts_from_wire, scope_to_wire};
use proto::event::Event;
use proto::fault::{Fault, FaultKind};
use proto::hello::{HostFacts, PROTOCOL, ProtocolRange, negotiate};
use proto::id::{DeployId, HostName, PlanId, StackName};
use proto::limits::MESSAGE_BYTES;
use proto::plan::{Plan, Scope};
use proto::registry::RegistryAuth;
use proto::status::StackStatus;
use proto::wire::v1 as wire;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::{Response, Status};
use wire::agent_client::AgentClient;

use crate::heads::Heads;

use heard::Heard;
use stage::StageId;

pub use audit::RecordLines;
pub use backoff::Patience;
pub use logs::{LogSeen, LogStream};
pub use saved::SavedOf;
pub use stage::{Staged, Supply};
pub use upgrade::{Came, Taken};
pub use watch::{Seen, Subject, Watch};

/// A connected byte stream, the handshake of its transport done.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any [`Io`].
pub type BoxedIo = Box<dyn Io>;

/// Makes connections to one host.
pub trait Dial: Send + Sync + 'static {
    /// Connects within [`limit`](Self::limit), proving both sides' identity.
    fn dial(&self) -> BoxFuture<'_, Result<BoxedIo, Fault>>;

    /// How long it may take.
    fn limit(&self) -> Duration {
        proto::limits::CONNECT_TIMEOUT
    }

    /// What this workstation remembers of the host's audit record; `None` where nothing is remembered.
    fn heads(&self) -> Option<Arc<Heads>> {
        None
    }

    /// Who looks after the host whenever it has been reached.
    fn upkeep(&self) -> Option<Arc<dyn Upkeep>> {
        None
    }

    /// Why the host did not let this operator in on the newest connection. In TLS 1.3 that is heard only after the
    /// handshake, and HTTP/2 makes a broken connection of it.
    fn refusal(&self) -> Option<Fault> {
        None
    }
}

/// Does what is due on a host, as well as it can; what fails is told and keeps nobody from their work.
pub trait Upkeep: Send + Sync + 'static {
    /// Looks after a host that has just answered.
    fn look_after<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, ()>;
}

/// What went wrong, in the host's own words where it refused us.
fn told(dial: &Arc<dyn Dial>, fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::Unreachable | FaultKind::Denied => dial.refusal().unwrap_or(fault),
        _ => fault,
    }
}

/// This program's version, for messages.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const HELLO: Duration = Duration::from_secs(5);
/// Compose resolves the files and every tag is looked up.
const PLAN: Duration = Duration::from_secs(120);
const SUBMIT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(30);

/// What a deploy is submitted with.
#[derive(Debug, Clone)]
pub struct Order {
    /// Made here; the same one may be sent again.
    pub deploy: DeployId,
    /// What was agreed to.
    pub plan: PlanId,
    /// Logins for the pulls.
    pub auths: Vec<RegistryAuth>,
    /// Whether the plan's orphans go.
    pub remove_orphans: bool,
    /// Whether gates that refuse are passed.
    pub force: bool,
    /// How long an operator has to confirm it; whole seconds, and `None` when nobody has to.
    pub confirm_within: Option<Duration>,
}

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

    /// Compares a staged stack with what runs; with `adopt`, what somebody started by hand too.
    ///
    /// # Errors
    /// When the agent refuses, or does not answer.
    pub async fn plan(
        &self,
        stage: StageId,
        scope: Scope,
        auths: Vec<RegistryAuth>,
        adopt: bool,
    ) -> Result<Plan, Fault> {
        let whole = scope == Scope::Whole;
        let (services, no_deps) = scope_to_wire(scope);
        let request = wire::PlanRequest {
            stage: stage.to_string(),
            auths: auths.into_iter().map(Into::into).collect(),
            adopt,
            services,
            no_deps,
        };
        let mut client = self.client.clone();
        let answer = self.call("plan", PLAN, client.plan(request)).await?;
        let plan = answer
            .plan
            .ok_or_else(|| self.garbled("a plan without a plan"))?;
        let plan: Plan = plan.try_into().map_err(|error| self.garbled(error))?;
        if plan.part.is_none() && !whole {
            // It would do more than was asked for.
            let what = format!("the agent on {} deploys whole stacks only", self.host);
            return Err(Fault::new(FaultKind::Unsupported, what)
                .hint("upgrade it, or name the stack without a service"));
        }
        Ok(plan)
    }

    /// Submits a plan. The same id may be sent again, as often as it takes: it runs once.
    ///
    /// # Errors
    /// When the agent refuses, or cannot be reached in time.
    pub async fn deploy(&self, order: Order) -> Result<(), Fault> {
        let Order {
            deploy,
            plan,
            auths,
            remove_orphans,
            force,
            confirm_within,
        } = order;
        let within = confirm_within.map_or(0, |within| within.as_secs());
        let request = wire::DeployRequest {
            deploy: deploy.to_string(),
            plan: plan.to_string(),
            auths: auths.into_iter().map(Into::into).collect(),
            remove_orphans,
            force,
            confirm_within: u32::try_from(within).unwrap_or(u32::MAX),
        };
        self.submit(|link| {
            let (mut client, request) = (link.client.clone(), request.clone());
            async move { client.deploy(request).await }
        })
        .await
    }

    /// Takes a stack down. Sent again like a deploy.
    ///
    /// # Errors
    /// When the agent refuses, or cannot be reached in time.
    pub async fn down(
        &self,
        deploy: DeployId,
        stack: &StackName,
        volumes: bool,
    ) -> Result<(), Fault> {
        let request = wire::DownRequest {
            deploy: deploy.to_string(),
            stack: stack.to_string(),
            volumes,
        };
        self.submit(|link| {
            let (mut client, request) = (link.client.clone(), request.clone());
            async move { client.down(request).await }
        })
        .await
    }

    /// Sends a submission, and sends it again over a new connection when the answer was lost.
    async fn submit<F>(&self, send: impl Fn(Self) -> F) -> Result<(), Fault>
    where
        F: Future<Output = Result<Response<wire::DeployResponse>, Status>>,
    {
        let mut link = self.clone();
        let mut backoff = Patience::SUBMIT.start();
        loop {
            let fault = match link.call("deploy", SUBMIT, send(link.clone())).await {
                Ok(wire::DeployResponse {
                    deploy: _,
                    existed: _,
                }) => return Ok(()),
                Err(fault) => fault,
            };
            if fault.kind != FaultKind::Unreachable || !backoff.wait().await {
                return Err(fault);
            }
            if let Ok(fresh) = link.reconnect().await {
                link = fresh;
            }
        }
    }

    /// Follows a deploy from behind an event number.
    #[must_use]
    pub fn watch(&self, subject: Subject, after: u64, patience: Patience) -> Watch {
        Watch::new(self.clone(), subject, after, patience)
    }

    /// Asks a running deploy to stop; whether one was running.
    ///
    /// # Errors
    /// When the agent refuses, or does not answer.
    pub async fn cancel(&self, subject: &Subject) -> Result<bool, Fault> {
        let (deploy, stack) = subject.to_wire();
        let request = wire::CancelRequest { deploy, stack };
        let mut client = self.client.clone();
        let answer = self.call("cancel", SHORT, client.cancel(request)).await?;
        Ok(answer.cancelling)
    }

    /// Keeps what a deploy that waits for it has brought; which deploy that was.
    ///
    /// # Errors
    /// When none waits for it, the agent refuses, or does not answer.
    pub async fn confirm(&self, subject: &Subject) -> Result<DeployId, Fault> {
        let (deploy, stack) = subject.to_wire();
        let request = wire::ConfirmRequest { deploy, stack };
        let mut client = self.client.clone();
        let answer = self.call("confirm", SHORT, client.confirm(request)).await?;
        answer.deploy.parse().map_err(|error| self.garbled(error))
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

async fn hello(host: &HostName, mut client: AgentClient<Heard>) -> Result<HostFacts, Fault> {
    let request = wire::HelloRequest {
        controller_version: VERSION.to_owned(),
        protocol_min: PROTOCOL.min,
        protocol_max: PROTOCOL.max,
    };
    let answer = call(host, "hello", HELLO, client.hello(request)).await?;
    // Before anything else is read: the rest of another protocol's answer may mean something else.
    let theirs = ProtocolRange {
        min: answer.protocol_min,
        max: answer.protocol_max,
    };
    negotiate(
        VERSION,
        PROTOCOL,
        &answer.agent_version,
        theirs,
        host.as_str(),
    )
    .map_err(|skew| Fault::new(FaultKind::Unsupported, skew.to_string()))?;
    let facts = facts_from_wire(answer).map_err(|error| fault::garbled(host, error))?;
    if facts.host == *host {
        return Ok(facts);
    }
    let what = format!("the agent says it is {}, not {host}", facts.host);
    Err(Fault::new(FaultKind::Denied, what).hint("check the host's address in fleet.toml"))
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
