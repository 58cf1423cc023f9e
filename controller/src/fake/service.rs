//! The scripted agent's RPCs.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use proto::convert::{facts_to_wire, fault_to_status};
use proto::fault::{Fault, FaultKind};
use proto::hello::{Feature, HostFacts};
use proto::id::DeployId;
use proto::role::Role;
use proto::wire::v1 as wire;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use wire::agent_server::Agent;
use wire::stage_request::Body;
use wire::stage_response::Body as Answer;

use super::State;

pub(super) struct FakeAgent(pub(super) Arc<State>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Some items, then the end or silence.
fn scripted<T: Send + 'static>(state: &Arc<State>, items: Vec<T>, hold: bool) -> Answers<T> {
    let state = Arc::clone(state);
    let items = tokio_stream::iter(items.into_iter().map(Ok));
    if !hold {
        return Box::pin(items);
    }
    let silence = futures_util::stream::once(async move {
        state.held.notify_one();
        std::future::pending().await
    });
    Box::pin(items.chain(silence))
}

#[tonic::async_trait]
impl Agent for FakeAgent {
    type StageStream = Answers<wire::StageResponse>;
    type WatchStream = Answers<wire::Event>;
    type LogsStream = Answers<wire::LogRecord>;
    type AuditStream = Answers<wire::AuditPage>;
    type SavedStream = Answers<wire::SavedChunk>;
    type UpgradeStream = Answers<wire::UpgradeResponse>;

    async fn hello(
        &self,
        _: Request<wire::HelloRequest>,
    ) -> Result<Response<wire::HelloResponse>, Status> {
        let script = &self.0.script;
        Ok(Response::new(facts_to_wire(HostFacts {
            agent_version: self.0.script.agent.to_owned(),
            protocol: script.protocol,
            host: script.host.parse().unwrap(),
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            engine: Ok("28.0.1".to_owned()),
            compose: Ok("2.33.0".to_owned()),
            message_limit: 4 << 20,
            bundle_limit: 64 << 20,
            file_limit: 10_000,
            operator: "ana".to_owned(),
            role: Role::Admin,
            credentials: self.0.script.credentials.clone(),
            build: String::new(),
            instance: String::new(),
            features: Feature::ALL.into(),
        })))
    }

    async fn stage(
        &self,
        request: Request<Streaming<wire::StageRequest>>,
    ) -> Result<Response<Self::StageStream>, Status> {
        let state = Arc::clone(&self.0);
        let (answers, out) = tokio::sync::mpsc::channel(8);
        let mut requests = request.into_inner();
        // The stream's own future does the work, so that no task outlives the call.
        let work = async move {
            let say = |answer| {
                let answers = answers.clone();
                async move {
                    answers
                        .send(Ok(wire::StageResponse { body: Some(answer) }))
                        .await
                        .unwrap();
                }
            };
            let begin = requests.next().await.unwrap().unwrap().body;
            let Some(Body::Begin(begin)) = begin else {
                panic!("the stack was due");
            };
            let sizes: HashMap<Vec<u8>, u64> = begin
                .files
                .into_iter()
                .map(|file| (file.blob, file.size))
                .collect();
            let needs = state.script.needs.clone();
            let mut missing: HashMap<Vec<u8>, u64> = needs
                .iter()
                .map(|blob| (blob.clone(), sizes.get(blob).copied().unwrap_or(1)))
                .collect();
            say(Answer::Need(wire::Need { blobs: needs })).await;
            while !missing.is_empty() {
                let Some(Ok(wire::StageRequest {
                    body: Some(Body::Chunk(chunk)),
                })) = requests.next().await
                else {
                    panic!("a chunk was due");
                };
                let left = missing.get_mut(&chunk.blob).unwrap();
                *left -= chunk.data.len() as u64;
                if *left == 0 {
                    missing.remove(&chunk.blob);
                }
                state
                    .seen
                    .lock()
                    .unwrap()
                    .chunks
                    .push((chunk.offset, chunk.data.len()));
            }
            let paths = state.script.wants.clone();
            say(Answer::Wants(wire::Wants { paths })).await;
            let Some(Ok(wire::StageRequest {
                body: Some(Body::Files(files)),
            })) = requests.next().await
            else {
                panic!("files were due");
            };
            let paths = files.files.into_iter().map(|file| file.path);
            state.seen.lock().unwrap().shipped.extend(paths);
            say(Answer::Need(wire::Need::default())).await;
            say(Answer::Staged(wire::Staged {
                stage: "ab".repeat(32),
                registries: state.script.registries.clone(),
                images: Vec::new(),
            }))
            .await;
        };
        let out = ReceiverStream::new(out);
        let work = futures_util::stream::once(work).filter_map(|()| None);
        Ok(Response::new(Box::pin(futures_util::stream::select(
            out, work,
        ))))
    }

