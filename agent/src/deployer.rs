//! Owns every deploy of this host: makes plans, takes submissions once, runs one deploy per stack, answers watchers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, StackName, StageId};
use proto::limits::PLAN_LIFE;
use proto::plan::{Plan, Scope};
use proto::registry::RegistryAuth;
use proto::stack::{StackOffer, StackSpec};
use proto::status::StackStatus;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::deploy::{self, Confirmation, Job, Work};
use crate::engine::Engine;
use crate::journal::{Journal, Watcher};
use crate::planner::Planned;
use crate::redact::Redactor;
use crate::stage::{Session, check_project};
use crate::store::{Revision, Store};

mod changes;
mod check;
mod facts;
mod found;
mod history;
mod pause;
mod recover;
mod request;
mod retention;
mod running;
mod saved;
mod submit;
mod surroundings;
mod sweep;

pub(crate) use facts::on_disk;
pub(crate) use found::still_there;
use request::Request;
pub use submit::Submission;
use sweep::Sweeper;

/// Where the agent's configuration and identity lie.
const CONFIGURATION: &str = "/etc/longshore";
/// Where the agent's programs lie.
const PROGRAMS: &str = "/usr/local/lib/longshore";

/// Plans remembered at once; the oldest makes room.
const MOST_PLANS: usize = 64;

struct Prepared {
    planned: Planned,
    stage: StageId,
    /// Which deploy had laid out the project directory then; another one since makes the plan stale.
    applied: Option<DeployId>,
    /// What it takes over.
    found: Option<Box<Revision>>,
    made: Instant,
}

struct Active {
    deploy: DeployId,
    operator: OperatorName,
    since_millis: u64,
    journal: Journal,
    cancel: CancellationToken,
    confirmation: Confirmation,
}

#[derive(Default)]
struct Inner {
    plans: Vec<Prepared>,
    active: BTreeMap<StackName, Active>,
    /// While the agent is being replaced.
    paused: bool,
}

/// The owner of all deploys.
pub struct Deployer {
    store: Arc<Store>,
    engine: Arc<dyn Engine>,
    tasks: TaskTracker,
    stop: CancellationToken,
    inner: Arc<Mutex<Inner>>,
    /// What an earlier agent had begun to change; each holds its stack until it has ended.
    unfinished: Mutex<Vec<(Job, Work)>>,
    sweeper: Sweeper,
}

