//! Real sockets, real TLS, real HTTP/2: who gets in, who does not, and what they may do.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper_util::rt::TokioIo;
use proto::convert::fault_from_status;
use proto::wire::v1::agent_client::AgentClient;
use proto::wire::v1::{
    AcceptRequest, AcceptResponse, AuditRequest, CancelRequest, CancelResponse, CheckRequest,
    CheckResponse, ConfirmRequest, ConfirmResponse, DeployRequest, DeployResponse, DownRequest,
    Event, HelloRequest, HelloResponse, HistoryRequest, HistoryResponse, LogsRequest, PlanRequest,
    PlanResponse, RenewRequest, RenewResponse, RevocationsRequest, RevocationsResponse,
    RollbackRequest, SavedRequest, StageRequest, StatusRequest, StatusResponse, TrustRequest,
    TrustResponse, UpgradeRequest, WatchRequest,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use super::*;
use crate::daemon::Unwired;
use crate::peer::Peer;
use crate::testing::{Held, List, TestFleet, client, dial};

mod authorities;
mod crowd;
mod recorded;
mod renewal;
mod revocation;
mod strangers;
mod streams;

const H2: &[&[u8]] = &[b"h2"];

/// Says who is calling, counts what gets through, and watches for ever.
#[derive(Default, Clone)]
struct Stub(Arc<AtomicUsize>);

#[tonic::async_trait]
impl Agent for Stub {
    type StageStream = <Unwired as Agent>::StageStream;
    type WatchStream = tokio_stream::Pending<Result<Event, Status>>;
    type SavedStream = <Unwired as Agent>::SavedStream;
    type UpgradeStream = <Unwired as Agent>::UpgradeStream;
    type LogsStream = <Unwired as Agent>::LogsStream;
    type AuditStream = <Unwired as Agent>::AuditStream;

    async fn hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let peer = request.extensions().get::<Peer>().unwrap();
        Ok(Response::new(HelloResponse {
            operator: peer.operator.to_string(),
            role: peer.role.to_string(),
            host: peer.serial(),
            ..HelloResponse::default()
        }))
    }

    async fn deploy(&self, _: Request<DeployRequest>) -> Result<Response<DeployResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(DeployResponse::default()))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(tokio_stream::pending()))
    }

    async fn stage(
        &self,
        request: Request<Streaming<StageRequest>>,
    ) -> Result<Response<Self::StageStream>, Status> {
        Unwired.stage(request).await
    }

    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanResponse>, Status> {
        Unwired.plan(request).await
    }

    async fn cancel(
        &self,
        request: Request<CancelRequest>,
    ) -> Result<Response<CancelResponse>, Status> {
        Unwired.cancel(request).await
    }

    async fn upgrade(
        &self,
        request: Request<Streaming<UpgradeRequest>>,
    ) -> Result<Response<Self::UpgradeStream>, Status> {
        Unwired.upgrade(request).await
    }

    async fn saved(
        &self,
        request: Request<SavedRequest>,
    ) -> Result<Response<Self::SavedStream>, Status> {
        Unwired.saved(request).await
    }

    async fn confirm(
        &self,
        request: Request<ConfirmRequest>,
    ) -> Result<Response<ConfirmResponse>, Status> {
        Unwired.confirm(request).await
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        Unwired.status(request).await
    }

    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        Unwired.check(request).await
    }

    async fn revocations(
        &self,
        request: Request<RevocationsRequest>,
    ) -> Result<Response<RevocationsResponse>, Status> {
        Unwired.revocations(request).await
    }

    async fn renew(
        &self,
        request: Request<RenewRequest>,
    ) -> Result<Response<RenewResponse>, Status> {
        Unwired.renew(request).await
    }

    async fn accept(
        &self,
        request: Request<AcceptRequest>,
    ) -> Result<Response<AcceptResponse>, Status> {
        Unwired.accept(request).await
    }

    async fn trust(
        &self,
        request: Request<TrustRequest>,
    ) -> Result<Response<TrustResponse>, Status> {
        Unwired.trust(request).await
    }

    async fn logs(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        Unwired.logs(request).await
    }

    async fn down(
        &self,
        request: Request<DownRequest>,
    ) -> Result<Response<DeployResponse>, Status> {
        Unwired.down(request).await
    }

    async fn rollback(
        &self,
        request: Request<RollbackRequest>,
    ) -> Result<Response<DeployResponse>, Status> {
        Unwired.rollback(request).await
    }

    async fn history(
        &self,
        request: Request<HistoryRequest>,
    ) -> Result<Response<HistoryResponse>, Status> {
        Unwired.history(request).await
    }

    async fn audit(
        &self,
        request: Request<AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        Unwired.audit(request).await
    }
}

