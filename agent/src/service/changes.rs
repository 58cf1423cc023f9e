//! The calls about what is to become of a stack: planned, deployed, cancelled, confirmed, rolled back, taken down.

use std::time::Duration;

use proto::convert::scope_from_wire;
use proto::fault::{Fault, FaultKind};
use proto::plan::Overwrite;
use proto::registry::RegistryAuth;
use proto::role::Role;
use proto::wire::v1 as wire;
use tonic::{Request, Response, Status};

use super::AgentService;
use super::request::{caller, parse, peer, refuse};
use crate::deployer::Submission;

pub(super) async fn plan(
    service: &AgentService,
    request: Request<wire::PlanRequest>,
) -> Result<Response<wire::PlanResponse>, Status> {
    let wire::PlanRequest {
        stage,
        auths,
        adopt,
        services,
        no_deps,
    } = request.into_inner();
    let scope = scope_from_wire(services, no_deps).map_err(refuse)?;
    let auths: Vec<RegistryAuth> = auths.into_iter().map(Into::into).collect();
    let plan = service
        .deployer()
        .plan(parse(&stage)?, &scope, &auths, adopt)
        .await
        .map_err(refuse)?;
    Ok(Response::new(wire::PlanResponse {
        plan: Some(plan.into()),
    }))
}

pub(super) async fn deploy(
    service: &AgentService,
    request: Request<wire::DeployRequest>,
) -> Result<Response<wire::DeployResponse>, Status> {
    let operator = caller(&request)?;
    let wire::DeployRequest {
        deploy,
        plan,
        auths,
        remove_orphans,
        force,
        confirm_within,
        overwrite,
        overwrite_all,
    } = request.into_inner();
    let within = Duration::from_secs(confirm_within.into());
    let submission = Submission {
        deploy: parse(&deploy)?,
        plan: parse(&plan)?,
        auths: auths.into_iter().map(Into::into).collect(),
        remove_orphans,
        overwrite: if overwrite_all {
            Overwrite::All
        } else {
            let paths = overwrite.iter().map(|path| parse(path));
            Overwrite::Paths(paths.collect::<Result<_, _>>()?)
        },
        force,
        confirm_within: (!within.is_zero()).then_some(within),
        operator,
    };
    let existed = service.deployer().deploy(submission).map_err(refuse)?;
    Ok(Response::new(wire::DeployResponse { deploy, existed }))
}

pub(super) async fn cancel(
    service: &AgentService,
    request: Request<wire::CancelRequest>,
) -> Result<Response<wire::CancelResponse>, Status> {
    let caller = caller(&request)?;
    let wire::CancelRequest { deploy, stack } = request.into_inner();
    let deploy = service.find(&deploy, &stack)?;
    caller.asks(Some(deploy), "cancel");
    if let Some(stack) = service.deployer().stack_of(&deploy) {
        caller.about(&stack);
    }
    caller.let_in().map_err(refuse)?;
    let cancelling = service.deployer().cancel(&deploy);
    Ok(Response::new(wire::CancelResponse { cancelling }))
}

pub(super) async fn confirm(
    service: &AgentService,
    request: Request<wire::ConfirmRequest>,
) -> Result<Response<wire::ConfirmResponse>, Status> {
    let caller = caller(&request)?;
    let wire::ConfirmRequest { deploy, stack } = request.into_inner();
    let deploy = service.find(&deploy, &stack)?;
    let confirmed = service.deployer().confirm(&deploy, &caller);
    confirmed.map_err(refuse)?;
    Ok(Response::new(wire::ConfirmResponse {
        deploy: deploy.to_string(),
    }))
}

pub(super) async fn down(
    service: &AgentService,
    request: Request<wire::DownRequest>,
) -> Result<Response<wire::DeployResponse>, Status> {
    let (peer, caller) = (peer(&request)?, caller(&request)?);
    let wire::DownRequest {
        deploy,
        stack,
        volumes,
    } = request.into_inner();
    let (id, stack) = (parse(&deploy)?, parse(&stack)?);
    if volumes && peer.role < Role::Admin {
        caller.asks(Some(id), &format!("down {stack} volumes true"));
        caller.about(&stack);
        let what = format!(
            "removing volumes needs role admin; {} is {}",
            peer.operator, peer.role
        );
        return Err(refuse(Fault::new(FaultKind::Denied, what)));
    }
    let existed = service
        .deployer()
        .down(id, stack, volumes, caller)
        .map_err(refuse)?;
    Ok(Response::new(wire::DeployResponse { deploy, existed }))
}

pub(super) async fn rollback(
    service: &AgentService,
    request: Request<wire::RollbackRequest>,
) -> Result<Response<wire::DeployResponse>, Status> {
    let operator = caller(&request)?;
    let wire::RollbackRequest {
        deploy,
        stack,
        revision,
        auths,
    } = request.into_inner();
    let auths = auths.into_iter().map(Into::into).collect();
    let to = match revision.as_str() {
        "" => None,
        revision => Some(parse(revision)?),
    };
    let (id, stack) = (parse(&deploy)?, parse(&stack)?);
    let taken = service.deployer().roll_back(id, stack, to, auths, operator);
    let existed = taken.map_err(refuse)?;
    Ok(Response::new(wire::DeployResponse { deploy, existed }))
}
