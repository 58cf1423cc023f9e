//! Names in certificates: `longshore://FLEET/host/NAME` and `longshore://FLEET/operator/ROLE/NAME`, and beside the
//! latter `longshore://FLEET/only/HOST` for each host that an operator is limited to.

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

/// All that the URIs of one certificate say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Whom it speaks for.
    pub identity: Identity,
    /// The hosts that an operator is limited to; empty means every host of the fleet.
    pub only: Vec<HostName>,
}

/// The URIs of a certificate do not make sense together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNames {
    /// No name, or more than one.
    #[error("the certificate does not carry exactly one name")]
    Count,
    /// One name, and it is not ours.
    #[error(transparent)]
    Foreign(#[from] InvalidIdentity),
    /// A limit of another fleet, or beside a host's name.
    #[error("the certificate is limited to a host that its name has nothing to do with")]
    Limit,
}

impl Names {
    /// Takes the URIs of a certificate together.
    ///
    /// # Errors
    /// When they are not one identity of ours, and limits that fit it.
    pub fn read<'a>(uris: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidNames> {
        let (mut names, mut limits) = (Vec::new(), Vec::new());
        for uri in uris {
            match limit(uri) {
                Some(limit) => limits.push(limit),
                None => names.push(uri),
            }
        }
        let [name] = names.as_slice() else {
            return Err(InvalidNames::Count);
        };
        let identity: Identity = name.parse()?;
        let fits = |(fleet, _): &(FleetName, HostName)| match &identity {
            Identity::Operator { fleet: ours, .. } => fleet == ours,
            Identity::Host { .. } => false,
        };
        if !limits.iter().all(fits) {
            return Err(InvalidNames::Limit);
        }
        let only = limits.into_iter().map(|(_, host)| host).collect();
        Ok(Self { identity, only })
    }

    /// The URIs that say this: the name, then the limits.
    #[must_use]
    pub fn uris(&self) -> Vec<String> {
        let (Identity::Host { fleet, .. } | Identity::Operator { fleet, .. }) = &self.identity;
        let limits = self.only.iter();
        let limits = limits.map(|host| format!("{SCHEME}{fleet}/only/{host}"));
        std::iter::once(self.identity.to_string())
            .chain(limits)
            .collect()
    }

    /// Whether an operator may work on that host.
    #[must_use]
    pub fn allows(&self, host: &HostName) -> bool {
        self.only.is_empty() || self.only.contains(host)
    }
}

/// What looks like a limit and is none counts as a name, and no certificate may have two of them.
fn limit(uri: &str) -> Option<(FleetName, HostName)> {
    let (fleet, host) = uri.strip_prefix(SCHEME)?.split_once("/only/")?;
    Some((fleet.parse().ok()?, host.parse().ok()?))
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

    const ANA: &str = "longshore://opq/operator/viewer/ana";

    #[test]
    fn limits_stand_beside_an_operators_name() {
        let uris = [
            ANA,
            "longshore://opq/only/emilia",
            "longshore://opq/only/loa",
        ];
        let names = Names::read(uris).unwrap();
        assert_eq!(names.uris(), uris);
        assert!(names.allows(&"loa".parse().unwrap()));
        assert!(!names.allows(&"paul".parse().unwrap()));
        let names = Names::read([ANA]).unwrap();
        assert!(names.allows(&"paul".parse().unwrap()));
    }

    #[test]
    fn what_limits_nothing_that_is_there_is_refused() {
        let refused = |uris: &[&str]| Names::read(uris.iter().copied()).unwrap_err();
        assert_eq!(refused(&[]), InvalidNames::Count);
        let only = "longshore://opq/only/emilia";
        assert_eq!(refused(&[only]), InvalidNames::Count);
        for wrong in [
            ANA,
            "longshore://opq/only/",
            "longshore://opq/only/a/b",
            "longshore://opq/only/EMILIA!",
            "https://opq/only/emilia",
        ] {
            assert_eq!(refused(&[ANA, wrong]), InvalidNames::Count, "{wrong}");
        }
        let host = "longshore://opq/host/emilia";
        assert_eq!(refused(&[host, only]), InvalidNames::Limit);
        let foreign = "longshore://xyz/only/emilia";
        assert_eq!(refused(&[ANA, foreign]), InvalidNames::Limit);
        let other = "https://opq/host/emilia";
        assert!(matches!(refused(&[other]), InvalidNames::Foreign(_)));
    }
}
