//! Takes submissions: each id once, one deploy per stack, journaled before it is answered.

use std::time::Duration;

use proto::event::EventKind;
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, OperatorName, PlanId, RevisionId, StackName};
use proto::limits::{CONFIRM_MOST, PLAN_LIFE};
use proto::plan::Overwrite;
use proto::registry::RegistryAuth;

use super::pause::check_paused;
use super::request::{Request, deed, next_number};
use super::running::forget;
use super::{Deployer, Inner, changes, stale, unknown_stack};
use crate::audit::Caller;
use crate::clock;
use crate::deploy::{self, Work};
use crate::files;
use crate::journal::Journal;
use crate::planner::Planned;
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
    /// How long an operator has to confirm what it brought; `None` when nobody has to.
    pub confirm_within: Option<Duration>,
    /// Files whose host's version is given up.
    pub overwrite: Overwrite,
    /// Whether gates that refuse are passed.
    pub force: bool,
    /// Who asks.
    pub operator: Caller,
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
            confirm_within,
            overwrite,
            force,
            operator,
        } = submission;
        check_confirm_within(confirm_within)?;
        let mut what = format!("plan {plan} remove_orphans {remove_orphans}");
        if let Some(within) = confirm_within {
            what.push_str(&format!(" confirm_within {}", within.as_secs()));
        }
        if force {
            what.push_str(" force");
        }
        what.push_str(&given_up(&overwrite));
        operator.asks(Some(deploy), &what);
        // Under the lock: a submission that comes twice at once is taken once.
        let mut inner = self.inner();
        if self.was_taken(&deploy, &what, &operator)? {
            return Ok(true);
        }
        let mut plans = inner.plans.iter();
        let found = plans.find(|prepared| prepared.planned.plan.id == plan);
        let prepared = found
            .filter(|prepared| prepared.made.elapsed() < PLAN_LIFE)
            .ok_or_else(|| stale("this plan is not known to the agent any more"))?;
        let Planned { plan, forced } = prepared.planned.clone();
        let (stage, applied) = (prepared.stage, prepared.applied);
        operator.asks(Some(deploy), &format!("{what} stage {}", stage.short()));
        operator.about(&plan.stack);
        overwrite.check(&plan.files)?;
        let found = prepared.found.clone();
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
        let work = Work::Deploy {
            stage: stage.id,
            plan: Box::new(plan),
            forced,
            overwrite,
            auths,
            remove_orphans,
            force,
            confirm_within,
            found,
        };
        self.take(&mut inner, deploy, what, operator, work)
    }

    /// Takes a return to a kept revision, like a deploy; without one, to the last that was good before this one.
    ///
    /// # Errors
    /// When there is no such revision, or a deploy holds the stack.
    pub fn roll_back(
        &self,
        deploy: DeployId,
        stack: StackName,
        to: Option<RevisionId>,
        auths: Vec<RegistryAuth>,
        operator: Caller,
    ) -> Result<bool, Fault> {
        let wanted = to.map_or_else(|| "the last".to_owned(), |to| to.to_string());
        let what = format!("roll back {stack} to {wanted}");
        operator.asks(Some(deploy), &what);
        operator.about(&stack);
        // Under the lock: a submission that comes twice at once is taken once.
        let mut inner = self.inner();
        if self.was_taken(&deploy, &what, &operator)? {
            return Ok(true);
        }
        check_free(&inner, &stack)?;
        self.store.writable()?;
        let to = self.kept(&stack, to)?;
        let work = Work::Rollback { stack, to, auths };
        self.take(&mut inner, deploy, what, operator, work)
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
        operator: Caller,
    ) -> Result<bool, Fault> {
        let what = format!("down {stack} volumes {volumes}");
        operator.asks(Some(deploy), &what);
        operator.about(&stack);
        // Under the lock: a submission that comes twice at once is taken once.
        let mut inner = self.inner();
        if self.was_taken(&deploy, &what, &operator)? {
            return Ok(true);
        }
        check_free(&inner, &stack)?;
        if self.store.applied(&stack)?.is_none() {
            return Err(unknown_stack(&stack));
        }
        let work = Work::Down { stack, volumes };
        self.take(&mut inner, deploy, what, operator, work)
    }

    /// Keeps what a deploy that waits for it has brought.
    ///
    /// # Errors
    /// When there is no such deploy, or it does not wait for a confirmation.
    pub fn confirm(&self, deploy: &DeployId, caller: &Caller) -> Result<(), Fault> {
        caller.asks(Some(*deploy), "confirm");
        let found = {
            let inner = self.inner();
            let mut active = inner.active.iter();
            let found = active.find(|(_, active)| active.deploy == *deploy);
            found.map(|(stack, active)| {
                caller.about(stack);
                active.confirmation.clone()
            })
        };
        match found {
            Some(confirmation) => confirmation.give(&self.store.work_folder(deploy), caller),
            None => {
                self.watch(deploy, 0)?;
                let what = format!("deploy {} has ended already", deploy.short());
                Err(Fault::new(FaultKind::Refused, what).hint("how: controller attach"))
            }
        }
    }

    /// The revision that is meant, which is there and is not the current one.
    fn kept(&self, stack: &StackName, to: Option<RevisionId>) -> Result<RevisionId, Fault> {
        if self.store.applied(stack)?.is_none() {
            return Err(unknown_stack(stack));
        }
        let current = self.store.current(stack)?.map(|revision| revision.id);
        let mut kept = self.store.revisions(stack)?.into_iter().map(|it| it.id);
        let refused = |what: String| {
            Fault::new(FaultKind::Refused, what).hint("what is kept: controller history")
        };
        match to {
            // The current one, too: it makes the host again what its record says.
            Some(to) if kept.any(|id| id == to) => Ok(to),
            Some(to) => {
                let what = format!("revision {} of stack {stack} is not kept here", to.short());
                Err(refused(what))
            }
            None => kept.find(|id| Some(*id) != current).ok_or_else(|| {
                refused(format!(
                    "stack {stack} has no earlier revision to go back to"
                ))
            }),
        }
    }

    /// Whether this id was taken before with the same content.
    fn was_taken(&self, deploy: &DeployId, what: &str, caller: &Caller) -> Result<bool, Fault> {
        match Request::load(&self.store, deploy)? {
            None => Ok(false),
            Some(request) if request.what == what => {
                caller.about(&request.stack);
                Ok(true)
            }
            Some(_) => Err(Fault::new(
                FaultKind::Refused,
                format!(
                    "deploy id {} was already used for something else",
                    deploy.short()
                ),
            )),
        }
    }

    /// Journals what was let in, and starts it.
    fn take(
        &self,
        inner: &mut Inner,
        deploy: DeployId,
        what: String,
        caller: Caller,
        work: Work,
    ) -> Result<bool, Fault> {
        if self.stop.is_cancelled() {
            return Err(Fault::new(FaultKind::Refused, "the agent is stopping"));
        }
        check_paused(inner)?;
        self.store.writable()?;
        let room = self.store.reserve();
        if let Err(error) = room.fill() {
            // What makes a host smaller, or brings it back, is wanted most when it is full.
            match work {
                Work::Deploy { .. } => return Err(error.into()),
                Work::Rollback { .. } | Work::Down { .. } => room.release(),
            }
        }
        // On disk before anything else is: there is no change that nobody asked for.
        caller.let_in()?;
        let operator = caller.operator().clone();
        let taken = self.record(deploy, what, &operator, &work);
        let (journal, since_millis) = taken.inspect_err(|_| {
            // Not taken after all: nothing of it stays, or the same id would be taken for one that runs.
            forget(&self.store.work_folder(&deploy));
            forget(&self.store.deploy_folder(&deploy));
        })?;
        let job = self.hold(inner, deploy, operator, since_millis, journal, &work);
        self.start(job, work);
        Ok(false)
    }

    /// Puts all of it on the disk; answers the journal and the time that it begins with.
    fn record(
        &self,
        deploy: DeployId,
        what: String,
        operator: &OperatorName,
        work: &Work,
    ) -> Result<(Journal, u64), Fault> {
        let folder = self.store.deploy_folder(&deploy);
        files::private_dir(&folder)?;
        let redactor = self.redactor(work)?;
        let stack = work.stack().clone();
        let current = self.store.current(&stack)?.map(|revision| revision.id);
        let request = Request {
            number: next_number(&self.store, &stack),
            stack,
            what,
            operator: Some(operator.clone()),
            since_millis: clock::unix_millis(),
            deed: Some(deed(work)),
            changes: changes::of(work, current, &redactor),
        };
        work.save(&self.store.work_folder(&deploy))?;
        // The request before the journal: a folder without it was never taken, and is swept at the next start.
        request.save(&self.store, &deploy)?;
        let journal = Journal::create(&folder, redactor)?;
        journal.push(EventKind::Received {
            deploy,
            stack: request.stack.clone(),
            operator: operator.clone(),
        });
        journal.settled()?;
        self.store.save_latest_deploy(&request.stack, &deploy)?;
        Ok((journal, request.since_millis))
    }

    /// Every secret that this work could print: of what is wanted, and of what it may go back to.
    pub(super) fn redactor(&self, work: &Work) -> Result<Redactor, Fault> {
        let stack = work.stack();
        let mut values = Vec::new();
        let wanted = match work {
            Work::Deploy { stage, .. } => self.store.stage(stage)?.map(|stage| stage.spec),
            Work::Rollback { to, .. } => self.store.revision(stack, to)?.map(|it| it.spec),
            Work::Down { .. } => self.store.applied(stack)?.map(|applied| applied.spec),
        };
        let current = self.store.current(stack)?.map(|revision| revision.spec);
        for spec in [wanted, current].into_iter().flatten() {
            values.extend(spec.values);
        }
        Ok(Redactor::new(&values))
    }
}

