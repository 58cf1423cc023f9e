//! Who may call what: one table for every RPC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an operator may do; each role includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads: status, history, logs.
    Viewer,
    /// Changes stacks.
    Deployer,
    /// Handles identities and data: certificates, upgrade, `down --volumes`.
    Admin,
}

/// The text is no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a role; roles are viewer, deployer and admin")]
pub struct InvalidRole(String);

impl FromStr for Role {
    type Err = InvalidRole;
    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "deployer" => Ok(Self::Deployer),
            "admin" => Ok(Self::Admin),
            _ => Err(InvalidRole(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
        })
    }
}

/// Every RPC of the service with the least role that may call it.
pub const REQUIRED: &[(&str, Role)] = &[
    ("Hello", Role::Viewer),
    ("Stage", Role::Deployer),
    ("Plan", Role::Deployer),
    ("Deploy", Role::Deployer),
    ("Watch", Role::Viewer),
    ("Cancel", Role::Deployer),
    ("Confirm", Role::Deployer),
    ("Saved", Role::Deployer),
    ("Status", Role::Viewer),
    ("Logs", Role::Viewer),
    // Its `volumes` flag asks for more: see the agent's service.
    ("Down", Role::Deployer),
    ("Rollback", Role::Deployer),
    ("History", Role::Viewer),
    ("Audit", Role::Viewer),
    ("Check", Role::Viewer),
    // The list is signed, and only a newer one counts: the sooner anybody brings it, the better.
    ("Revocations", Role::Viewer),
    ("Renew", Role::Admin),
    ("Accept", Role::Admin),
    ("Trust", Role::Admin),
    ("Upgrade", Role::Admin),
];

/// Every method that the schema's services have: its path on the wire and its name.
pub const METHODS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// The least role for a method; `None` for a method that is in no table, which nobody may call.
#[must_use]
pub fn required(method: &str) -> Option<Role> {
    REQUIRED
        .iter()
        .find(|(name, _)| *name == method)
        .map(|(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_of_the_schema_has_a_role() {
        assert!(METHODS.len() > 5, "the schema was not read: {METHODS:?}");
        for (path, method) in METHODS {
            assert!(required(method).is_some(), "{path} has no role");
        }
        assert_eq!(
            METHODS.len(),
            REQUIRED.len(),
            "a role for a method that is gone"
        );
    }

    #[test]
    fn what_changes_something_is_no_viewers_call() {
        // Its list is signed by an admin, and only a newer one counts.
        let signed = "Revocations";
        for (name, role) in REQUIRED.iter().filter(|(name, _)| *name != signed) {
            let reads = crate::audit::audited(name) == crate::audit::When::Never;
            assert!(reads || *role > Role::Viewer, "{name}");
        }
    }

    #[test]
    fn roles_are_ordered() {
        assert!(Role::Viewer < Role::Deployer && Role::Deployer < Role::Admin);
    }
}
