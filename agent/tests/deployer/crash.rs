//! The agent is killed between any two of its changes to the host; the next one ends every deploy in old or new.
//!
//! A crash leaves what had been written by then, and containers as they were. So the host is copied after each write
//! and around each call of the engine, and on every copy another agent takes over.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::deployer::Submission;
use agent::engine::scripted::{Behaviour, ScriptedEngine};
use agent::witness;
use proto::event::{ContainerState, EventKind, Outcome, State};
use proto::hook::{Hook, SavePlace, When};
use proto::id::{DeployId, RevisionId};
use proto::plan::Scope;
use serde_json::json;
use tempfile::TempDir;

use crate::adopt::{stack, start_by_hand};
use crate::deeds::life;
use crate::hooks::{hook, saving};
use crate::world::{Bundle, DB, End, WEB, World, end, name, submission};

/// The host as a crash would leave it.
struct Copy {
    state: PathBuf,
    engine: ScriptedEngine,
}

/// Takes copies until it is dropped.
struct Copies {
    folder: TempDir,
    taken: Arc<Mutex<Vec<Copy>>>,
    engine: ScriptedEngine,
    _watch: witness::Guard,
}

impl Copies {
    fn of(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let root = world.path("");
        let take = {
            let (taken, engine) = (taken.clone(), world.engine.clone());
            let (root, folder) = (root.clone(), folder.path().to_owned());
            move || {
                let mut taken = taken.lock().unwrap();
                let state = folder.join(taken.len().to_string());
                copy(&root, &state);
                taken.push(Copy {
                    state,
                    engine: engine.fork(),
                });
            }
        };
        let on_call = take.clone();
        world.engine.watch(Some(on_call));
        Self {
            folder,
            taken,
            engine: world.engine.clone(),
            _watch: witness::watch(&root, move |_: &Path| take()),
        }
    }

