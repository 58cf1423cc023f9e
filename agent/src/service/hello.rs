//! The handshake: which protocol is spoken, and what this host is.

use std::time::Duration;

use proto::convert::facts_to_wire;
use proto::fault::{Fault, FaultKind};
use proto::hello::{Feature, HostFacts, PROTOCOL, ProtocolRange, negotiate};
use proto::limits;
use proto::wire::v1 as wire;
use tonic::{Request, Response, Status};

use super::AgentService;
use super::request::{peer, refuse};
use crate::engine::EngineError;

/// It waits so long for the engine; controllers wait a little longer for it.
const ENGINE_PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn hello(
    service: &AgentService,
    request: Request<wire::HelloRequest>,
) -> Result<Response<wire::HelloResponse>, Status> {
    let peer = peer(&request)?;
    let hello = request.into_inner();
    let theirs = ProtocolRange {
        min: hello.protocol_min,
        max: hello.protocol_max,
    };
    let version = env!("CARGO_PKG_VERSION");
    let (caller, host) = (&hello.controller_version, service.host.as_str());
    if let Err(skew) = negotiate(caller, theirs, version, PROTOCOL, host) {
        return Err(refuse(Fault::new(FaultKind::Unsupported, skew.to_string())));
    }
    let engine = service.deployer.engine();
    // A frozen engine is told of; it must not hold up who asks for something else.
    let (facts, compose) = tokio::join!(in_time(engine.facts()), in_time(engine.compose_version()));
    let (os, architecture) = match &facts {
        Ok(facts) => (facts.os.clone(), facts.architecture.clone()),
        Err(_) => (
            std::env::consts::OS.to_owned(),
            std::env::consts::ARCH.to_owned(),
        ),
    };
    Ok(Response::new(facts_to_wire(HostFacts {
        agent_version: version.to_owned(),
        protocol: PROTOCOL,
        host: service.host.clone(),
        os,
        architecture,
        engine: facts
            .map(|facts| facts.version)
            .map_err(|error| error.to_string()),
        compose: compose.map_err(|error| error.to_string()),
        message_limit: limits::MESSAGE_BYTES as u64,
        bundle_limit: limits::BUNDLE_BYTES,
        file_limit: u32::try_from(limits::BUNDLE_FILES).unwrap_or(u32::MAX),
        operator: peer.operator.to_string(),
        role: peer.role,
        credentials: service.credentials(),
        build: service.upgrades.build().to_owned(),
        instance: service.upgrades.instance().to_owned(),
        features: Feature::ALL.into(),
    })))
}

/// An answer of the engine while whoever shakes hands still waits for it.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let after = ENGINE_PATIENCE;
    let answer = tokio::time::timeout(after, answer).await;
    answer.unwrap_or_else(|_| {
        let what = "asking the engine".to_owned();
        Err(EngineError::TimedOut { what, after })
    })
}
