//! The gRPC service: decode, call, encode; no decisions.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use proto::check::Finding;
use proto::convert::{InvalidMessage, facts_to_wire, fault_to_status, scope_from_wire};
use proto::fault::{Fault, FaultKind};
use proto::hello::{Credentials, HostFacts, PROTOCOL, ProtocolRange, negotiate};
use proto::id::{HostName, StackName};
use proto::limits;
use proto::log::LogQuery;
use proto::registry::RegistryAuth;
use proto::role::Role;
use proto::wire::v1 as wire;
use proto::wire::v1::agent_server::Agent;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::audit::{self, Caller};
use crate::deployer::{Deployer, Submission};
use crate::engine::EngineError;
use crate::logs;
use crate::peer::Peer;
use crate::tls::Trust;
use crate::upgrade::Upgrades;

mod dialogue;
mod ending;
mod renewal;
mod saved;
mod staging;
mod upgrading;

use ending::{Certificate, ending};

/// A handshake waits so long for the engine; controllers wait a little longer for the handshake.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);

/// A boxed answer stream.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service over one deployer.
pub struct AgentService {
    host: HostName,
    /// What this host is to its fleet; `None` behind no door of its own.
    trust: Option<Arc<Trust>>,
    deployer: Arc<Deployer>,
    upgrades: Arc<Upgrades>,
    log_readers: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl AgentService {
    /// Serves `deployer` under the name of this host; long answers end with `stop`.
    #[must_use]
    pub fn new(host: HostName, deployer: Arc<Deployer>, stop: CancellationToken) -> Self {
        let log_readers = Arc::new(Semaphore::new(limits::LOG_READERS));
        Self {
            host,
            trust: None,
            deployer,
            upgrades: Arc::default(),
            log_readers,
            tasks: TaskTracker::new(),
            stop,
        }
    }

    /// What replaces this agent; without it nothing does.
    #[must_use]
    pub fn upgraded_by(self, upgrades: Arc<Upgrades>) -> Self {
        Self { upgrades, ..self }
    }

    /// Every call about stacks, and that for a new agent, comes through here: whoever makes it has understood the
    /// handshake.
    fn deployer(&self) -> &Arc<Deployer> {
        self.upgrades.worked_with();
        &self.deployer
    }

    /// With the identity that it is served under, which it may be asked to renew.
    #[must_use]
    pub fn known_by(self, trust: Arc<Trust>) -> Self {
        let trust = Some(trust);
        Self { trust, ..self }
    }

    fn credentials(&self) -> Option<Credentials> {
        let trust = self.trust.as_ref()?;
        Some(trust.current().credentials())
    }
}

/// An answer of the engine while whoever shakes hands still waits for it.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let after = ENGINE_PATIENCE;
    let answer = tokio::time::timeout(after, answer).await;
    answer.unwrap_or_else(|_| {
        let what = "asking the engine".to_owned();
        Err(EngineError::TimedOut { what, after })
    })
}

fn refuse(fault: impl Into<Fault>) -> Status {
    fault_to_status(fault.into())
}

fn invalid(error: impl std::fmt::Display) -> Status {
    refuse(Fault::new(FaultKind::InvalidRequest, error.to_string()))
}

fn parse<T>(text: &str) -> Result<T, Status>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(invalid)
}

/// Who asks for a change, with the entry that it leaves.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| refuse(Fault::new(FaultKind::Denied, "the call is not recorded")))
}

/// Who calls; the accept loop put it there from the verified certificate.
fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().cloned();
    peer.ok_or_else(|| refuse(Fault::new(FaultKind::Denied, "the caller has no identity")))
}

#[tonic::async_trait]
impl Agent for AgentService {
    type StageStream = Answers<wire::StageResponse>;
    type WatchStream = Answers<wire::Event>;
    type LogsStream = Answers<wire::LogRecord>;
    type AuditStream = Answers<wire::AuditPage>;
    type SavedStream = Answers<wire::SavedChunk>;
    type UpgradeStream = Answers<wire::UpgradeResponse>;