    fn stop(self) -> (TempDir, Vec<Copy>) {
        self.engine.watch(None::<fn()>);
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        (self.folder, taken)
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // Room that is kept free is nothing to lose.
        if entry.file_name() == "reserve" {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What happens to a host that may have a first version.
enum Change {
    Deploy(Bundle),
    Part(Bundle, Scope),
    /// The engine begins to restart the database, which is left alone.
    Shaken(Bundle),
    /// Nobody will.
    ToConfirm(Bundle),
    /// Of what somebody started by hand: started, then taken over by this.
    Adopt(Box<[Bundle; 2]>),
    RollBack,
    Down,
}

struct Scenario {
    before: Vec<Bundle>,
    change: Change,
    broken: Option<&'static str>,
}

fn version(web: &str, db: &str) -> Bundle {
    let conf = json!({ "type": "bind", "source": "./conf", "target": "/c" });
    let services = json!({
        "web": { "image": web, "volumes": [conf] },
        "db": { "image": DB, "command": [db] },
    });
    Bundle::new("shop", services).file("conf/web.conf", web)
}

fn second() -> Bundle {
    let more = json!({ "image": "r/api:1" });
    let services = json!({
        "web": { "image": "r/web:2" },
        "db": { "image": DB, "command": ["2"] },
        "api": more,
    });
    Bundle::new("shop", services).file("new/file", "2")
}

impl Change {
    /// Submits it, taking copies from just before.
    async fn begin(&self, world: &World) -> Copies {
        let scope = match self {
            Self::Part(_, scope) => scope.clone(),
            _ => Scope::Whole,
        };
        let plan = match self {
            Self::Deploy(bundle)
            | Self::Part(bundle, _)
            | Self::Shaken(bundle)
            | Self::ToConfirm(bundle) => Some(world.plan_part(bundle, &scope).await.unwrap()),
            Self::Adopt(bundles) => Some(world.plan_adopting(&bundles[1]).await.unwrap()),
            _ => None,
        };
        let copies = Copies::of(world);
        let ana = "ana".parse().unwrap();
        let existed = match (self, plan) {
            (Self::ToConfirm(_), Some(plan)) => world.deployer.deploy(Submission {
                confirm_within: Some(Duration::from_secs(60)),
                ..submission(&plan, NEW)
            }),
            (_, Some(plan)) => world.submit(&plan, NEW),
            (Self::RollBack, _) => world.roll_back("shop", None, 99),
            _ => world.deployer.down(NEW, name("shop"), false, ana),
        };
        assert!(!existed.unwrap());
        if let Self::Shaken(_) = self {
            let crashes = Behaviour::crashes_every(Duration::from_secs(1));
            world.engine.live("shop-db-1", crashes);
        }
        copies
    }
}

impl Scenario {
    /// Runs it once, and then from every copy that was taken on the way; answers how many there were.
    fn survive(self) -> usize {
        let first = life();
        let (root, copies, whole, known, found) = first.block_on(async {
            let world = World::new();
            for (number, bundle) in (1..).zip(&self.before) {
                let end = world.deploy(bundle, number).await;
                assert_eq!(end.outcome, Outcome::Succeeded);
            }
            let current = world.revision("shop");
            if let Some(image) = self.broken {
                let broken = Behaviour::crashes_every(Duration::from_secs(1));
                world.engine.behave(image, broken);
            }
            if let Change::Adopt(bundles) = &self.change {
                start_by_hand(&world, &bundles[0]).await;
            }
            let by_hand = matches!(self.change, Change::Adopt(..));
            let found = world.engine.all_containers().into_iter();
            let found: Vec<String> = found.filter(|_| by_hand).map(|it| it.id).collect();
            let copies = self.change.begin(&world).await;
            let whole = end(&mut world.deployer.watch(&NEW, 0).unwrap()).await;
            // Whatever else was committed before, a crash leaves this revision or that one.
            let mut known = BTreeSet::from([current, whole.revision]);
            let kept = world.store.revisions(&name("shop")).unwrap().into_iter();
            known.extend(kept.filter(|it| it.found.is_some()).map(|it| Some(it.id)));
            (world.path(""), copies.stop(), whole, known, found)
        });
        let count = copies.1.len();
        for (number, copy) in copies.1.into_iter().enumerate() {
            let world = World::take_over(copy.engine, &copy.state, &root);
            life().block_on(claim_whole(
                &world,
                &format!("{number}"),
                &whole,
                &known,
                &found,
            ));
        }
        count
    }
}

/// After a crash at this copy: the deploy has ended, and what runs is exactly what is recorded.
pub(crate) async fn claim_whole(
    world: &World,
    number: &str,
    whole: &End,
    known: &BTreeSet<Option<RevisionId>>,
    found: &[String],
) {
    world.deployer.recover().await;
    let Ok(mut watcher) = world.deployer.watch(&NEW, 0) else {
        // Killed before it was taken.
        return claim_agreed(world, number, found);
    };
    let ended = end(&mut watcher).await;
    let current = world.revision("shop");
    assert_eq!(ended.revision, current, "{number}: {ended:?}");
    assert!(known.contains(&current), "{number}: {ended:?}");
    match ended.outcome {
        Outcome::Interrupted => assert_eq!(ended.state, State::Failed, "{number}"),
        // A hook after the commit was cut off.
        Outcome::Failed if ended.state == State::Committed => {
            assert_eq!(ended.revision, whole.revision, "{number}");
            let told = Some(Outcome::Interrupted);
            assert!(hooks_told(world).await.contains(&told), "{number}");
        }
        outcome => assert_eq!(
            (outcome, ended.state, ended.revision),
            (whole.outcome, whole.state, whole.revision),
            "{number}"
        ),
    }
    claim_agreed(world, number, found);
    assert!(world.engine.running_commands().is_empty(), "{number}");
    let hooks = hooks_told(world).await;
    if ended.state == State::Committed {
        assert!(hooks.iter().all(Option::is_some), "{number}: {hooks:?}");
        let wanted = current_hooks(world);
        assert_eq!(hooks.len(), wanted, "{number}: some were forgotten");
    }
    assert_eq!(world.deployer.running(&name("shop")), None);
    let left = std::fs::read_dir(world.path("work")).unwrap().count();
    assert_eq!(left, 0, "{number}: work that nobody needs");
    let ends = world.events(99, 0).await;
    let ends = ends.iter().filter(|it| it.kind.is_last()).count();
    assert_eq!(ends, 1, "{number}: it ended {ends} times");
}

/// How each hook of the deploy ended, when that was told; each no more than once.
async fn hooks_told(world: &World) -> Vec<Option<Outcome>> {
    let mut told = std::collections::BTreeMap::new();
    for event in world.events(99, 0).await {
        match event.kind {
            EventKind::HookStarted { hook, .. } => assert!(told.insert(hook, None).is_none()),
            EventKind::HookFinished { hook, outcome, .. } => {
                assert_eq!(told.insert(hook, Some(outcome)), Some(None));
            }
            _ => {}
        }
    }
    told.into_values().collect()
}

fn current_hooks(world: &World) -> usize {
    let current = world.store.current(&name("shop")).unwrap();
    let ours = current.filter(|current| current.deploy == NEW);
    ours.map_or(0, |current| current.spec.hooks.len())
}

/// The containers and the files are those of the recorded revision, and nothing else is there.
pub(crate) fn claim_agreed(world: &World, number: &str, found: &[String]) {
    let current = world.store.current(&name("shop")).unwrap();
    let containers = world.engine.all_containers();
    let names: Vec<&str> = containers.iter().map(|it| it.service.as_str()).collect();
    let Some(current) = current else {
        let there: Vec<&String> = containers.iter().map(|it| &it.id).collect();
        assert!(
            there.iter().copied().eq(found),
            "{number}: {names:?} of no revision"
        );
        return;
    };
    let wanted: Vec<&str> = current
        .resolved
        .services
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len(), "{number}: two of one service");
    assert_eq!(unique, wanted.iter().copied().collect(), "{number}");
    for container in &containers {
        let service = current.resolved.service(&container.service).unwrap();
        assert_eq!(
            container.config_hash, current.config_hashes[&container.service],
            "{number}"
        );
        assert_eq!(container.state, ContainerState::Running, "{number}");
        if !current.older.contains_key(&container.service) {
            assert_eq!(
                container.image_id, current.images[&service.image].id,
                "{number}"
            );
        }
    }
    for file in &current.spec.files {
        let path = file.path.under(&world.project("shop"));
        let content = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            crate::world::blob(&content),
            file.blob,
            "{number}: {}",
            file.path
        );
    }
}

const NEW: DeployId = DeployId::from_bytes([99; 16]);

fn first() -> Vec<Bundle> {
    vec![version(WEB, "1")]
}

/// Fewer than these would mean that the copies are not taken.
fn claim_many(points: usize, least: usize) {
    assert!(points >= least, "only {points} points");
}

#[test]
fn killed_anywhere_in_a_good_deploy() {
    let scenario = Scenario {
        before: first(),
        change: Change::Deploy(second()),
        broken: None,
    };
    claim_many(scenario.survive(), 45);
}

#[test]
fn killed_anywhere_in_a_deploy_that_fails_and_goes_back() {
    let scenario = Scenario {
        before: first(),
        change: Change::Deploy(second()),
        broken: Some("r/api:1"),
    };
    claim_many(scenario.survive(), 70);
}

#[test]
fn killed_anywhere_on_the_way_back_past_what_the_engine_keeps_restarting() {
    let scenario = Scenario {
        before: first(),
        change: Change::Shaken(version("r/web:2", "1")),
        broken: None,
    };
    claim_many(scenario.survive(), 60);
}

#[test]
fn killed_anywhere_in_a_deploy_that_nobody_confirms() {
    let scenario = Scenario {
        before: first(),
        change: Change::ToConfirm(second()),
        broken: None,
    };
    claim_many(scenario.survive(), 70);
}

#[test]
fn killed_anywhere_in_a_first_deploy() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Deploy(version(WEB, "1")),
        broken: None,
    };
    claim_many(scenario.survive(), 40);
}

