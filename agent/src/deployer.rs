//! Owns every deploy of this host: makes plans, takes submissions once, runs one deploy per stack, answers watchers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use proto::event::{EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, PlanId, StackName, StageId};
use proto::limits::PLAN_LIFE;
use proto::plan::Plan;
use proto::registry::RegistryAuth;
use proto::stack::StackSpec;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::deploy::{self, Job, Work};
use crate::engine::Engine;
use crate::files;
use crate::journal::{Journal, Watcher};
use crate::redact::Redactor;
use crate::stage::Session;
use crate::store::Store;

mod facts;

pub(crate) use facts::on_disk;

/// Plans remembered at once; the oldest makes room.
const MOST_PLANS: usize = 64;

/// What a controller submits.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Made by the controller.
    pub deploy: DeployId,
    /// Which plan.
    pub plan: PlanId,
    /// Logins for the pulls; in memory only.
    pub auths: Vec<RegistryAuth>,
    /// Whether the plan's orphans are removed.
    pub remove_orphans: bool,
    /// Who asks.
    pub operator: OperatorName,
}

/// What was asked for, kept beside the events so that a resent request is recognised after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Request {
    stack: StackName,
    what: String,
}

/// A submission that was let in.
struct Taken {
    deploy: DeployId,
    stack: StackName,
    what: String,
    operator: OperatorName,
}

struct Prepared {
    plan: Plan,
    stage: StageId,
    /// Which deploy had laid out the project directory then; another one since makes the plan stale.
    applied: Option<DeployId>,
    made: Instant,
}

struct Active {
    deploy: DeployId,
    operator: OperatorName,
    since_millis: u64,
    journal: Journal,
    cancel: CancellationToken,
}

#[derive(Default)]
struct Inner {
    plans: Vec<Prepared>,
    active: BTreeMap<StackName, Active>,
}

/// The owner of all deploys.
pub struct Deployer {
    store: Arc<Store>,
    engine: Arc<dyn Engine>,
    tasks: TaskTracker,
    stop: CancellationToken,
    inner: Arc<Mutex<Inner>>,
}

