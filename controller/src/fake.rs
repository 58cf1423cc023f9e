//! An agent for tests: real gRPC over an in-memory stream, with scripted answers and a wire that can be cut.

mod service;
mod world;

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proto::audit::{HEADER, Head};
use proto::check::Finding;
use proto::event::Event;
use proto::fault::{Fault, FaultKind};
use proto::hello::{Credentials, ProtocolRange};
use proto::history::HistoryEntry;
use proto::log::LogRecord;
use proto::plan::Plan;
use proto::status::StackStatus;
use proto::wire::v1 as wire;
use tokio::io::{DuplexStream, copy_bidirectional, duplex};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::transport::Server;
use tower::util::MapResponseLayer;
use wire::agent_server::AgentServer;

use crate::heads::Heads;
use crate::link::{BoxedIo, Dial};

pub(crate) use world::{FakeFleet, FakeSupply, event, plan_of, script_of_success};

/// What the agent answers, and what it was asked.
pub(crate) struct Script {
    pub(crate) host: String,
    pub(crate) protocol: ProtocolRange,
    /// Blobs it says it needs.
    pub(crate) needs: Vec<Vec<u8>>,
    pub(crate) wants: Vec<String>,
    pub(crate) registries: Vec<String>,
    pub(crate) plan: Result<Plan, Fault>,
    pub(crate) events: Vec<Event>,
    /// The first watch stops after this many events and stays silent.
    pub(crate) hold_after: Option<usize>,
    pub(crate) logs: Vec<LogRecord>,
    /// The first log stream stops after this many records and stays silent.
    pub(crate) hold_logs_after: Option<usize>,
    pub(crate) status: Vec<StackStatus>,
    pub(crate) history: Vec<HistoryEntry>,
    /// Lines of the audit record.
    pub(crate) record: Vec<Vec<u8>>,
    /// What its answers say is the head of it.
    pub(crate) head: Option<Head>,
    /// Its version.
    pub(crate) agent: &'static str,
    pub(crate) findings: Vec<Finding>,
    /// How long it says that it is good.
    pub(crate) credentials: Option<Credentials>,
    /// What it asks to be signed.
    pub(crate) request: String,
    /// Its wall clock.
    pub(crate) now_millis: u64,
    /// Submissions whose answer is lost.
    pub(crate) lose_answers: usize,
    pub(crate) cancelling: bool,
    /// What a hook has printed.
    pub(crate) saved: Vec<u8>,
    /// The first answer with it breaks off after this many bytes.
    pub(crate) cut_saved_after: Option<usize>,
    /// Submissions that another deploy is in the way of.
    pub(crate) busy: usize,
    /// Status answers that tell of another deploy.
    pub(crate) held: usize,
    /// What is planned from the second time on.
    pub(crate) next_plan: Option<Plan>,
}

/// What came in.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) chunks: Vec<(u64, usize)>,
    pub(crate) shipped: Vec<String>,
    pub(crate) plans: Vec<wire::PlanRequest>,
    pub(crate) deploys: Vec<wire::DeployRequest>,
    pub(crate) downs: Vec<wire::DownRequest>,
    pub(crate) rollbacks: Vec<wire::RollbackRequest>,
    pub(crate) histories: Vec<wire::HistoryRequest>,
    pub(crate) checks: Vec<wire::CheckRequest>,
    pub(crate) watches: Vec<wire::WatchRequest>,
    pub(crate) logs: Vec<wire::LogsRequest>,
    pub(crate) statuses: usize,
    pub(crate) cancels: Vec<wire::CancelRequest>,
    pub(crate) saved: Vec<wire::SavedRequest>,
    pub(crate) confirms: Vec<wire::ConfirmRequest>,
    pub(crate) lists: Vec<Vec<u8>>,
    pub(crate) grants: Vec<String>,
}

pub(crate) struct State {
    pub(crate) script: Script,
    pub(crate) seen: Mutex<Seen>,
    /// Told when a held stream has sent what it was to send.
    pub(crate) held: Notify,
}

/// A host with that agent. Everything it runs ends with it.
pub(crate) struct FakeHost {
    pub(crate) state: Arc<State>,
    connections: mpsc::Sender<DuplexStream>,
    wires: Mutex<JoinSet<()>>,
    unreachable: Mutex<Option<Fault>>,
    heads: Mutex<Option<Arc<Heads>>>,
    _server: JoinSet<()>,
}

impl FakeHost {
    pub(crate) fn start(script: Script) -> Arc<Self> {
        let (connections, incoming) = mpsc::channel(16);
        let state = Arc::new(State {
            script,
            seen: Mutex::default(),
            held: Notify::new(),
        });
        let service = AgentServer::new(service::FakeAgent(Arc::clone(&state)));
        let head = state.script.head;
        let mut server = JoinSet::new();
        server.spawn(async move {
            let incoming = ReceiverStream::new(incoming).map(Ok::<_, std::io::Error>);
            Server::builder()
                .layer(MapResponseLayer::new(move |answer| with_head(answer, head)))
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Arc::new(Self {
            state,
            connections,
            wires: Mutex::default(),
            unreachable: Mutex::default(),
            heads: Mutex::default(),
            _server: server,
        })
    }

    /// From here on its dialler remembers heads there.
    pub(crate) fn remember_heads(&self, heads: Arc<Heads>) {
        *self.heads.lock().unwrap() = Some(heads);
    }

    /// Cuts every connection; new ones work.
    pub(crate) fn cut(&self) {
        self.wires.lock().unwrap().abort_all();
    }

    /// From now on nobody gets through.
    pub(crate) fn kill(&self) {
        let fault = Fault::new(FaultKind::Unreachable, "no route to the host");
        *self.unreachable.lock().unwrap() = Some(fault);
        self.cut();
    }

    pub(crate) fn seen(&self) -> Seen {
        self.state.seen.lock().unwrap().clone()
    }
}

fn with_head(mut answer: Response<Body>, head: Option<Head>) -> Response<Body> {
    if let Some(head) = head {
        let value = head.to_string().parse().unwrap();
        answer.headers_mut().insert(HEADER, value);
    }
    answer
}

/// Dials a [`FakeHost`].
pub(crate) struct FakeDial(pub(crate) Arc<FakeHost>);

impl Dial for FakeDial {
    fn dial(&self) -> BoxFuture<'_, Result<BoxedIo, Fault>> {
        async move {
            if let Some(fault) = self.0.unreachable.lock().unwrap().clone() {
                return Err(fault);
            }
            // Two pipes with a wire between them, so that cutting it looks like a network that goes away.
            let (near, mut wire_near) = duplex(64 * 1024);
            let (mut wire_far, far) = duplex(64 * 1024);
            self.0.wires.lock().unwrap().spawn(async move {
                copy_bidirectional(&mut wire_near, &mut wire_far).await.ok();
            });
            self.0.connections.send(far).await.unwrap();
            Ok(Box::new(near) as BoxedIo)
        }
        .boxed()
    }

    fn heads(&self) -> Option<Arc<Heads>> {
        self.0.heads.lock().unwrap().clone()
    }
}
