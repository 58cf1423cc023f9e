//! A service without an engine: every call that is let through is answered with `UNIMPLEMENTED`.

use proto::wire::v1::agent_server::Agent;
use proto::wire::v1::{
    AcceptRequest, AcceptResponse, AuditPage, AuditRequest, CancelRequest, CancelResponse,
    CheckRequest, CheckResponse, ConfirmRequest, ConfirmResponse, DeployRequest, DeployResponse,
    DownRequest, Event, HelloRequest, HelloResponse, HistoryRequest, HistoryResponse, LogRecord,
    LogsRequest, PlanRequest, PlanResponse, RenewRequest, RenewResponse, RevocationsRequest,
    RevocationsResponse, RollbackRequest, SavedChunk, SavedRequest, StageRequest, StageResponse,
    StatusRequest, StatusResponse, TrustRequest, TrustResponse, UpgradeRequest, UpgradeResponse,
    WatchRequest,
};
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;
type Nothing<T> = tokio_stream::Empty<Result<T, Status>>;

/// Stands where the service would be, for tests of what is in front of it.
#[derive(Debug, Clone, Copy)]
pub struct Unwired;

fn not_here<T>() -> Answer<T> {
    Err(Status::unimplemented("this agent has no engine yet"))
}

#[tonic::async_trait]
impl Agent for Unwired {
    type StageStream = Nothing<StageResponse>;
    type WatchStream = Nothing<Event>;
    type LogsStream = Nothing<LogRecord>;
    type AuditStream = Nothing<AuditPage>;
    type SavedStream = Nothing<SavedChunk>;
    type UpgradeStream = Nothing<UpgradeResponse>;

    async fn hello(&self, _: Request<HelloRequest>) -> Answer<HelloResponse> {
        not_here()
    }

    async fn stage(&self, _: Request<Streaming<StageRequest>>) -> Answer<Self::StageStream> {
        not_here()
    }

    async fn plan(&self, _: Request<PlanRequest>) -> Answer<PlanResponse> {
        not_here()
    }

    async fn deploy(&self, _: Request<DeployRequest>) -> Answer<DeployResponse> {
        not_here()
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        not_here()
    }

    async fn cancel(&self, _: Request<CancelRequest>) -> Answer<CancelResponse> {
        not_here()
    }

    async fn confirm(&self, _: Request<ConfirmRequest>) -> Answer<ConfirmResponse> {
        not_here()
    }

    async fn saved(&self, _: Request<SavedRequest>) -> Answer<Self::SavedStream> {
        not_here()
    }

    async fn status(&self, _: Request<StatusRequest>) -> Answer<StatusResponse> {
        not_here()
    }

    async fn check(&self, _: Request<CheckRequest>) -> Answer<CheckResponse> {
        not_here()
    }

    async fn revocations(&self, _: Request<RevocationsRequest>) -> Answer<RevocationsResponse> {
        not_here()
    }

    async fn renew(&self, _: Request<RenewRequest>) -> Answer<RenewResponse> {
        not_here()
    }

    async fn accept(&self, _: Request<AcceptRequest>) -> Answer<AcceptResponse> {
        not_here()
    }

    async fn trust(&self, _: Request<TrustRequest>) -> Answer<TrustResponse> {
        not_here()
    }

    async fn logs(&self, _: Request<LogsRequest>) -> Answer<Self::LogsStream> {
        not_here()
    }

    async fn down(&self, _: Request<DownRequest>) -> Answer<DeployResponse> {
        not_here()
    }

    async fn rollback(&self, _: Request<RollbackRequest>) -> Answer<DeployResponse> {
        not_here()
    }

    async fn history(&self, _: Request<HistoryRequest>) -> Answer<HistoryResponse> {
        not_here()
    }

    async fn audit(&self, _: Request<AuditRequest>) -> Answer<Self::AuditStream> {
        not_here()
    }

    async fn upgrade(&self, _: Request<Streaming<UpgradeRequest>>) -> Answer<Self::UpgradeStream> {
        not_here()
    }
}
