//! Names in certificates: `longshore://FLEET/host/NAME` and `longshore://FLEET/operator/ROLE/NAME`.

use std::fmt;
use std::str::FromStr;

use crate::id::{FleetName, HostName, OperatorName};
use crate::role::Role;

const SCHEME: &str = "longshore://";

/// Who a certificate speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// An agent.
    Host {
        /// Its fleet.
        fleet: FleetName,
        /// Its name in `fleet.toml`.
        host: HostName,
    },
    /// A person or a CI job.
    Operator {
        /// Their fleet.
        fleet: FleetName,
        /// What they may do.
        role: Role,
        /// Their name.
        name: OperatorName,
    },
}

/// The URI is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a longshore identity")]
pub struct InvalidIdentity(String);

impl FromStr for Identity {
    type Err = InvalidIdentity;
    fn from_str(uri: &str) -> Result<Self, InvalidIdentity> {
        let refuse = || InvalidIdentity(uri.chars().take(120).collect());
        let path = uri.strip_prefix(SCHEME).ok_or_else(refuse)?;
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            [fleet, "host", host] => Ok(Self::Host {
                fleet: fleet.parse().map_err(|_| refuse())?,
                host: host.parse().map_err(|_| refuse())?,
            }),
            [fleet, "operator", role, name] => Ok(Self::Operator {
                fleet: fleet.parse().map_err(|_| refuse())?,
                role: role.parse().map_err(|_| refuse())?,
                name: name.parse().map_err(|_| refuse())?,
            }),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host { fleet, host } => write!(f, "{SCHEME}{fleet}/host/{host}"),
            Self::Operator { fleet, role, name } => {
                write!(f, "{SCHEME}{fleet}/operator/{role}/{name}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_accepted_identity_prints_as_it_was_read(uri in "longshore://[a-z/]{0,30}") {
            if let Ok(identity) = uri.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), uri);
            }
        }
    }

    #[test]
    fn both_kinds_are_read() {
        for uri in [
            "longshore://opq/host/emilia",
            "longshore://opq/operator/deployer/ana",
        ] {
            assert_eq!(uri.parse::<Identity>().unwrap().to_string(), uri);
        }
    }

    #[test]
    fn foreign_uris_are_refused() {
        for uri in [
            "",
            "https://opq/host/emilia",
            "longshore://opq/host/",
            "longshore://opq/host/a/b",
            "longshore://opq/operator/root/ana",
        ] {
            assert!(uri.parse::<Identity>().is_err(), "{uri}");
        }
    }
}
