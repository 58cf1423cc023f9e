//! The table of exit codes: the one place that says what each number means.

use proto::event::{Outcome, State};
use proto::fault::FaultKind;

/// How the command ends. The numbers are part of the interface and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done, nothing to do, or left running with `--detach`.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// `plan` only: a deploy would change something.
    Pending = 2,
    /// Failed, and the stack is back at its last good revision.
    RolledBack = 3,
    /// Part of the hosts failed, or several failed differently.
    Partial = 4,
    /// Another deploy holds the stack.
    Busy = 5,
    /// A host was unreachable, or an identity was refused.
    Unreachable = 6,
    /// Bad usage.
    Usage = 64,
    /// The fleet file or a stack is invalid.
    Invalid = 65,
    /// A defect in longshore.
    Defect = 70,
    /// Left by Ctrl-C; a deploy may go on.
    Left = 130,
}

impl Exit {
    /// The number for the shell.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The code of one command that ran in several places.
    #[must_use]
    pub fn overall(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else {
            return Self::Done;
        };
        parts.fold(first, |all, part| match (all, part) {
            _ if all == part => all,
            (Self::Left, _) | (_, Self::Left) => Self::Left,
            // A pending change is no failure: with a host that could not be asked the rest still counts.
            (Self::Done, Self::Pending) | (Self::Pending, Self::Done) => Self::Pending,
            _ => Self::Partial,
        })
    }

    /// The code of a deploy that has ended.
    #[must_use]
    pub fn of_ending(outcome: Outcome, state: State) -> Self {
        match (outcome, state) {
            (Outcome::Succeeded | Outcome::Skipped, _) => Self::Done,
            (_, State::RolledBack) => Self::RolledBack,
            _ => Self::Failed,
        }
    }
}

impl From<FaultKind> for Exit {
    fn from(kind: FaultKind) -> Self {
        match kind {
            FaultKind::InvalidStack => Self::Invalid,
            FaultKind::InvalidRequest | FaultKind::UnknownName => Self::Usage,
            FaultKind::Busy => Self::Busy,
            FaultKind::Denied | FaultKind::Unreachable => Self::Unreachable,
            FaultKind::Refused
            | FaultKind::Stale
            | FaultKind::Unsupported
            | FaultKind::Engine
            | FaultKind::Failed => Self::Failed,
            FaultKind::Internal => Self::Defect,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_documented_ones() {
        let table = [
            (Exit::Done, 0),
            (Exit::Failed, 1),
            (Exit::Pending, 2),
            (Exit::RolledBack, 3),
            (Exit::Partial, 4),
            (Exit::Busy, 5),
            (Exit::Unreachable, 6),
            (Exit::Usage, 64),
            (Exit::Invalid, 65),
            (Exit::Defect, 70),
            (Exit::Left, 130),
        ];
        for (exit, code) in table {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }

    #[test]
    fn every_kind_of_fault_has_its_code() {
        let table = [
            (FaultKind::InvalidStack, 65),
            (FaultKind::InvalidRequest, 64),
            (FaultKind::Refused, 1),
            (FaultKind::Busy, 5),
            (FaultKind::Denied, 6),
            (FaultKind::Stale, 1),
            (FaultKind::Unsupported, 1),
            (FaultKind::Engine, 1),
            (FaultKind::Failed, 1),
            (FaultKind::UnknownName, 64),
            (FaultKind::Unreachable, 6),
            (FaultKind::Internal, 70),
        ];
        for (kind, code) in table {
            assert_eq!(Exit::from(kind).code(), code, "{kind:?}");
        }
    }

    #[test]
    fn several_hosts_make_one_code() {
        use Exit::{Done, Failed, Left, Partial, Pending, RolledBack, Unreachable};
        for (parts, expected) in [
            (vec![], Done),
            (vec![Done, Done], Done),
            (vec![Unreachable, Unreachable], Unreachable),
            (vec![Done, Unreachable], Partial),
            (vec![RolledBack, Failed], Partial),
            (vec![Done, Pending, Done], Pending),
            (vec![Pending, Unreachable], Partial),
            (vec![Partial, Done, Failed], Partial),
            (vec![Done, Left, Failed], Left),
        ] {
            assert_eq!(Exit::overall(parts.clone()), expected, "{parts:?}");
        }
    }

    #[test]
    fn an_ending_tells_failed_from_rolled_back() {
        assert_eq!(
            Exit::of_ending(Outcome::Succeeded, State::Committed),
            Exit::Done
        );
        assert_eq!(
            Exit::of_ending(Outcome::TimedOut, State::RolledBack),
            Exit::RolledBack
        );
        assert_eq!(
            Exit::of_ending(Outcome::Cancelled, State::RolledBack),
            Exit::RolledBack
        );
        assert_eq!(
            Exit::of_ending(Outcome::Interrupted, State::Failed),
            Exit::Failed
        );
    }
}