/// A running agent of a throwaway fleet.
struct Running {
    fleet: TestFleet,
    folder: TempDir,
    trust: Arc<Trust>,
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    stop: CancellationToken,
    server: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    async fn start() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
        fleet.install(folder.path(), &List::default());
        let trust = Arc::new(Trust::load(folder.path()).unwrap());
        Self::serving(fleet, folder, trust, limits).await
    }

    async fn serving(fleet: TestFleet, folder: TempDir, trust: Arc<Trust>, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stub, stop) = (Stub::default(), CancellationToken::new());
        let calls = Arc::clone(&stub.0);
        let audit = Arc::new(Audit::open(&folder.path().join("audit")));
        let served = serve_within(
            listener,
            Arc::clone(&trust),
            stub,
            audit,
            stop.clone(),
            limits,
        );
        Self {
            fleet,
            folder,
            trust,
            address,
            calls,
            stop,
            server: tokio::spawn(served),
        }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn connect(
        &self,
        identity: &Held,
    ) -> Result<AgentClient<Channel>, tonic::transport::Error> {
        let (address, config) = (self.address, client(Some(identity), H2));
        let connector = tower::service_fn(move |_| {
            let config = Arc::clone(&config);
            async move { dial(address, &config).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://agent.invalid");
        let channel = endpoint.connect_with_connector(connector).await?;
        Ok(AgentClient::new(channel))
    }

    /// Whether a good operator gets an answer.
    async fn answers(&self) -> bool {
        let mut client = self.connect(&self.fleet.operator("viewer")).await.unwrap();
        client.hello(HelloRequest::default()).await.is_ok()
    }
}

#[tokio::test]
async fn handlers_learn_who_calls_from_the_certificate_only() {
    let agent = Running::start().await;
    let mut client = agent
        .connect(&agent.fleet.operator("viewer"))
        .await
        .unwrap();
    let mut request = Request::new(HelloRequest::default());
    for name in [
        "role",
        "x-role",
        "x-forwarded-client-cert",
        "longshore-role",
    ] {
        request
            .metadata_mut()
            .insert(name, "admin".parse().unwrap());
    }
    let answer = client.hello(request).await.unwrap().into_inner();
    assert_eq!(
        (answer.operator.as_str(), answer.role.as_str()),
        ("ana", "viewer")
    );
    assert_eq!(answer.host, "07", "the serial number");
}

#[tokio::test]
async fn a_role_too_low_is_denied_before_the_handler() {
    let agent = Running::start().await;
    let mut client = agent
        .connect(&agent.fleet.operator("viewer"))
        .await
        .unwrap();
    let status = client.deploy(DeployRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let fault = fault_from_status(&status).unwrap();
    assert_eq!(fault.what, "ana is a viewer, and Deploy needs a deployer");
    for status in [
        client.down(DownRequest::default()).await.map(drop),
        client.cancel(CancelRequest::default()).await.map(drop),
        client.confirm(ConfirmRequest::default()).await.map(drop),
        client.saved(SavedRequest::default()).await.map(drop),
        client.plan(PlanRequest::default()).await.map(drop),
        client.stage(tokio_stream::empty()).await.map(drop),
    ] {
        assert_eq!(status.unwrap_err().code(), Code::PermissionDenied);
    }
    assert_eq!(agent.calls(), 0);
    for role in ["deployer", "admin"] {
        let mut client = agent.connect(&agent.fleet.operator(role)).await.unwrap();
        client.deploy(DeployRequest::default()).await.unwrap();
    }
    assert_eq!(agent.calls(), 2);
}

#[tokio::test]
async fn a_message_over_the_limit_is_a_status_and_the_connection_lives() {
    let agent = Running::start().await;
    let mut client = agent
        .connect(&agent.fleet.operator("viewer"))
        .await
        .unwrap();
    let controller_version = "x".repeat(MESSAGE_BYTES + 1);
    let request = HelloRequest {
        controller_version,
        ..HelloRequest::default()
    };
    let status = client.hello(request).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
    client.hello(HelloRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_nothing_when_nothing_is_open() {
    let agent = Running::start().await;
    assert!(agent.answers().await);
    agent.stop.cancel();
    timeout(Duration::from_secs(5), agent.server)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(tokio::net::TcpStream::connect(agent.address).await.is_err());
}

#[tokio::test]
async fn a_stop_cuts_what_outlasts_its_grace() {
    let grace = Duration::from_millis(300);
    let agent = Running::with(Limits {
        grace,
        ..Limits::default()
    })
    .await;
    let mut client = agent
        .connect(&agent.fleet.operator("viewer"))
        .await
        .unwrap();
    let mut events = client
        .watch(WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    // Authenticated, and silent from then on: hyper's graceful shutdown alone would wait for it for ever.
    let config = crate::testing::client(Some(&agent.fleet.operator("viewer")), H2);
    let _silent = dial(agent.address, &config).await.unwrap();
    agent.stop.cancel();
    let ended = timeout(grace + Duration::from_secs(3), agent.server).await;
    ended.expect("the server ends").unwrap().unwrap();
    assert!(events.message().await.is_err(), "the watcher is told");
}
