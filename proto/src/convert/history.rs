//! Histories.

use super::{FromNumber, InvalidMessage, enum_map, optional, parse, text, wire};
use crate::event::{Outcome, State};
use crate::history::{Deed, Ending, HistoryEntry};

enum_map!("deed", Deed, wire::Deed, {
    Deploy = Deploy,
    Rollback = Rollback,
    Down = Down,
});

impl From<HistoryEntry> for wire::HistoryEntry {
    fn from(entry: HistoryEntry) -> Self {
        let HistoryEntry {
            deploy,
            deed,
            operator,
            began_at_millis,
            number,
            ending,
            revision,
            current,
            kept,
            changes,
            registries,
        } = entry;
        let (outcome, state) = ending_to_wire(ending);
        Self {
            deploy: deploy.to_string(),
            deed: wire::Deed::from(deed).into(),
            operator: text(operator),
            began_at_millis,
            number,
            outcome: outcome.into(),
            state: state.into(),
            revision: text(revision),
            current,
            kept,
            changes,
            registries,
        }
    }
}

impl TryFrom<wire::HistoryEntry> for HistoryEntry {
    type Error = InvalidMessage;
    fn try_from(message: wire::HistoryEntry) -> Result<Self, InvalidMessage> {
        let wire::HistoryEntry {
            deploy,
            deed,
            operator,
            began_at_millis,
            number,
            outcome,
            state,
            revision,
            current,
            kept,
            changes,
            registries,
        } = message;
        Ok(Self {
            deploy: parse(&deploy)?,
            deed: Deed::from_number(deed)?,
            operator: optional(&operator)?,
            began_at_millis,
            number,
            ending: ending_from_wire(outcome, state)?,
            revision: optional(&revision)?,
            current,
            kept,
            changes,
            registries,
        })
    }
}

fn ending_to_wire(ending: Option<Ending>) -> (wire::Outcome, wire::State) {
    ending.map_or_else(Default::default, |Ending { outcome, state }| {
        (outcome.into(), state.into())
    })
}

/// Both are unset while a deploy runs; one without the other means nothing.
fn ending_from_wire(outcome: i32, state: i32) -> Result<Option<Ending>, InvalidMessage> {
    if (outcome, state) == (0, 0) {
        return Ok(None);
    }
    Ok(Some(Ending {
        outcome: Outcome::from_number(outcome)?,
        state: State::from_number(state)?,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{DeployId, OperatorName, RevisionId};

    fn any_ending() -> impl Strategy<Value = Ending> {
        let outcome = prop::sample::select(vec![
            Outcome::Succeeded,
            Outcome::Failed,
            Outcome::TimedOut,
            Outcome::Cancelled,
            Outcome::Interrupted,
        ]);
        let state = prop::sample::select(vec![
            State::Committed,
            State::RolledBack,
            State::Failed,
            State::Removed,
        ]);
        (outcome, state).prop_map(|(outcome, state)| Ending { outcome, state })
    }

    prop_compose! {
        fn any_entry()(
            deploy: [u8; 16],
            deed in prop::sample::select(vec![Deed::Deploy, Deed::Rollback, Deed::Down]),
            operator in prop::option::of("[a-zA-Z0-9][a-zA-Z0-9_.-]{0,8}"),
            times: (u64, u64),
            ending in prop::option::of(any_ending()),
            revision: Option<[u8; 32]>,
            flags: (bool, bool),
            changes: Vec<String>,
        ) -> HistoryEntry {
            HistoryEntry {
                deploy: DeployId::from_bytes(deploy),
                deed,
                operator: operator.map(|name| name.parse::<OperatorName>().unwrap()),
                began_at_millis: times.0,
                number: times.1,
                ending,
                revision: revision.map(RevisionId::from_bytes),
                current: flags.0,
                kept: flags.1,
                changes,
                registries: vec!["ghcr.io".to_owned()],
            }
        }
    }

    proptest! {
        #[test]
        fn an_entry_survives_the_wire(entry in any_entry()) {
            prop_assert_eq!(HistoryEntry::try_from(wire::HistoryEntry::from(entry.clone())), Ok(entry));
        }
    }

    #[test]
    fn half_an_ending_is_refused_at_the_door() {
        for (outcome, state) in [(1, 0), (0, 7), (99, 7)] {
            assert!(ending_from_wire(outcome, state).is_err());
        }
    }
}