/// Which files are given up, in the words of a request.
fn given_up(overwrite: &Overwrite) -> String {
    match overwrite {
        Overwrite::All => " overwrite all".to_owned(),
        Overwrite::Paths(paths) => paths.iter().map(|it| format!(" overwrite {it}")).collect(),
    }
}

fn check_confirm_within(within: Option<Duration>) -> Result<(), Fault> {
    if within.is_none_or(|within| within <= CONFIRM_MOST) {
        return Ok(());
    }
    let what = format!(
        "a deploy waits {} h for its confirmation at most",
        CONFIRM_MOST.as_secs() / 3600
    );
    Err(Fault::new(FaultKind::InvalidRequest, what))
}

pub(super) fn check_free(inner: &Inner, stack: &StackName) -> Result<(), Fault> {
    let Some(active) = inner.active.get(stack) else {
        return Ok(());
    };
    let waits = active.confirmation.left();
    let seconds = clock::unix_millis().saturating_sub(active.since_millis) / 1000;
    let mut fault = Fault::new(
        FaultKind::Busy,
        format!("another deploy holds stack {stack}"),
    )
    .cause(format!(
        "{} started deploy {} {seconds} s ago",
        active.operator,
        active.deploy.short()
    ));
    if let Some(left) = waits {
        let left = deploy::seconds(left);
        fault = fault.cause(format!(
            "it goes back in {left} s unless it is confirmed: controller confirm"
        ));
    }
    Err(fault
        .hint("watch it: controller attach; stop it: controller cancel")
        .hint("wait for its end: --lock-wait 10m"))
}
