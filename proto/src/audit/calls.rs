//! Which RPCs change something, or hand out what a stack holds, and are therefore recorded: one table for every RPC,
//! beside that of the roles. Whoever calls what they may not is recorded in any case.

/// When a call is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Whenever it is made, before it is answered.
    Called,
    /// Once it has brought something new onto the host, and when it is refused at the door.
    Kept,
    /// Only when it is denied: it reads, and what it shows holds no secret that longshore knows of.
    Never,
}

/// Every RPC of the service.
const CALLS: &[(&str, When)] = &[
    ("Hello", When::Never),
    ("Stage", When::Kept),
    ("Plan", When::Never),
    ("Deploy", When::Called),
    ("Watch", When::Never),
    ("Cancel", When::Called),
    ("Confirm", When::Called),
    // A backup is all of a database: who took it away is asked as often as who changed it.
    ("Saved", When::Called),
    ("Status", When::Never),
    ("Check", When::Never),
    ("Logs", When::Never),
    ("Down", When::Called),
    ("Rollback", When::Called),
    ("History", When::Never),
    ("Audit", When::Never),
    ("Revocations", When::Kept),
    ("Renew", When::Called),
    ("Accept", When::Called),
    ("Trust", When::Kept),
    ("Upgrade", When::Kept),
];

/// When a method is recorded. One that is in no table is refused to everybody, and told of.
#[must_use]
pub fn audited(method: &str) -> When {
    let found = CALLS.iter().find(|(name, _)| *name == method);
    found.map_or(When::Called, |(_, when)| *when)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::role;

    #[test]
    fn every_rpc_of_the_schema_is_recorded_or_reads() {
        let methods: BTreeSet<&str> = role::METHODS.iter().map(|(_, name)| *name).collect();
        let listed: BTreeSet<&str> = CALLS.iter().map(|(name, _)| *name).collect();
        assert_eq!(methods, listed);
        assert_eq!(CALLS.len(), listed.len(), "an RPC is listed twice");
    }

    #[test]
    fn what_a_viewer_may_call_reads() {
        for (name, when) in CALLS {
            let viewer = role::required(name) == Some(role::Role::Viewer);
            // What it brings is signed by an admin.
            let signed = *name == "Revocations" && *when == When::Kept;
            assert!(!viewer || *when == When::Never || signed, "{name}");
        }
    }
}
