//! A host with nothing but a state directory and a scripted engine.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::deployer::{Deployer, Submission};
use agent::engine::scripted::{Method, ScriptedEngine};
use agent::engine::{Engine as _, Run, Up};
use agent::journal::Watcher;
use agent::stage::{Session, compose_project};
use agent::store::{Stage, Store};
use proto::event::{Event, EventKind, Outcome, State};
use proto::fault::Fault;
use proto::id::{DeployId, RevisionId, StackName};
use proto::plan::{Action, Plan, Scope};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bundle::{Bundle, blob};

/// Longer than any deadline of a deploy; the suite's clock is paused, so it passes at once when nothing else can.
const EVER: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) const WEB: &str = "r/web:1";
pub(crate) const DB: &str = "r/db:1";

/// A claim's patience: what never happens is a failure, not a hang.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(EVER, future)
        .await
        .expect("it never happened")
}

pub(crate) fn id(number: u8) -> DeployId {
    DeployId::from_bytes([number; 16])
}

/// How a deploy ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) state: State,
    pub(crate) revision: Option<RevisionId>,
    pub(crate) fault: Option<Fault>,
}

/// One host.
pub(crate) struct World {
    pub(crate) engine: ScriptedEngine,
    pub(crate) store: Arc<Store>,
    pub(crate) deployer: Deployer,
    root: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::open(published(), tempfile::tempdir().unwrap())
    }

    /// The same on a disk that is quick, for tests of many hosts.
    pub(crate) fn in_memory() -> Self {
        Self::open(published(), in_memory())
    }

    fn open(engine: ScriptedEngine, root: TempDir) -> Self {
        let store = Arc::new(Store::open(root.path()).unwrap());
        let deployer = Deployer::new(store.clone(), Arc::new(engine.clone())).unwrap();
        Self {
            engine,
            store,
            deployer,
            root,
        }
    }

    /// An agent on what another one left there; `root` is where that one was, and is no more.
    pub(crate) fn take_over(engine: ScriptedEngine, state: &Path, root: &Path) -> Self {
        let root = tempfile::Builder::new()
            .prefix(root.file_name().unwrap())
            .rand_bytes(0)
            .tempdir_in(root.parent().unwrap())
            .unwrap();
        std::fs::remove_dir(root.path()).unwrap();
        std::fs::rename(state, root.path()).unwrap();
        Self::open(engine, root)
    }

    /// The agent is gone and another one starts. Its tasks must be gone before: they hold the store.
    pub(crate) fn restart(self) -> Self {
        let Self {
            engine,
            store,
            deployer,
            root,
        } = self;
        drop((deployer, store));
        Self::open(engine, root)
    }

    /// The same on an engine for which no troubles are planned any more.
    pub(crate) fn restart_without_troubles(mut self) -> Self {
        self.engine = self.engine.fork();
        self.restart()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) fn project(&self, stack: &str) -> PathBuf {
        self.store.project_directory(&name(stack))
    }

    pub(crate) fn revision(&self, stack: &str) -> Option<RevisionId> {
        self.store.current(&name(stack)).unwrap().map(|it| it.id)
    }

    /// Announces the bundle, sends what is asked for, and lets Compose read it, as a controller does.
    pub(crate) async fn stage(&self, bundle: &Bundle) -> Result<Stage, Fault> {
        let mut session = self.deployer.stage(bundle.spec.clone().into())?;
        self.fill(&mut session, bundle)?;
        session.wanted().await?;
        session.finish().await
    }

    pub(crate) fn fill(&self, session: &mut Session, bundle: &Bundle) -> Result<(), Fault> {
        for asked in session.add(Vec::new())? {
            let content = bundle.contents.iter().find(|text| blob(text) == asked);
            session.chunk(asked, 0, content.unwrap().as_bytes())?;
        }
        assert!(session.is_complete());
        Ok(())
    }

    pub(crate) async fn plan(&self, bundle: &Bundle) -> Result<Plan, Fault> {
        self.plan_part(bundle, &Scope::Whole).await
    }

    pub(crate) async fn plan_part(&self, bundle: &Bundle, scope: &Scope) -> Result<Plan, Fault> {
        let stage = self.stage(bundle).await?;
        self.deployer.plan(stage.id, scope, &[], false).await
    }

    pub(crate) async fn plan_adopting(&self, bundle: &Bundle) -> Result<Plan, Fault> {
        let stage = self.stage(bundle).await?;
        self.deployer.plan(stage.id, &Scope::Whole, &[], true).await
    }

    /// Somebody runs `docker compose up -d` in a folder.
    pub(crate) async fn up_by_hand(&self, bundle: &Bundle, folder: &Path) {
        let project = compose_project(&bundle.spec, folder);
        let (lines, mut received) = mpsc::channel(64);
        let run = Run {
            lines,
            deadline: EVER,
            stop: CancellationToken::new(),
        };
        let read = async { while received.recv().await.is_some() {} };
        let up = Up::default();
        let (done, ()) = tokio::join!(self.engine.up(&project, &up, run), read);
        done.unwrap();
    }

    pub(crate) fn submit(&self, plan: &Plan, deploy: DeployId) -> Result<bool, Fault> {
        self.deployer.deploy(submission(plan, deploy))
    }

    /// Plans and submits a deploy that has to be confirmed; it is on its way.
    pub(crate) async fn begin_to_confirm(
        &self,
        bundle: &Bundle,
        number: u8,
        within: Duration,
    ) -> Watcher {
        let plan = self.plan(bundle).await.unwrap();
        let submission = Submission {
            confirm_within: Some(within),
            ..submission(&plan, id(number))
        };
        assert!(!self.deployer.deploy(submission).unwrap());
        self.deployer.watch(&id(number), 0).unwrap()
    }

    pub(crate) fn roll_back(
        &self,
        stack: &str,
        to: Option<RevisionId>,
        number: u8,
    ) -> Result<bool, Fault> {
        let operator = "ana".parse().unwrap();
        self.deployer
            .roll_back(id(number), name(stack), to, Vec::new(), operator)
    }

    /// Plans and submits; it is on its way.
    pub(crate) async fn begin(&self, bundle: &Bundle, number: u8) -> Watcher {
        let plan = self.plan(bundle).await.unwrap();
        assert!(!self.submit(&plan, id(number)).unwrap());
        self.deployer.watch(&id(number), 0).unwrap()
    }

    /// Plans, submits and waits for the end.
    pub(crate) async fn deploy(&self, bundle: &Bundle, number: u8) -> End {
        end(&mut self.begin(bundle, number).await).await
    }

    /// Every durable event after a number.
    pub(crate) async fn events(&self, number: u8, after: u64) -> Vec<Event> {
        rest(&mut self.deployer.watch(&id(number), after).unwrap()).await
    }

    pub(crate) fn count(&self, method: Method) -> usize {
        self.engine.calls_of(method).len()
    }

    /// The id of the container of this name.
    pub(crate) fn container(&self, name: &str) -> Option<String> {
        let all = self.engine.all_containers();
        all.into_iter().find(|it| it.name == name).map(|it| it.id)
    }
}

