//! Takes submissions: each id once, one deploy per stack, journaled before it is answered, run to its end.

use std::sync::PoisonError;

use futures_util::FutureExt;
use proto::event::{EventKind, Outcome, State};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, PlanId, StackName};
use proto::limits::PLAN_LIFE;
use proto::registry::RegistryAuth;

use super::{Active, Deployer, Inner, Request, stale, unknown_stack};
use crate::clock;
use crate::deploy::{self, Job, Work};
use crate::files;
use crate::journal::Journal;
use crate::redact::Redactor;

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
/// A submission that was let in.
struct Taken {
    deploy: DeployId,
    stack: StackName,
    what: String,
    operator: OperatorName,
}
impl Deployer {
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
