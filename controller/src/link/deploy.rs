//! A deploy, as its agent is asked for it: planned, submitted, sent again when the answer was lost, stopped and confirmed.

use std::future::Future;
use std::time::Duration;

use proto::convert::scope_to_wire;
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, PlanId, StackName};
use proto::plan::{Overwrite, Plan, Scope};
use proto::registry::RegistryAuth;
use proto::wire::v1 as wire;
use tonic::{Response, Status};

use super::stage::StageId;
use super::{Link, Patience, SHORT, Subject};

/// Compose resolves the files and every tag is looked up.
const PLAN: Duration = Duration::from_secs(120);
const SUBMIT: Duration = Duration::from_secs(30);

/// What a deploy is submitted with.
#[derive(Debug, Clone)]
pub struct Order {
    /// Made here; the same one may be sent again.
    pub deploy: DeployId,
    /// What was agreed to.
    pub plan: PlanId,
    /// Logins for the pulls.
    pub auths: Vec<RegistryAuth>,
    /// Whether the plan's orphans go.
    pub remove_orphans: bool,
    /// Files whose host's version is given up.
    pub overwrite: Overwrite,
    /// Whether gates that refuse are passed.
    pub force: bool,
    /// How long an operator has to confirm it; whole seconds, and `None` when nobody has to.
    pub confirm_within: Option<Duration>,
}

impl Link {
    /// Compares a staged stack with what runs; with `adopt`, what somebody started by hand too.
    ///
    /// # Errors
    /// When the agent refuses, or does not answer.
    pub async fn plan(
        &self,
        stage: StageId,
        scope: Scope,
        auths: Vec<RegistryAuth>,
        adopt: bool,
    ) -> Result<Plan, Fault> {
        let whole = scope == Scope::Whole;
        let (services, no_deps) = scope_to_wire(scope);
        let request = wire::PlanRequest {
            stage: stage.to_string(),
            auths: auths.into_iter().map(Into::into).collect(),
            adopt,
            services,
            no_deps,
        };
        let mut client = self.client.clone();
        let answer = self.call("plan", PLAN, client.plan(request)).await?;
        let plan = answer
            .plan
            .ok_or_else(|| self.garbled("a plan without a plan"))?;
        let plan: Plan = plan.try_into().map_err(|error| self.garbled(error))?;
        if plan.part.is_none() && !whole {
            // It would do more than was asked for.
            let what = format!("the agent on {} deploys whole stacks only", self.host);
            return Err(Fault::new(FaultKind::Unsupported, what)
                .hint("upgrade it, or name the stack without a service"));
        }
        Ok(plan)
    }

    /// Submits a plan. The same id may be sent again, as often as it takes: it runs once.
    ///
    /// # Errors
    /// When the agent refuses, or cannot be reached in time.
    pub async fn deploy(&self, order: Order) -> Result<(), Fault> {
        let Order {
            deploy,
            plan,
            auths,
            remove_orphans,
            overwrite,
            force,
            confirm_within,
        } = order;
        let within = confirm_within.map_or(0, |within| within.as_secs());
        let (overwrite, overwrite_all) = match overwrite {
            Overwrite::All => (Vec::new(), true),
            Overwrite::Paths(paths) => (paths.into_iter().map(Into::into).collect(), false),
        };
        let request = wire::DeployRequest {
            deploy: deploy.to_string(),
            plan: plan.to_string(),
            auths: auths.into_iter().map(Into::into).collect(),
            remove_orphans,
            overwrite,
            overwrite_all,
            force,
            confirm_within: u32::try_from(within).unwrap_or(u32::MAX),
        };
        self.submit(|link| {
            let (mut client, request) = (link.client.clone(), request.clone());
            async move { client.deploy(request).await }
        })
        .await
    }

    /// Takes a stack down. Sent again like a deploy.
    ///
    /// # Errors
    /// When the agent refuses, or cannot be reached in time.
    pub async fn down(
        &self,
        deploy: DeployId,
        stack: &StackName,
        volumes: bool,
    ) -> Result<(), Fault> {
        let request = wire::DownRequest {
            deploy: deploy.to_string(),
            stack: stack.to_string(),
            volumes,
        };
        self.submit(|link| {
            let (mut client, request) = (link.client.clone(), request.clone());
            async move { client.down(request).await }
        })
        .await
    }

    /// Sends a submission, and sends it again over a new connection when the answer was lost.
    pub(super) async fn submit<F>(&self, send: impl Fn(Self) -> F) -> Result<(), Fault>
    where
        F: Future<Output = Result<Response<wire::DeployResponse>, Status>>,
    {
        let mut link = self.clone();
        let mut backoff = Patience::SUBMIT.start();
        loop {
            let fault = match link.call("deploy", SUBMIT, send(link.clone())).await {
                Ok(wire::DeployResponse {
                    deploy: _,
                    existed: _,
                }) => return Ok(()),
                Err(fault) => fault,
            };
            if fault.kind != FaultKind::Unreachable || !backoff.wait().await {
                return Err(fault);
            }
            if let Ok(fresh) = link.reconnect().await {
                link = fresh;
            }
        }
    }

    /// Asks a running deploy to stop; whether one was running.
    ///
    /// # Errors
    /// When the agent refuses, or does not answer.
    pub async fn cancel(&self, subject: &Subject) -> Result<bool, Fault> {
        let (deploy, stack) = subject.to_wire();
        let request = wire::CancelRequest { deploy, stack };
        let mut client = self.client.clone();
        let answer = self.call("cancel", SHORT, client.cancel(request)).await?;
        Ok(answer.cancelling)
    }

    /// Keeps what a deploy that waits for it has brought; which deploy that was.
    ///
    /// # Errors
    /// When none waits for it, the agent refuses, or does not answer.
    pub async fn confirm(&self, subject: &Subject) -> Result<DeployId, Fault> {
        let (deploy, stack) = subject.to_wire();
        let request = wire::ConfirmRequest { deploy, stack };
        let mut client = self.client.clone();
        let answer = self.call("confirm", SHORT, client.confirm(request)).await?;
        answer.deploy.parse().map_err(|error| self.garbled(error))
    }
}