    async fn plan(
        &self,
        request: Request<wire::PlanRequest>,
    ) -> Result<Response<wire::PlanResponse>, Status> {
        let first = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.plans.push(request.into_inner());
            seen.plans.len() == 1
        };
        let script = &self.0.script;
        let next = script.next_plan.clone().filter(|_| !first);
        let plan = next.map_or_else(|| script.plan.clone(), Ok);
        let plan = plan.map_err(fault_to_status)?;
        Ok(Response::new(wire::PlanResponse {
            plan: Some(plan.into()),
        }))
    }

    async fn deploy(
        &self,
        request: Request<wire::DeployRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        let request = request.into_inner();
        let deploy = request.deploy.clone();
        let mut seen = self.0.seen.lock().unwrap();
        seen.deploys.push(request);
        if seen.deploys.len() <= self.0.script.lose_answers {
            return Err(Status::unavailable("connection reset"));
        }
        if seen.deploys.len() <= self.0.script.busy {
            let fault = Fault::new(FaultKind::Busy, "another deploy holds stack opq");
            return Err(fault_to_status(fault));
        }
        let existed = seen.deploys.len() > 1;
        Ok(Response::new(wire::DeployResponse { deploy, existed }))
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let after = request.after;
        let first = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.watches.push(request);
            seen.watches.len() == 1
        };
        let script = &self.0.script;
        let hold = script.hold_after.filter(|_| first);
        let events = script.events.iter().take(hold.unwrap_or(usize::MAX));
        // A resume is answered from one event earlier than asked: the reader must not tell it twice.
        let events = events.filter(|event| event.seq == 0 || event.seq + 1 > after);
        let events = events.map(|event| event.clone().into()).collect();
        Ok(Response::new(scripted(&self.0, events, hold.is_some())))
    }

    async fn cancel(
        &self,
        request: Request<wire::CancelRequest>,
    ) -> Result<Response<wire::CancelResponse>, Status> {
        self.0
            .seen
            .lock()
            .unwrap()
            .cancels
            .push(request.into_inner());
        Ok(Response::new(wire::CancelResponse {
            cancelling: self.0.script.cancelling,
        }))
    }

    /// As an agent that is older than this call.
    async fn upgrade(
        &self,
        _: Request<Streaming<wire::UpgradeRequest>>,
    ) -> Result<Response<Self::UpgradeStream>, Status> {
        Err(Status::unimplemented("this agent has no method Upgrade"))
    }

    async fn saved(
        &self,
        request: Request<wire::SavedRequest>,
    ) -> Result<Response<Self::SavedStream>, Status> {
        let request = request.into_inner();
        let offset = usize::try_from(request.offset).unwrap();
        let script = &self.0.script;
        let mut rest = script.saved.get(offset..).unwrap_or_default();
        let first = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.saved.push(request);
            seen.saved.len() == 1
        };
        let cut = script.cut_saved_after.filter(|_| first);
        if let Some(cut) = cut {
            rest = rest.get(..cut).unwrap_or(rest);
        }
        let chunks = rest.chunks(3).map(|data| {
            Ok(wire::SavedChunk {
                data: data.to_vec(),
            })
        });
        let mut chunks: Vec<Result<_, Status>> = chunks.collect();
        if cut.is_some() {
            chunks.push(Err(Status::unavailable("connection reset")));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn confirm(
        &self,
        request: Request<wire::ConfirmRequest>,
    ) -> Result<Response<wire::ConfirmResponse>, Status> {
        let request = request.into_inner();
        self.0.seen.lock().unwrap().confirms.push(request);
        Ok(Response::new(wire::ConfirmResponse {
            deploy: "07".repeat(16),
        }))
    }

    async fn status(
        &self,
        _: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let held = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.statuses += 1;
            seen.statuses <= self.0.script.held
        };
        let stacks = self.0.script.status.iter().cloned().map(|mut status| {
            status.deploy = held.then_some(DeployId::from_bytes([7; 16]));
            status.into()
        });
        Ok(Response::new(wire::StatusResponse {
            stacks: stacks.collect(),
        }))
    }

    async fn check(
        &self,
        request: Request<wire::CheckRequest>,
    ) -> Result<Response<wire::CheckResponse>, Status> {
        self.0
            .seen
            .lock()
            .unwrap()
            .checks
            .push(request.into_inner());
        let findings = self.0.script.findings.iter().cloned().map(Into::into);
        Ok(Response::new(wire::CheckResponse {
            findings: findings.collect(),
            now_millis: self.0.script.now_millis,
        }))
    }

    async fn revocations(
        &self,
        request: Request<wire::RevocationsRequest>,
    ) -> Result<Response<wire::RevocationsResponse>, Status> {
        let list = request.into_inner().list;
        self.0.seen.lock().unwrap().lists.push(list);
        Ok(Response::new(wire::RevocationsResponse { number: 2 }))
    }

    async fn renew(
        &self,
        _: Request<wire::RenewRequest>,
    ) -> Result<Response<wire::RenewResponse>, Status> {
        let request = self.0.script.request.clone();
        Ok(Response::new(wire::RenewResponse { request }))
    }

    async fn accept(
        &self,
        request: Request<wire::AcceptRequest>,
    ) -> Result<Response<wire::AcceptResponse>, Status> {
        let grant = request.into_inner().grant;
        self.0.seen.lock().unwrap().grants.push(grant);
        Ok(Response::new(wire::AcceptResponse { expires: 1 }))
    }

    async fn trust(
        &self,
        _: Request<wire::TrustRequest>,
    ) -> Result<Response<wire::TrustResponse>, Status> {
        Ok(Response::new(wire::TrustResponse {}))
    }

    async fn logs(
        &self,
        request: Request<wire::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let request = request.into_inner();
        let since = request.since_nanos;
        let first = {
            let mut seen = self.0.seen.lock().unwrap();
            seen.logs.push(request);
            seen.logs.len() == 1
        };
        let script = &self.0.script;
        let hold = script.hold_logs_after.filter(|_| first);
        let records = script.logs.iter().take(hold.unwrap_or(usize::MAX));
        let records = records.filter(|record| match record {
            proto::log::LogRecord::Line { at_nanos, .. } => *at_nanos >= since,
            proto::log::LogRecord::Gap { .. } => true,
        });
        let records = records.map(|record| record.clone().into()).collect();
        Ok(Response::new(scripted(&self.0, records, hold.is_some())))
    }

    async fn down(
        &self,
        request: Request<wire::DownRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        let request = request.into_inner();
        let deploy = request.deploy.clone();
        self.0.seen.lock().unwrap().downs.push(request);
        Ok(Response::new(wire::DeployResponse {
            deploy,
            existed: false,
        }))
    }

    async fn rollback(
        &self,
        request: Request<wire::RollbackRequest>,
    ) -> Result<Response<wire::DeployResponse>, Status> {
        let request = request.into_inner();
        let deploy = request.deploy.clone();
        self.0.seen.lock().unwrap().rollbacks.push(request);
        Ok(Response::new(wire::DeployResponse {
            deploy,
            existed: false,
        }))
    }

    async fn history(
        &self,
        request: Request<wire::HistoryRequest>,
    ) -> Result<Response<wire::HistoryResponse>, Status> {
        self.0
            .seen
            .lock()
            .unwrap()
            .histories
            .push(request.into_inner());
        let entries = self.0.script.history.iter().cloned().map(Into::into);
        Ok(Response::new(wire::HistoryResponse {
            entries: entries.collect(),
        }))
    }

    async fn audit(
        &self,
        _: Request<wire::AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        let page = |lines: &[Vec<u8>]| wire::AuditPage {
            lines: lines.to_vec(),
        };
        let pages = self.0.script.record.chunks(2).map(page).collect();
        Ok(Response::new(scripted(&self.0, pages, false)))
    }
}