    async fn hello(
        &self,
        request: Request<wire::HelloRequest>,
    ) -> Result<Response<wire::HelloResponse>, Status> {
        let peer = peer(&request)?;
        let hello = request.into_inner();
        let theirs = ProtocolRange {
            min: hello.protocol_min,
            max: hello.protocol_max,
        };
        let version = env!("CARGO_PKG_VERSION");
        let (caller, host) = (&hello.controller_version, self.host.as_str());
        if let Err(skew) = negotiate(caller, theirs, version, PROTOCOL, host) {
            return Err(refuse(Fault::new(FaultKind::Unsupported, skew.to_string())));
        }
        let engine = self.deployer.engine();
        // A frozen engine is told of; it must not hold up who asks for something else.
        let (facts, compose) =
            tokio::join!(in_time(engine.facts()), in_time(engine.compose_version()));
        let (os, architecture) = match &facts {
            Ok(facts) => (facts.os.clone(), facts.architecture.clone()),
            Err(_) => (
                std::env::consts::OS.to_owned(),
                std::env::consts::ARCH.to_owned(),
            ),
        };
        Ok(Response::new(facts_to_wire(HostFacts {
            agent_version: version.to_owned(),
            protocol: PROTOCOL,
            host: self.host.clone(),
            os,
            architecture,
            engine: facts
                .map(|facts| facts.version)
                .map_err(|error| error.to_string()),
            compose: compose.map_err(|error| error.to_string()),
            message_limit: limits::MESSAGE_BYTES as u64,
            bundle_limit: limits::BUNDLE_BYTES,
            file_limit: u32::try_from(limits::BUNDLE_FILES).unwrap_or(u32::MAX),
            operator: peer.operator.to_string(),
            role: peer.role,
            credentials: self.credentials(),
            build: self.upgrades.build().to_owned(),
            instance: self.upgrades.instance().to_owned(),
        })))
    }

    async fn stage(
        &self,
        request: Request<Streaming<wire::StageRequest>>,
    ) -> Result<Response<Self::StageStream>, Status> {
        let caller = caller(&request)?;
        Ok(Response::new(staging::answer(
            self.deployer().clone(),
            caller,
            request.into_inner(),
        )))
    }

    async fn plan(
        &self,
        request: Request<wire::PlanRequest>,
    ) -> Result<Response<wire::PlanResponse>, Status> {
        let wire::PlanRequest {
            stage,
            auths,
            adopt,
            services,
            no_deps,
        } = request.into_inner();
        let scope = scope_from_wire(services, no_deps).map_err(refuse_message)?;
        let auths: Vec<RegistryAuth> = auths.into_iter().map(Into::into).collect();
        let plan = self
            .deployer()
            .plan(parse(&stage)?, &scope, &auths, adopt)
            .await
            .map_err(refuse)?;
        Ok(Response::new(wire::PlanResponse {
            plan: Some(plan.into()),
        }))
    }

    async fn deploy(
        &self,
        request: Request<wire::DeployRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        let operator = caller(&request)?;
        let wire::DeployRequest {
            deploy,
            plan,
            auths,
            remove_orphans,
            force,
            confirm_within,
        } = request.into_inner();
        let within = Duration::from_secs(confirm_within.into());
        let submission = Submission {
            deploy: parse(&deploy)?,
            plan: parse(&plan)?,
            auths: auths.into_iter().map(Into::into).collect(),
            remove_orphans,
            force,
            confirm_within: (!within.is_zero()).then_some(within),
            operator,
        };
        let existed = self.deployer().deploy(submission).map_err(refuse)?;
        Ok(Response::new(wire::DeployResponse { deploy, existed }))
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let wire::WatchRequest {
            deploy,
            stack,
            after,
        } = request.into_inner();
        let deploy = self.find(&deploy, &stack)?;
        let watcher = self.deployer().watch(&deploy, after).map_err(refuse)?;
        let events = stream::unfold(watcher, |mut watcher| async move {
            let event = watcher.next().await?;
            Some((Ok(wire::Event::from(event)), watcher))
        });
        Ok(Response::new(self.until_stopped(events)))
    }

    async fn cancel(
        &self,
        request: Request<wire::CancelRequest>,
    ) -> Result<Response<wire::CancelResponse>, Status> {
        let caller = caller(&request)?;
        let wire::CancelRequest { deploy, stack } = request.into_inner();
        let deploy = self.find(&deploy, &stack)?;
        caller.asks(Some(deploy), "cancel");
        if let Some(stack) = self.deployer().stack_of(&deploy) {
            caller.about(&stack);
        }
        caller.let_in().map_err(refuse)?;
        let cancelling = self.deployer().cancel(&deploy);
        Ok(Response::new(wire::CancelResponse { cancelling }))
    }

