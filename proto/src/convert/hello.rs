//! The handshake's messages.

use super::{InvalidMessage, parse, wire};
use crate::hello::{Component, Credentials, Feature, HostFacts, ProtocolRange};

fn component_to_wire(component: Component) -> wire::Component {
    match component {
        Ok(version) => wire::Component {
            version,
            problem: String::new(),
        },
        Err(problem) => wire::Component {
            version: String::new(),
            problem,
        },
    }
}

fn component_from_wire(component: Option<wire::Component>) -> Component {
    match component {
        Some(wire::Component { version, problem }) if problem.is_empty() => Ok(version),
        Some(wire::Component { problem, .. }) => Err(problem),
        None => Err("not reported by this agent".to_owned()),
    }
}

/// What an agent answers.
#[must_use]
pub fn facts_to_wire(facts: HostFacts) -> wire::HelloResponse {
    let HostFacts {
        agent_version,
        protocol,
        host,
        os,
        architecture,
        engine,
        compose,
        message_limit,
        bundle_limit,
        file_limit,
        operator,
        role,
        credentials,
        build,
        instance,
        features,
    } = facts;
    wire::HelloResponse {
        agent_version,
        protocol_min: protocol.min,
        protocol_max: protocol.max,
        host: host.into(),
        os,
        architecture,
        engine: Some(component_to_wire(engine)),
        compose: Some(component_to_wire(compose)),
        message_limit,
        bundle_limit,
        file_limit,
        operator,
        role: role.to_string(),
        credentials: credentials.map(credentials_to_wire),
        build,
        instance,
        features: features
            .into_iter()
            .map(|it| it.name().to_owned())
            .collect(),
    }
}

fn credentials_to_wire(credentials: Credentials) -> wire::Credentials {
    let Credentials {
        begins,
        expires,
        list,
        list_due,
        authorities,
        signer,
    } = credentials;
    wire::Credentials {
        begins,
        expires,
        list,
        list_due,
        authorities,
        signer,
    }
}

fn credentials_from_wire(credentials: wire::Credentials) -> Credentials {
    let wire::Credentials {
        begins,
        expires,
        list,
        list_due,
        authorities,
        signer,
    } = credentials;
    Credentials {
        begins,
        expires,
        list,
        list_due,
        authorities,
        signer,
    }
}

/// What a controller reads.
///
/// # Errors
/// When the host's name or the role is malformed.
pub fn facts_from_wire(hello: wire::HelloResponse) -> Result<HostFacts, InvalidMessage> {
    let wire::HelloResponse {
        agent_version,
        protocol_min,
        protocol_max,
        host,
        os,
        architecture,
        engine,
        compose,
        message_limit,
        bundle_limit,
        file_limit,
        operator,
        role,
        credentials,
        build,
        instance,
        features,
    } = hello;
    let known = Feature::ALL.into_iter();
    Ok(HostFacts {
        agent_version,
        protocol: ProtocolRange {
            min: protocol_min,
            max: protocol_max,
        },
        host: parse(&host)?,
        os,
        architecture,
        engine: component_from_wire(engine),
        compose: component_from_wire(compose),
        message_limit,
        bundle_limit,
        file_limit,
        operator,
        role: parse(&role)?,
        credentials: credentials.map(credentials_from_wire),
        build,
        instance,
        features: known
            .filter(|it| features.iter().any(|name| name == it.name()))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost::encoding::{WireType, encode_key, encode_varint};

    use super::*;

    /// One field of the wire format: a number, and bytes.
    fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut encoded);
        encode_varint(bytes.len() as u64, &mut encoded);
        encoded.extend_from_slice(bytes);
        encoded
    }

    #[test]
    fn a_handshake_with_an_agent_one_version_older_or_newer_is_understood() {
        // What the first agents answered, and nothing that came later.
        let mut first = field(1, b"0.1.0");
        first.extend([2 << 3, 1, 3 << 3, 1]);
        for (number, text) in [(4, "emilia"), (5, "linux"), (6, "amd64")] {
            first.extend(field(number, text.as_bytes()));
        }
        first.extend(field(12, b"ana"));
        first.extend(field(13, b"admin"));
        let older = wire::HelloResponse::decode(first.as_slice()).unwrap();
        let older = facts_from_wire(older).unwrap();
        assert_eq!((older.build.as_str(), older.instance.as_str()), ("", ""));
        assert!(older.credentials.is_none());
        // One that tells more than we know.
        let mut newer = first;
        newer.extend(field(900, b"what nobody has heard of"));
        let newer = wire::HelloResponse::decode(newer.as_slice()).unwrap();
        assert_eq!(facts_from_wire(newer).unwrap(), older);
    }
}
