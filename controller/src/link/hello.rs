//! The handshake: both sides say which protocol they speak, and the host who it is.

use std::time::Duration;

use proto::convert::facts_from_wire;
use proto::fault::{Fault, FaultKind};
use proto::hello::{HostFacts, PROTOCOL, ProtocolRange, negotiate};
use proto::id::HostName;
use proto::wire::v1 as wire;
use wire::agent_client::AgentClient;

use super::heard::Heard;
use super::{VERSION, call, fault};

const HELLO: Duration = Duration::from_secs(5);

/// Speaks it over a fresh connection.
pub(super) async fn hello(
    host: &HostName,
    mut client: AgentClient<Heard>,
) -> Result<HostFacts, Fault> {
    let request = wire::HelloRequest {
        controller_version: VERSION.to_owned(),
        protocol_min: PROTOCOL.min,
        protocol_max: PROTOCOL.max,
    };
    let answer = call(host, "hello", HELLO, client.hello(request)).await?;
    // Before anything else is read: the rest of another protocol's answer may mean something else.
    let theirs = ProtocolRange {
        min: answer.protocol_min,
        max: answer.protocol_max,
    };
    negotiate(
        VERSION,
        PROTOCOL,
        &answer.agent_version,
        theirs,
        host.as_str(),
    )
    .map_err(|skew| Fault::new(FaultKind::Unsupported, skew.to_string()))?;
    let facts = facts_from_wire(answer).map_err(|error| fault::garbled(host, error))?;
    if facts.host == *host {
        return Ok(facts);
    }
    let what = format!("the agent says it is {}, not {host}", facts.host);
    Err(Fault::new(FaultKind::Denied, what).hint("check the host's address in fleet.toml"))
}