#[test]
fn killed_anywhere_in_a_first_deploy_that_fails() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Deploy(version(WEB, "1")),
        broken: Some(WEB),
    };
    claim_many(scenario.survive(), 40);
}

#[test]
fn killed_anywhere_in_a_rollback() {
    let scenario = Scenario {
        before: vec![version(WEB, "1"), second()],
        change: Change::RollBack,
        broken: None,
    };
    claim_many(scenario.survive(), 40);
}

#[test]
fn killed_anywhere_in_a_rollback_that_fails() {
    let scenario = Scenario {
        before: vec![version(WEB, "1"), second()],
        change: Change::RollBack,
        broken: Some(WEB),
    };
    claim_many(scenario.survive(), 60);
}

#[test]
fn killed_anywhere_in_a_deploy_of_one_service() {
    let web = Scope::Alone(["web".parse().unwrap()].into());
    let scenario = Scenario {
        before: first(),
        change: Change::Part(version("r/web:2", "2"), web),
        broken: None,
    };
    claim_many(scenario.survive(), 30);
}

#[test]
fn killed_anywhere_on_the_way_down() {
    let scenario = Scenario {
        before: first(),
        change: Change::Down,
        broken: None,
    };
    claim_many(scenario.survive(), 10);
}

/// On both sides, in both kinds of containers, and one whose output is kept.
fn with_hooks() -> Bundle {
    let once = |when| Hook {
        one_off: true,
        ..hook(when, "web", "tool")
    };
    let backup = Hook {
        save: saving(SavePlace::Workstation, "{time}"),
        ..hook(When::Before, "db", "pg_dump")
    };
    second()
        .hook(backup)
        .hook(once(When::Before))
        .hook(hook(When::After, "db", "first"))
        .hook(once(When::After))
        .hook(hook(When::After, "web", "last"))
}

#[test]
fn killed_anywhere_in_a_deploy_with_hooks() {
    let scenario = Scenario {
        before: first(),
        change: Change::Deploy(with_hooks()),
        broken: None,
    };
    claim_many(scenario.survive(), 90);
}

#[test]
fn killed_anywhere_in_a_deploy_with_hooks_that_goes_back() {
    let scenario = Scenario {
        before: first(),
        change: Change::Deploy(with_hooks()),
        broken: Some("r/api:1"),
    };
    claim_many(scenario.survive(), 90);
}

#[test]
fn killed_anywhere_in_a_takeover_that_changes_nothing() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Adopt(Box::new([stack(WEB, "1", "a"), stack(WEB, "1", "a")])),
        broken: None,
    };
    claim_many(scenario.survive(), 20);
}

#[test]
fn killed_anywhere_in_a_takeover() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Adopt(Box::new([stack(WEB, "1", "a"), stack("r/web:2", "2", "b")])),
        broken: None,
    };
    claim_many(scenario.survive(), 40);
}

#[test]
fn killed_anywhere_in_a_takeover_that_fails_and_goes_back() {
    let scenario = Scenario {
        before: Vec::new(),
        change: Change::Adopt(Box::new([stack(WEB, "1", "a"), stack("r/web:2", "2", "b")])),
        broken: Some("r/web:2"),
    };
    claim_many(scenario.survive(), 50);
}
