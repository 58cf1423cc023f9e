//! Every changing call leaves one entry, whatever it is answered, and every answer carries the record's head.

use std::collections::BTreeMap;
use std::convert::Infallible;

use proto::audit::{Called, Chain, Decision, Ended, Entry, Fact, HEADER, Head};
use proto::event::{Outcome, State};
use proto::fault::FaultKind;
use proto::role::Role;
use proto::stack::{ShippedFile, StackOffer, StackSpec};
use proto::wire::v1::{
    Chunk, StageBegin, StageFiles, stage_request::Body as Asked, stage_response::Body as Answer,
};
use sha2::{Digest as _, Sha256};
use tonic::body::Body;
use tonic::codegen::http;
use tower::ServiceExt as _;
use tower::util::BoxCloneService;

use super::*;
use crate::audit::pages;
use crate::deployer::Deployer;
use crate::engine::scripted::ScriptedEngine;
use crate::service::AgentService;
use crate::store::Store;

type Wire = BoxCloneService<http::Request<Body>, http::Response<Body>, Infallible>;

const COMPOSE: &str = r#"{"services":{"web":{"image":"r/web:1"}}}"#;

/// An agent behind its guard and its record, without a network.
struct Host {
    folder: TempDir,
    trust: Arc<Trust>,
    store: Arc<Store>,
    deployer: Arc<Deployer>,
}

impl Host {
    fn new() -> Self {
        let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
        fleet.install(folder.path(), &List::default());
        let trust = Arc::new(Trust::load(folder.path()).unwrap());
        let store = Arc::new(Store::open(&folder.path().join("state")).unwrap());
        let engine = ScriptedEngine::new();
        engine.publish("r/web:1", "r/web:1", &["linux/amd64"]);
        let deployer = Arc::new(Deployer::new(store.clone(), Arc::new(engine)).unwrap());
        Self {
            folder,
            trust,
            store,
            deployer,
        }
    }

    fn client(&self, role: Role) -> AgentClient<Wire> {
        let peer = Peer {
            operator: "ana".parse().unwrap(),
            role,
            fleet: "opq".parse().unwrap(),
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            expires: u64::MAX,
            serial: vec![0x0a, 0x1b],
            issuer: self.trust.current().issuer(),
        };
        let host = "emilia".parse().unwrap();
        let service = AgentService::new(host, self.deployer.clone(), CancellationToken::new());
        let guarded = Guard::new(AgentServer::new(service), self.trust.clone());
        let recorded = Recorded::new(guarded, self.store.audit().clone());
        let known = recorded.map_request(move |mut request: http::Request<Body>| {
            request.extensions_mut().insert(peer.clone());
            request
        });
        AgentClient::new(BoxCloneService::new(known))
    }

    /// The whole record, which holds.
    fn record(&self) -> Vec<Entry> {
        let mut chain = Chain::new(self.store.audit().head());
        let mut entries = Vec::new();
        pages(&self.folder.path().join("state/audit"), 0, 0, |lines| {
            entries.extend(lines.iter().filter_map(|line| chain.take(line)));
            true
        })
        .unwrap();
        let verdict = chain.finish();
        assert!(verdict.holds(), "{verdict:?}");
        entries
    }

    /// What the newest calls left, the newest last.
    fn calls(&self) -> Vec<Called> {
        let called = |entry: Entry| match entry.fact {
            Fact::Called(called) => Some(called),
            _ => None,
        };
        self.record().into_iter().filter_map(called).collect()
    }

    fn last(&self) -> Called {
        self.calls().pop().unwrap()
    }