impl Deployer {
    /// Takes over the state directory. Deploys that an earlier agent did not end are marked `Interrupted`.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn new(store: Arc<Store>, engine: Arc<dyn Engine>) -> Result<Self, Fault> {
        let deployer = Self {
            store,
            engine,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            inner: Arc::default(),
        };
        deployer.end_interrupted()?;
        Ok(deployer)
    }

    fn end_interrupted(&self) -> Result<(), Fault> {
        for deploy in self.store.deploys()? {
            let folder = self.store.deploy_folder(&deploy);
            let Some(request) = files::read_json::<Request>(&folder.join("request.json"))? else {
                std::fs::remove_dir_all(&folder)
                    .map_err(|error| files::FileError::new("remove", &folder, error))?;
                continue;
            };
            let journal = self.journal_of(&deploy)?;
            if journal.is_over() {
                continue;
            }
            let what = "the agent stopped in the middle of this deploy";
            let fault = Fault::new(FaultKind::Failed, what)
                .hint("look at what runs, then deploy again: controller status");
            journal.push(EventKind::Finished {
                outcome: Outcome::Interrupted,
                state: State::Failed,
                revision: self
                    .store
                    .current(&request.stack)?
                    .map(|revision| revision.id),
                fault: Some(fault),
            });
        }
        Ok(())
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
    pub fn stage(&self, spec: StackSpec) -> Result<Session, Fault> {
        if let Some(owner) = self
            .store
            .owner_of(&spec.project)?
            .filter(|owner| *owner != spec.stack)
        {
            let what = format!(
                "project {} already belongs to stack {owner} on this host",
                spec.project
            );
            return Err(Fault::new(FaultKind::Refused, what)
                .hint("give one of the two another project_name in fleet.toml"));
        }
        let directory = self.store.project_directory(&spec.stack);
        Session::begin(self.store.clone(), self.engine.clone(), spec, directory)
    }

    /// Compares a staged stack with what runs.
    ///
    /// # Errors
    /// When it could not be deployed.
    pub async fn plan(&self, stage: StageId, auths: &[RegistryAuth]) -> Result<Plan, Fault> {
        let unknown = || stale("this stack is no longer staged on the host");
        let stage = self.store.stage(&stage)?.ok_or_else(unknown)?;
        let applied = self
            .store
            .applied(&stage.spec.stack)?
            .map(|applied| applied.deploy);
        let plan = facts::plan(&self.store, self.engine.as_ref(), &stage, auths).await?;
        let mut inner = self.inner();
        inner
            .plans
            .retain(|prepared| prepared.made.elapsed() < PLAN_LIFE);
        if inner.plans.len() >= MOST_PLANS {
            inner.plans.remove(0);
        }
        let shown = Redactor::new(&stage.spec.values).plan(plan.clone());
        inner.plans.push(Prepared {
            plan,
            stage: stage.id,
            applied,
            made: Instant::now(),
        });
        Ok(shown)
    }

    /// Takes a deploy. Once this returns, it is journaled and runs to its end, whoever watches.
    /// Answers whether the same submission had been taken before.
    ///
    /// # Errors
    /// When the plan is not usable any more, or another deploy holds the stack.
    pub fn deploy(&self, submission: Submission) -> Result<bool, Fault> {
        let Submission {
            deploy,
            plan,
            auths,
            remove_orphans,
            operator,
        } = submission;
        let what = format!("plan {plan} remove_orphans {remove_orphans}");
        // Under the lock: a submission that comes twice at once is taken once.
        let mut inner = self.inner();
        if self.was_taken(&deploy, &what)? {
            return Ok(true);
        }
        let found = inner.plans.iter().find(|prepared| prepared.plan.id == plan);
        let prepared = found
            .filter(|prepared| prepared.made.elapsed() < PLAN_LIFE)
            .ok_or_else(|| stale("this plan is not known to the agent any more"))?;
        let (plan, stage, applied) = (prepared.plan.clone(), prepared.stage, prepared.applied);
        let stage = self
            .store
            .stage(&stage)?
            .ok_or_else(|| stale("this stack is no longer staged on the host"))?;
        let stack = plan.stack.clone();
        check_free(&inner, &stack)?;
        let base = self.store.current(&stack)?;
        let laid_out = self.store.applied(&stack)?.map(|applied| applied.deploy);
        if base.as_ref().map(|base| base.id) != plan.base || laid_out != applied {
            return Err(stale("the host has moved on since this plan was made"));
        }
        let redactor = Redactor::new(&stage.spec.values);
        let work = Work::Deploy {
            stage: Box::new(stage),
            plan: Box::new(plan),
            auths,
            remove_orphans,
        };
        self.start(
            &mut inner,
            Taken {
                deploy,
                stack,
                what,
                operator,
            },
            redactor,
            work,
        )
    }

    /// Takes a stack down, like a deploy.
    ///
    /// # Errors
    /// When the stack is not known here, or a deploy holds it.
    pub fn down(
        &self,
        deploy: DeployId,
        stack: StackName,
        volumes: bool,
        operator: OperatorName,
    ) -> Result<bool, Fault> {
        let what = format!("down {stack} volumes {volumes}");
        // Under the lock: a submission that comes twice at once is taken once.
        let mut inner = self.inner();
        if self.was_taken(&deploy, &what)? {
            return Ok(true);
        }
        check_free(&inner, &stack)?;
        let spec = self.store.applied(&stack)?.map(|applied| applied.spec);
        let spec = spec.ok_or_else(|| unknown_stack(&stack))?;
        let redactor = Redactor::new(&spec.values);
        let directory = self.store.project_directory(&stack);
        let work = Work::Down {
            spec: Box::new(spec),
            directory,
            volumes,
        };
        self.start(
            &mut inner,
            Taken {
                deploy,
                stack,
                what,
                operator,
            },
            redactor,
            work,
        )
    }

    /// Whether this id was taken before with the same content.
    fn was_taken(&self, deploy: &DeployId, what: &str) -> Result<bool, Fault> {
        let path = self.store.deploy_folder(deploy).join("request.json");
        match files::read_json::<Request>(&path)? {
            None => Ok(false),
            Some(request) if request.what == what => Ok(true),
            Some(_) => Err(Fault::new(
                FaultKind::Refused,
                format!(
                    "deploy id {} was already used for something else",
                    deploy.short()
                ),
            )),
        }
    }

    fn start(
        &self,
        inner: &mut Inner,
        taken: Taken,
        redactor: Redactor,
        work: Work,
    ) -> Result<bool, Fault> {
        let Taken {
            deploy,
            stack,
            what,
            operator,
        } = taken;
        if self.stop.is_cancelled() {
            return Err(Fault::new(FaultKind::Refused, "the agent is stopping"));
        }
        let folder = self.store.deploy_folder(&deploy);
        files::private_dir(&folder)?;
        // The request first: a folder without it was never taken, and is swept at the next start.
        let request = Request {
            stack: stack.clone(),
            what,
        };
        files::write_json(&folder.join("request.json"), &request)?;
        let journal = Journal::create(&folder, redactor)?;
        journal.push(EventKind::Received {
            deploy,
            stack: stack.clone(),
            operator: operator.clone(),
        });
        self.store.save_latest_deploy(&stack, &deploy)?;
        let cancel = self.stop.child_token();
        let job = Job {
            store: self.store.clone(),
            engine: self.engine.clone(),
            journal: journal.clone(),
            deploy,
            operator: operator.clone(),
            cancel: cancel.clone(),
            stopping: self.stop.clone(),
        };
        let since_millis = clock::unix_millis();
        inner.active.insert(
            stack.clone(),
            Active {
                deploy,
                operator,
                since_millis,
                journal,
                cancel,
            },
        );
        let shared = self.inner.clone();
        self.tasks.spawn(async move {
            let last = run_to_the_end(job, work).await;
            // Told and freed in one step: who sees the end finds the stack free.
            let mut inner = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(active) = inner.active.remove(&stack) {
                active.journal.push(last);
            }
        });
        Ok(false)
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
    pub async fn status(
        &self,
        only: Option<&StackName>,
    ) -> Result<Vec<proto::status::StackStatus>, Fault> {
        let mut statuses = Vec::new();
        for stack in self.store.stacks()? {
            if only.is_none_or(|only| *only == stack) {
                let running = self.running(&stack);
                statuses.extend(
                    facts::status(&self.store, self.engine.as_ref(), &stack, running).await?,
                );
            }
        }
        match only {
            Some(only) if statuses.is_empty() => Err(unknown_stack(only)),
            _ => Ok(statuses),
        }
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

    /// What runs containers here.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }
}

async fn run_to_the_end(job: Job, work: Work) -> EventKind {
    let deploy = job.deploy;
    // A defect in one deploy must not take the agent, or leave watchers without an end.
    let ended = std::panic::AssertUnwindSafe(deploy::run(job, work))
        .catch_unwind()
        .await;
    ended.unwrap_or_else(|_| {
        tracing::error!(%deploy, "a deploy panicked");
        EventKind::Finished {
            outcome: Outcome::Failed,
            state: State::Failed,
            revision: None,
            fault: Some(
                Fault::new(
                    FaultKind::Internal,
                    "the agent failed in the middle of this deploy",
                )
                .hint("this is a defect in longshore; the agent's log on the host has the details"),
            ),
        }
    })
}

fn check_free(inner: &Inner, stack: &StackName) -> Result<(), Fault> {
    let Some(active) = inner.active.get(stack) else {
        return Ok(());
    };
    let seconds = clock::unix_millis().saturating_sub(active.since_millis) / 1000;
    Err(Fault::new(
        FaultKind::Busy,
        format!("another deploy holds stack {stack}"),
    )
    .cause(format!(
        "{} started deploy {} {seconds} s ago",
        active.operator,
        active.deploy.short()
    ))
    .hint("watch it: controller attach; stop it: controller cancel"))
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