/// An engine whose registry has what the bundles name.
fn published() -> ScriptedEngine {
    let engine = ScriptedEngine::new();
    for image in [WEB, "r/web:2", DB, "r/api:1"] {
        engine.publish(image, image, &["linux/amd64"]);
    }
    engine
}

/// A folder in memory, where the machine has one.
pub(crate) fn in_memory() -> TempDir {
    let quick = Path::new("/dev/shm");
    if quick.is_dir() {
        tempfile::tempdir_in(quick).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

pub(crate) fn name(stack: &str) -> StackName {
    stack.parse().unwrap()
}

pub(crate) fn submission(plan: &Plan, deploy: DeployId) -> Submission {
    Submission {
        deploy,
        plan: plan.id,
        auths: Vec::new(),
        remove_orphans: false,
        force: false,
        overwrite: proto::plan::Overwrite::default(),
        confirm_within: None,
        operator: "ana".parse().unwrap(),
    }
}

/// Waits until something is told.
pub(crate) async fn until(watcher: &mut Watcher, mut told: impl FnMut(&EventKind) -> bool) {
    loop {
        let event = soon(watcher.next()).await.expect("it ended before");
        if told(&event.kind) {
            return;
        }
    }
}

pub(crate) fn entered(state: State) -> impl Fn(&EventKind) -> bool {
    move |kind| *kind == EventKind::StateEntered { state }
}

/// Every durable event that is left.
pub(crate) async fn rest(watcher: &mut Watcher) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = soon(watcher.next()).await {
        if event.kind.is_durable() {
            events.push(event);
        }
    }
    events
}

pub(crate) async fn end(watcher: &mut Watcher) -> End {
    ended(&rest(watcher).await)
}

pub(crate) fn ended(events: &[Event]) -> End {
    match events.last().map(|event| event.kind.clone()) {
        Some(EventKind::Finished {
            outcome,
            state,
            revision,
            fault,
        }) => End {
            outcome,
            state,
            revision,
            fault,
        },
        other => panic!("the last event is {other:?}"),
    }
}

/// Services of a plan that something happens to.
pub(crate) fn touched(plan: &Plan) -> Vec<(&str, Action)> {
    let services = plan.services.iter();
    let touched = services.filter(|it| it.action != Action::Keep);
    touched.map(|it| (it.service.as_str(), it.action)).collect()
}

/// Every file below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