    /// Brings a stack there as a controller does.
    async fn stage(&self, compose: &str) -> Result<String, Status> {
        let blob: [u8; 32] = Sha256::digest(compose).into();
        let compose_file = "compose.yaml".parse().unwrap();
        let files = vec![ShippedFile {
            path: "compose.yaml".parse().unwrap(),
            mode: 0o644,
            size: compose.len() as u64,
            blob: proto::id::BlobId::from_bytes(blob),
        }];
        let spec = StackSpec {
            files,
            ..StackSpec::new("opq".parse().unwrap(), "opq".parse().unwrap(), compose_file)
        };
        let (asks, asked) = mpsc::channel(4);
        let say = async |body| {
            let body = Some(body);
            asks.send(StageRequest { body }).await.unwrap();
        };
        say(Asked::Begin(StageBegin::from(StackOffer::from(spec)))).await;
        let mut client = self.client(Role::Deployer);
        let mut answers = client.stage(ReceiverStream::new(asked)).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            match answer.body.unwrap() {
                Answer::Need(need) if !need.blobs.is_empty() => {
                    let (blob, data) = (need.blobs[0].clone(), compose.as_bytes().to_vec());
                    let offset = 0;
                    say(Asked::Chunk(Chunk { blob, offset, data })).await;
                }
                Answer::Need(_) => {}
                Answer::Wants(_) => say(Asked::Files(StageFiles::default())).await,
                Answer::Staged(staged) => return Ok(staged.stage),
            }
        }
        panic!("it ended before")
    }

    async fn plan(&self) -> String {
        let stage = self.stage(COMPOSE).await.unwrap();
        let request = PlanRequest {
            stage,
            ..PlanRequest::default()
        };
        let plan = self.client(Role::Deployer).plan(request).await.unwrap();
        plan.into_inner().plan.unwrap().plan
    }

    async fn ended(&self, deploy: &str) {
        let mut watcher = self.deployer.watch(&deploy.parse().unwrap(), 0).unwrap();
        while watcher.next().await.is_some() {}
    }
}