impl Deployer {
    /// Takes over the state directory. Deploys that an earlier agent had not ended hold their stacks until
    /// [`Self::recover`] goes on with them; those that had changed nothing yet are marked `Interrupted`.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn new(store: Arc<Store>, engine: Arc<dyn Engine>) -> Result<Self, Fault> {
        let sweeper = Sweeper {
            store: store.clone(),
            engine: engine.clone(),
            inner: Arc::default(),
            working: Arc::default(),
            stop: CancellationToken::new(),
        };
        let mut deployer = Self {
            store,
            engine,
            tasks: TaskTracker::new(),
            stop: sweeper.stop.clone(),
            inner: sweeper.inner.clone(),
            unfinished: Mutex::default(),
            sweeper,
        };
        if deployer.store.newer().is_none() {
            deployer.find_unfinished()?;
        }
        Ok(deployer)
    }

    /// Stops taking work, asks running deploys to end, and waits for them.
    pub async fn shut_down(&self) {
        {
            // `start` looks at `stop` under this lock, so nothing is spawned after the wait.
            let _inner = self.inner();
            self.stop.cancel();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to bring a stack onto the host.
    ///
    /// # Errors
    /// When its description contradicts itself, or its project belongs to another stack.
    pub fn stage(&self, offer: StackOffer) -> Result<Session, Fault> {
        self.store.writable()?;
        if offer.default_project.is_none() {
            check_project(&self.store, &offer.spec)?;
        }
        let directory = self.check_directory(&offer.spec)?;
        Session::begin(self.store.clone(), self.engine.clone(), offer, directory)
    }

    /// Where the stack's project is to live. It cannot move while it runs: relative binds hold data there.
    fn check_directory(&self, spec: &StackSpec) -> Result<PathBuf, Fault> {
        let wanted = self.store.directory_of(spec);
        for stack in self.store.stacks()? {
            // Records that are lost are told of where that stack itself is asked for.
            let Ok(Some(applied)) = self.store.applied(&stack) else {
                continue;
            };
            let there = self.store.directory_of(&applied.spec);
            let overlap = there.starts_with(&wanted) || wanted.starts_with(&there);
            if stack != spec.stack && overlap {
                let what = format!("stack {stack} lives in {} on this host", there.display());
                return Err(Fault::new(FaultKind::Refused, what)
                    .hint("give one of the two another dir in fleet.toml"));
            }
            let moved = stack == spec.stack && there != wanted;
            if moved && self.store.current(&stack)?.is_some() {
                let what = format!(
                    "stack {stack} lives in {} on this host and cannot move to {} while it runs",
                    there.display(),
                    wanted.display()
                );
                return Err(Fault::new(FaultKind::Refused, what)
                    .hint("take it down and move its folder first: controller down"));
            }
        }
        let own = [
            self.store.root(),
            Path::new(CONFIGURATION),
            Path::new(PROGRAMS),
        ];
        let overlaps = |own: &&Path| wanted.starts_with(own) || own.starts_with(&wanted);
        if spec.directory.is_some() && own.iter().any(overlaps) {
            let what = format!("{} belongs to the agent itself", wanted.display());
            return Err(Fault::new(FaultKind::Refused, what)
                .hint("choose another dir in fleet.toml, or leave it out"));
        }
        Ok(wanted)
    }

    /// Compares a staged stack, or part of it, with what runs; with `adopt`, what somebody else started too.
    ///
    /// # Errors
    /// When it could not be deployed.
    pub async fn plan(
        &self,
        stage: StageId,
        scope: &Scope,
        auths: &[RegistryAuth],
        adopt: bool,
    ) -> Result<Plan, Fault> {
        let unknown = || stale("this stack is no longer staged on the host");
        let stage = self.store.stage(&stage)?.ok_or_else(unknown)?;
        let applied = self
            .store
            .applied(&stage.spec.stack)?
            .map(|applied| applied.deploy);
        let facts = facts::Facts {
            store: &self.store,
            engine: self.engine.as_ref(),
            stage: &stage,
            neither: self.left_unknown(&stage.spec.stack).is_some(),
        };
        let (mut planned, found) = facts.plan(scope, auths, adopt).await?;
        let mut inner = self.inner();
        if let Some(active) = inner.active.get(&stage.spec.stack) {
            let (who, id) = (&active.operator, active.deploy.short());
            planned.plan.warnings.push(format!(
                "deploy {id} of {who} runs on this stack: what it changes is not in this plan, which holds only until then"
            ));
        }
        inner
            .plans
            .retain(|prepared| prepared.made.elapsed() < PLAN_LIFE);
        if inner.plans.len() >= MOST_PLANS {
            inner.plans.remove(0);
        }
        let mut values = stage.spec.values.clone();
        let current = self.store.current(&stage.spec.stack)?;
        values.extend(current.into_iter().flat_map(|current| current.spec.values));
        let shown = Redactor::new(&values).plan(planned.plan.clone());
        inner.plans.push(Prepared {
            planned,
            stage: stage.id,
            applied,
            found: found.map(Box::new),
            made: Instant::now(),
        });
        Ok(shown)
    }

    /// The deploy that runs on a stack now.
    #[must_use]
    pub fn running(&self, stack: &StackName) -> Option<DeployId> {
        self.inner().active.get(stack).map(|active| active.deploy)
    }

    /// The newest deploy of a stack.
    ///
    /// # Errors
    /// When there was none.
    pub fn newest(&self, stack: &StackName) -> Result<DeployId, Fault> {
        self.store.latest_deploy(stack)?.ok_or_else(|| {
            Fault::new(
                FaultKind::UnknownName,
                format!("stack {stack} was never deployed here"),
            )
        })
    }

    /// Follows a deploy from after a sequence number.
    ///
    /// # Errors
    /// When there is no such deploy.
    pub fn watch(&self, deploy: &DeployId, after: u64) -> Result<Watcher, Fault> {
        let running = self
            .inner()
            .active
            .values()
            .find(|active| active.deploy == *deploy)
            .map(|active| active.journal.clone());
        match running {
            Some(journal) => Ok(journal.watch(after)),
            None if self.store.deploy_folder(deploy).is_dir() => {
                // Whatever a journal says that we do not know would be cut off.
                self.store.writable()?;
                Ok(self.journal_of(deploy)?.watch(after))
            }
            None => Err(Fault::new(
                FaultKind::UnknownName,
                format!("there is no deploy {} on this host", deploy.short()),
            )),
        }
    }

    fn journal_of(&self, deploy: &DeployId) -> Result<Journal, Fault> {
        Ok(Journal::create(
            &self.store.deploy_folder(deploy),
            Redactor::default(),
        )?)
    }

    /// Asks a deploy to stop; answers whether it was still running.
    #[must_use]
    pub fn cancel(&self, deploy: &DeployId) -> bool {
        let inner = self.inner();
        let active = inner
            .active
            .values()
            .find(|active| active.deploy == *deploy);
        active.map(|active| active.cancel.cancel()).is_some()
    }

    /// What runs, of one stack or of all.
    ///
    /// # Errors
    /// When the stack is not known here or the engine does not answer.
    pub async fn status(&self, only: Option<&StackName>) -> Result<Vec<StackStatus>, Fault> {
        let mut statuses = Vec::new();
        for stack in self.store.stacks()? {
            if only.is_none_or(|only| *only == stack) {
                let status = facts::status(&self.store, self.engine.as_ref(), &stack).await?;
                statuses.extend(status.map(|status| self.with_deploy(status)));
            }
        }
        match only {
            Some(only) if statuses.is_empty() => Err(unknown_stack(only)),
            _ => Ok(statuses),
        }
    }

    /// A status with what is being done to the stack.
    fn with_deploy(&self, mut status: StackStatus) -> StackStatus {
        let inner = self.inner();
        if let Some(active) = inner.active.get(&status.stack) {
            status.deploy = Some(active.deploy);
            status.confirm_within = active.confirmation.left().map(deploy::seconds);
            status.needs_reconcile = false;
        } else {
            status.needs_reconcile |= self.left_unknown(&status.stack).is_some();
        }
        status
    }

    /// The Compose project and the engine of a stack, for readers of its logs.
    ///
    /// # Errors
    /// When the stack is not known here.
    pub fn project(&self, stack: &StackName) -> Result<proto::id::ProjectName, Fault> {
        let applied = self
            .store
            .applied(stack)?
            .ok_or_else(|| unknown_stack(stack))?;
        Ok(applied.spec.project)
    }

    /// Which stack a deploy that runs is about.
    #[must_use]
    pub fn stack_of(&self, deploy: &DeployId) -> Option<StackName> {
        let inner = self.inner();
        let found = inner.active.iter().find(|(_, it)| it.deploy == *deploy);
        found.map(|(stack, _)| stack.clone())
    }

    /// The record of every changing call.
    #[must_use]
    pub fn audit(&self) -> &Arc<Audit> {
        self.store.audit()
    }

    /// What runs containers here.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }
}

fn stale(what: &str) -> Fault {
    Fault::new(FaultKind::Stale, what).hint("run the same command again to plan anew")
}

fn unknown_stack(stack: &StackName) -> Fault {
    Fault::new(
        FaultKind::UnknownName,
        format!("there is no stack {stack} on this host"),
    )
    .hint("what is here: controller status")
}
