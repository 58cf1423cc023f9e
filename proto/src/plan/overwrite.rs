//! Files that both the host and the stack have changed, and what an operator says to that.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::FilePlan;
use crate::fault::{Fault, FaultKind};
use crate::path::RelPath;

/// Files whose host's version an operator gives up; a copy of each is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overwrite {
    /// These.
    Paths(BTreeSet<RelPath>),
    /// All that the plan names.
    All,
}

impl Default for Overwrite {
    fn default() -> Self {
        Self::Paths(BTreeSet::new())
    }
}

impl Overwrite {
    /// Whether a file may be replaced.
    #[must_use]
    pub fn covers(&self, path: &RelPath) -> bool {
        match self {
            Self::All => true,
            Self::Paths(paths) => paths.contains(path),
        }
    }

    /// Whether it gives up nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Paths(paths) if paths.is_empty())
    }

    /// Refuses files that both sides have changed, unless they are given up.
    ///
    /// # Errors
    /// Names those that are not.
    pub fn check(&self, files: &[FilePlan]) -> Result<(), Fault> {
        let refused = files
            .iter()
            .filter(|file| file.is_conflict() && !self.covers(&file.path));
        let paths: Vec<&str> = refused.map(|file| file.path.as_str()).collect();
        if paths.is_empty() {
            return Ok(());
        }
        let what = format!("changed on the host and in the stack: {}", paths.join(", "));
        Err(Fault::new(FaultKind::Refused, what)
            .cause("an application or a person has written there since it was laid out")
            .hint(format!(
                "take the stack's version, and keep a copy of the host's: --overwrite {}",
                paths.join(" --overwrite ")
            ))
            .hint("or take the host's version into the stack's folder first"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Change, HostFile};

    #[test]
    fn only_what_both_have_changed_needs_a_word() {
        let plan = |change, host| FilePlan {
            path: "conf/a".parse().unwrap(),
            change,
            host,
        };
        let conflict = [plan(Change::Changed, HostFile::Changed)];
        let all = [
            plan(Change::Removed, HostFile::Changed),
            plan(Change::Added, HostFile::Gone),
            plan(Change::Changed, HostFile::AsLaidOut),
        ];
        let none = Overwrite::default();
        assert!(none.check(&all).is_ok());
        let fault = none.check(&conflict).unwrap_err();
        assert!(fault.hints[0].contains("--overwrite conf/a"), "{fault:?}");
        for agreed in [
            Overwrite::All,
            Overwrite::Paths(["conf/a".parse().unwrap()].into()),
        ] {
            assert!(agreed.check(&conflict).is_ok());
        }
    }
}