fn head_of<T>(answer: &Result<Response<T>, Status>) -> Head {
    let metadata = match answer {
        Ok(response) => response.metadata(),
        Err(status) => status.metadata(),
    };
    metadata
        .get(HEADER)
        .unwrap()
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn id(digit: &str) -> String {
    digit.repeat(32)
}

fn deploy(id: &str, plan: String) -> DeployRequest {
    DeployRequest {
        deploy: id.to_owned(),
        plan,
        ..DeployRequest::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_deploy_leaves_who_asked_what_and_how_it_ended() {
    let host = Host::new();
    let plan = host.plan().await;
    let mut client = host.client(Role::Deployer);
    let answer = client.deploy(deploy(&id("1"), plan.clone())).await;
    let told = head_of(&answer);
    host.ended(&id("1")).await;
    let record = host.record();
    let [staged, called, ended] = &record[..] else {
        panic!("{record:#?}")
    };
    let Fact::Called(staged) = &staged.fact else {
        panic!("{staged:?}")
    };
    assert_eq!(
        (staged.verb.as_str(), staged.decision),
        ("Stage", Decision::LetIn)
    );
    assert_eq!(
        told.number, called.number,
        "it was written before it was answered"
    );
    let Fact::Called(called) = &called.fact else {
        panic!("{called:?}")
    };
    let asked = called.asked.split(" stage ").next().unwrap().to_owned();
    let expected = Called {
        operator: "ana".parse().unwrap(),
        role: Role::Deployer,
        serial: "0a1b".to_owned(),
        verb: "Deploy".to_owned(),
        stack: Some("opq".parse().unwrap()),
        deploy: Some(id("1").parse().unwrap()),
        asked: called.asked.clone(),
        decision: Decision::LetIn,
    };
    assert_eq!(*called, expected);
    assert_eq!(asked, format!("plan {plan} remove_orphans false"));
    let Fact::Ended(ended) = &ended.fact else {
        panic!("{ended:?}")
    };
    let revision = host.store.current(&"opq".parse().unwrap()).unwrap();
    let expected = Ended {
        operator: Some("ana".parse().unwrap()),
        stack: "opq".parse().unwrap(),
        deploy: id("1").parse().unwrap(),
        outcome: Outcome::Succeeded,
        state: State::Committed,
        revision: revision.map(|it| it.id),
        fault: None,
    };
    assert_eq!(*ended, expected);
}

#[tokio::test(start_paused = true)]
async fn every_changing_call_leaves_exactly_one_entry_and_reading_none() {
    let host = Host::new();
    let plan = host.plan().await;
    let before = host.calls().len();
    let mut client = host.client(Role::Admin);
    let stack = "opq".to_owned();
    client.deploy(deploy(&id("1"), plan.clone())).await.unwrap();
    client.deploy(deploy(&id("1"), plan.clone())).await.unwrap();
    let busy = client.down(DownRequest {
        deploy: id("2"),
        stack: stack.clone(),
        volumes: true,
    });
    assert_eq!(busy.await.unwrap_err().code(), Code::Aborted);
    let cancel = CancelRequest {
        deploy: id("1"),
        stack: String::new(),
    };
    client.cancel(cancel).await.unwrap();
    host.ended(&id("1")).await;
    client.deploy(deploy(&id("3"), plan)).await.unwrap();
    host.ended(&id("3")).await;
    let back = RollbackRequest {
        deploy: id("4"),
        stack: stack.clone(),
        revision: String::new(),
        auths: Vec::new(),
    };
    client.rollback(back).await.unwrap_err();
    client.deploy(deploy("no id", id("9"))).await.unwrap_err();
    client.deploy(deploy(&id("5"), id("9"))).await.unwrap_err();
    client
        .down(DownRequest {
            deploy: id("6"),
            stack: stack.clone(),
            volumes: false,
        })
        .await
        .unwrap();
    host.ended(&id("6")).await;

    let calls = host.calls();
    let told = calls[before..]
        .iter()
        .map(|it| (it.verb.as_str(), it.decision));
    let (let_in, refused) = (Decision::LetIn, Decision::Refused);
    let expected = [
        ("Deploy", let_in),
        ("Deploy", let_in),
        ("Down", refused(FaultKind::Busy)),
        ("Cancel", let_in),
        ("Deploy", let_in),
        ("Rollback", refused(FaultKind::Refused)),
        ("Deploy", refused(FaultKind::InvalidRequest)),
        ("Deploy", refused(FaultKind::Stale)),
        ("Down", let_in),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let about: Vec<_> = calls[before..]
        .iter()
        .map(|it| it.stack.is_some())
        .collect();
    assert_eq!(
        about,
        [true, true, true, true, true, true, false, false, true]
    );
    let mut ends = BTreeMap::new();
    for entry in host.record() {
        if let Fact::Ended(ended) = entry.fact {
            *ends.entry(ended.deploy.to_string()).or_insert(0) += 1;
        }
    }
    assert_eq!(
        ends,
        BTreeMap::from([(id("1"), 1), (id("3"), 1), (id("6"), 1)])
    );

    let entries = host.record().len();
    client.hello(HelloRequest::default()).await.ok();
    client.status(StatusRequest::default()).await.unwrap();
    client
        .watch(WatchRequest {
            deploy: id("6"),
            ..WatchRequest::default()
        })
        .await
        .unwrap();
    client
        .history(HistoryRequest { stack, limit: 0 })
        .await
        .unwrap();
    client.audit(AuditRequest::default()).await.unwrap();
    host.stage(COMPOSE).await.unwrap();
    assert_eq!(
        host.record().len(),
        entries,
        "the same stack staged again is nothing new"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_a_backup_away_is_on_record_before_its_first_byte() {
    let host = Host::new();
    let plan = host.plan().await;
    let mut client = host.client(Role::Deployer);
    client.deploy(deploy(&id("1"), plan)).await.unwrap();
    host.ended(&id("1")).await;
    let folder = host.store.deploy_folder(&id("1").parse().unwrap());
    std::fs::write(crate::deploy::saved_file(&folder, 0), "dump").unwrap();
    let wanted = |hook, offset| SavedRequest {
        deploy: id("1"),
        hook,
        offset,
    };
    let before = host.calls().len();
    let mut chunks = client.saved(wanted(0, 0)).await.unwrap().into_inner();
    let last = host.last();
    assert_eq!(
        (last.verb.as_str(), last.decision),
        ("Saved", Decision::LetIn)
    );
    assert_eq!(last.asked, "what hook 0 has saved");
    assert_eq!(last.stack, Some("opq".parse().unwrap()));
    assert_eq!(last.deploy, Some(id("1").parse().unwrap()));
    let chunk = chunks.message().await.unwrap().unwrap();
    assert_eq!(chunk.data, b"dump");

    client.saved(wanted(0, 2)).await.unwrap();
    client.saved(wanted(1, 0)).await.unwrap_err();
    let mut viewer = host.client(Role::Viewer);
    viewer.saved(wanted(0, 0)).await.unwrap_err();
    let refused = Decision::Refused;
    let told = host.calls().split_off(before);
    let told: Vec<_> = told.iter().map(|it| (it.role, it.decision)).collect();
    let expected = [
        (Role::Deployer, Decision::LetIn),
        (Role::Deployer, Decision::LetIn),
        (Role::Deployer, refused(FaultKind::UnknownName)),
        (Role::Viewer, refused(FaultKind::Denied)),
    ];
    assert_eq!(told, expected);

    host.store.audit().fill_the_disk(true);
    client.saved(wanted(0, 0)).await.unwrap_err();
}

#[tokio::test]
async fn who_may_not_is_in_the_record_and_not_in_the_way() {
    let host = Host::new();
    let mut viewer = host.client(Role::Viewer);
    let denied = Decision::Refused(FaultKind::Denied);
    let answer = viewer.deploy(deploy(&id("1"), id("2"))).await;
    assert_eq!(head_of(&answer).number, 1);
    assert_eq!(answer.unwrap_err().code(), Code::PermissionDenied);
    let last = host.last();
    assert_eq!(
        (last.verb.as_str(), last.role, last.decision),
        ("Deploy", Role::Viewer, denied)
    );
    let staged = viewer.stage(tokio_stream::pending()).await;
    assert_eq!(staged.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(
        (host.last().verb.as_str(), host.last().decision),
        ("Stage", denied)
    );
    let planned = viewer.plan(PlanRequest::default()).await;
    assert_eq!(planned.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(
        (host.last().verb.as_str(), host.last().decision),
        ("Plan", denied),
        "what only reads, too"
    );
    let down = DownRequest {
        deploy: id("3"),
        stack: "opq".to_owned(),
        volumes: true,
    };
    let answer = host.client(Role::Deployer).down(down).await;
    assert_eq!(answer.unwrap_err().code(), Code::PermissionDenied);
    let last = host.last();
    assert_eq!(
        (last.asked.as_str(), last.decision),
        ("down opq volumes true", denied)
    );
    assert_eq!(host.calls().len(), 4);
}

#[tokio::test]
async fn every_answer_carries_the_head() {
    let host = Host::new();
    let mut client = host.client(Role::Viewer);
    let read = client.status(StatusRequest::default()).await;
    assert_eq!(head_of(&read), Head::NONE);
    client.deploy(deploy(&id("1"), id("2"))).await.unwrap_err();
    let head = host.store.audit().head().unwrap();
    let unknown = client.history(HistoryRequest {
        stack: "no".to_owned(),
        limit: 0,
    });
    assert_eq!(head_of(&unknown.await), head);
    assert_eq!(head_of(&client.audit(AuditRequest::default()).await), head);
}

#[tokio::test(start_paused = true)]
async fn without_a_record_nothing_is_changed_and_everything_can_be_read() {
    let host = Host::new();
    let plan = host.plan().await;
    host.store.audit().fill_the_disk(true);
    let mut client = host.client(Role::Admin);
    let stack = "opq".to_owned();
    let refused = client
        .deploy(deploy(&id("1"), plan.clone()))
        .await
        .unwrap_err();
    let fault = fault_from_status(&refused).unwrap();
    assert!(
        fault.what.contains("audit record cannot be written"),
        "{fault:?}"
    );
    client
        .cancel(CancelRequest {
            deploy: id("1"),
            stack: stack.clone(),
        })
        .await
        .unwrap_err();
    client.status(StatusRequest::default()).await.unwrap();
    let answer = host
        .client(Role::Viewer)
        .deploy(deploy(&id("1"), plan.clone()))
        .await;
    assert!(answer.is_err());
    assert_eq!(host.deployer.running(&stack.parse().unwrap()), None);
    assert!(host.store.deploys().unwrap().is_empty());
    host.store.audit().fill_the_disk(false);
    client.deploy(deploy(&id("1"), plan)).await.unwrap();
    // From here on the disk is full again: the end waits, and is told when there is room.
    host.store.audit().fill_the_disk(true);
    host.ended(&id("1")).await;
    host.store.audit().fill_the_disk(false);
    let ended = |entry: &Entry| matches!(entry.fact, Fact::Ended(_));
    assert!(!host.record().iter().any(ended));
    client
        .cancel(CancelRequest {
            deploy: id("1"),
            stack,
        })
        .await
        .unwrap();
    assert!(host.record().iter().any(ended));
}