    async fn confirm(
        &self,
        request: Request<wire::ConfirmRequest>,
    ) -> Result<Response<wire::ConfirmResponse>, Status> {
        let caller = caller(&request)?;
        let wire::ConfirmRequest { deploy, stack } = request.into_inner();
        let deploy = self.find(&deploy, &stack)?;
        let confirmed = self.deployer().confirm(&deploy, &caller);
        confirmed.map_err(refuse)?;
        Ok(Response::new(wire::ConfirmResponse {
            deploy: deploy.to_string(),
        }))
    }

    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let wire::StatusRequest { stack } = request.into_inner();
        let only = if stack.is_empty() {
            None
        } else {
            Some(parse(&stack)?)
        };
        let stacks = self
            .deployer()
            .status(only.as_ref())
            .await
            .map_err(refuse)?;
        let stacks = stacks.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::StatusResponse { stacks }))
    }

    async fn check(
        &self,
        request: Request<wire::CheckRequest>,
    ) -> Result<Response<wire::CheckResponse>, Status> {
        let peer = peer(&request)?;
        let stacks = request.into_inner().stacks;
        let stacks: Vec<StackName> = stacks
            .iter()
            .map(|stack| parse(stack))
            .collect::<Result<_, _>>()?;
        let mut checkup = self.deployer().check(&self.host, &stacks).await;
        let mut certificates = vec![(Certificate::Operator(&peer.operator), peer.expires)];
        if let Some(credentials) = self.credentials() {
            certificates.push((Certificate::Host(&self.host), credentials.expires));
            certificates.push((Certificate::List, credentials.list_due));
        }
        let now = checkup.now_millis / 1000;
        let ending = certificates
            .iter()
            .filter_map(|(whose, expires)| ending(whose, *expires, now));
        checkup.findings.extend(ending);
        let gone_back = self.upgrades.gone_back();
        checkup.findings.extend(gone_back.map(|build| Finding {
            stack: None,
            what: format!("agent {build} was tried and could not be worked with"),
            why: "the one before it is back".to_owned(),
            mend: format!("controller host upgrade {}", self.host),
        }));
        Ok(Response::new(checkup.into()))
    }

    async fn revocations(
        &self,
        request: Request<wire::RevocationsRequest>,
    ) -> Result<Response<wire::RevocationsResponse>, Status> {
        renewal::revocations(self.trust.clone(), request).await
    }

    async fn renew(
        &self,
        request: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        renewal::renew(self.trust.clone(), request).await
    }

    async fn accept(
        &self,
        request: Request<wire::AcceptRequest>,
    ) -> Result<Response<wire::AcceptResponse>, Status> {
        renewal::accept(self.trust.clone(), request).await
    }

    async fn logs(
        &self,
        request: Request<wire::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let query = LogQuery::try_from(request.into_inner()).map_err(refuse_message)?;
        let permit = self.log_readers.clone().try_acquire_owned().map_err(|_| {
            let what = format!("{} log readers are already connected", limits::LOG_READERS);
            refuse(Fault::new(FaultKind::Refused, what).hint("close one, then try again"))
        })?;
        let project = self.deployer().project(&query.stack).map_err(refuse)?;
        let (sender, receiver) = logs::queue();
        let read = logs::read(self.deployer().engine().clone(), project, query, sender);
        self.tasks.spawn(async move {
            read.await;
            drop(permit);
        });
        let records = stream::unfold(receiver, |mut receiver| async move {
            let record = receiver.recv().await?;
            Some((record.map(Into::into).map_err(refuse), receiver))
        });
        Ok(Response::new(self.until_stopped(records)))
    }

    async fn down(
        &self,
        request: Request<wire::DownRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        let (peer, caller) = (peer(&request)?, caller(&request)?);
        let wire::DownRequest {
            deploy,
            stack,
            volumes,
        } = request.into_inner();
        let (id, stack) = (parse(&deploy)?, parse(&stack)?);
        if volumes && peer.role < Role::Admin {
            caller.asks(Some(id), &format!("down {stack} volumes true"));
            caller.about(&stack);
            let what = format!(
                "removing volumes needs role admin; {} is {}",
                peer.operator, peer.role
            );
            return Err(refuse(Fault::new(FaultKind::Denied, what)));
        }
        let existed = self
            .deployer()
            .down(id, stack, volumes, caller)
            .map_err(refuse)?;
        Ok(Response::new(wire::DeployResponse { deploy, existed }))
    }

    async fn rollback(
        &self,
        request: Request<wire::RollbackRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        let operator = caller(&request)?;
        let wire::RollbackRequest {
            deploy,
            stack,
            revision,
        } = request.into_inner();
        let to = match revision.as_str() {
            "" => None,
            revision => Some(parse(revision)?),
        };
        let (id, stack) = (parse(&deploy)?, parse(&stack)?);
        let taken = self.deployer().roll_back(id, stack, to, operator);
        let existed = taken.map_err(refuse)?;
        Ok(Response::new(wire::DeployResponse { deploy, existed }))
    }

    async fn upgrade(
        &self,
        request: Request<Streaming<wire::UpgradeRequest>>,
    ) -> Result<Response<Self::UpgradeStream>, Status> {
        let parts = upgrading::Parts {
            deployer: self.deployer().clone(),
            upgrades: self.upgrades.clone(),
            caller: caller(&request)?,
            stop: self.stop.clone(),
        };
        Ok(Response::new(upgrading::answer(
            parts,
            request.into_inner(),
        )))
    }

    async fn saved(
        &self,
        request: Request<wire::SavedRequest>,
    ) -> Result<Response<Self::SavedStream>, Status> {
        let caller = caller(&request)?;
        let wire::SavedRequest {
            deploy,
            hook,
            offset,
        } = request.into_inner();
        let file = self.deployer().saved(&parse(&deploy)?, hook, &caller);
        let file = tokio::fs::File::from_std(file.map_err(refuse)?);
        let chunks = saved::chunks(file, offset).await?;
        Ok(Response::new(self.until_stopped(chunks)))
    }

    async fn history(
        &self,
        request: Request<wire::HistoryRequest>,
    ) -> Result<Response<wire::HistoryResponse>, Status> {
        let wire::HistoryRequest { stack, limit } = request.into_inner();
        let limit = match usize::try_from(limit).unwrap_or(usize::MAX) {
            0 => limits::HISTORY,
            limit => limit.min(limits::HISTORY_MOST),
        };
        let entries = self.deployer().history(&parse(&stack)?, limit);
        let entries = entries.map_err(refuse)?.into_iter().map(Into::into);
        Ok(Response::new(wire::HistoryResponse {
            entries: entries.collect(),
        }))
    }

    async fn audit(
        &self,
        request: Request<wire::AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        let wire::AuditRequest { after, limit } = request.into_inner();
        let folder = self.deployer().audit().folder().to_owned();
        // Two pages under way at most: the disk waits for the reader.
        let (pages, received) = mpsc::channel(2);
        self.tasks.spawn_blocking(move || {
            let send = |lines| pages.blocking_send(Ok(wire::AuditPage { lines })).is_ok();
            if let Err(error) = audit::pages(&folder, after, limit, send) {
                // Who asked has gone.
                pages.blocking_send(Err(refuse(error))).ok();
            }
        });
        Ok(Response::new(
            self.until_stopped(ReceiverStream::new(received)),
        ))
    }
}

impl AgentService {
    /// The controller follows again once the agent is back.
    fn until_stopped<T: Send + 'static>(
        &self,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> Answers<T> {
        let stopped = self.stop.clone().cancelled_owned();
        let going = stream::once(async { Err(Status::unavailable("the agent is stopping")) });
        let ended = self.stop.clone();
        let going = going.filter(move |_| std::future::ready(ended.is_cancelled()));
        answers.take_until(stopped).chain(going).boxed()
    }

    fn find(&self, deploy: &str, stack: &str) -> Result<proto::id::DeployId, Status> {
        if deploy.is_empty() {
            return self.deployer().newest(&parse(stack)?).map_err(refuse);
        }
        parse(deploy)
    }
}

fn refuse_message(error: InvalidMessage) -> Status {
    refuse(error)
}
