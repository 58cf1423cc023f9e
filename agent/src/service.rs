//! The gRPC service: decode, call, encode; no decisions.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use proto::hello::Credentials;
use proto::id::{DeployId, HostName};
use proto::limits;
use proto::wire::v1 as wire;
use proto::wire::v1::agent_server::Agent;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::deployer::Deployer;
use crate::tls::Trust;
use crate::upgrade::Upgrades;

mod changes;
mod dialogue;
mod ending;
mod hello;
mod renewal;
mod reports;
mod request;
mod saved;
mod staging;
mod upgrading;

use request::{caller, parse, refuse};

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

    fn find(&self, deploy: &str, stack: &str) -> Result<DeployId, Status> {
        if deploy.is_empty() {
            return self.deployer().newest(&parse(stack)?).map_err(refuse);
        }
        parse(deploy)
    }
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
        hello::hello(self, request).await
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
        changes::plan(self, request).await
    }

    async fn deploy(
        &self,
        request: Request<wire::DeployRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        changes::deploy(self, request).await
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        reports::watch(self, request).await
    }

    async fn cancel(
        &self,
        request: Request<wire::CancelRequest>,
    ) -> Result<Response<wire::CancelResponse>, Status> {
        changes::cancel(self, request).await
    }

    async fn confirm(
        &self,
        request: Request<wire::ConfirmRequest>,
    ) -> Result<Response<wire::ConfirmResponse>, Status> {
        changes::confirm(self, request).await
    }

    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        reports::status(self, request).await
    }

    async fn check(
        &self,
        request: Request<wire::CheckRequest>,
    ) -> Result<Response<wire::CheckResponse>, Status> {
        reports::check(self, request).await
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

    async fn trust(
        &self,
        request: Request<wire::TrustRequest>,
    ) -> Result<Response<wire::TrustResponse>, Status> {
        renewal::trust(self.trust.clone(), request).await
    }

    async fn logs(
        &self,
        request: Request<wire::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        reports::logs(self, request).await
    }

    async fn down(
        &self,
        request: Request<wire::DownRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        changes::down(self, request).await
    }

    async fn rollback(
        &self,
        request: Request<wire::RollbackRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        changes::rollback(self, request).await
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
        reports::saved(self, request).await
    }

    async fn history(
        &self,
        request: Request<wire::HistoryRequest>,
    ) -> Result<Response<wire::HistoryResponse>, Status> {
        reports::history(self, request).await
    }

    async fn audit(
        &self,
        request: Request<wire::AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        reports::audit(self, request).await
    }
}
