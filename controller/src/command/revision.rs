//! Which revision a stack would go back to, told from its history.

use proto::fault::{Fault, FaultKind};
use proto::history::HistoryEntry;

use crate::event::Place;
use crate::render::history::{Known, Way, who_and_when};

/// Where a stack would go: to the revision whose id begins with `to`, or else to the last good one before.
pub(super) fn way(
    place: &Place,
    entries: &[HistoryEntry],
    to: Option<&str>,
    now_millis: u64,
) -> Result<Way, Fault> {
    let commits = commits(entries);
    let current = commits.iter().find(|(entry, _)| entry.current);
    let from = current.map(|(_, known)| known.clone());
    let kept: Vec<&Known> = commits
        .iter()
        .filter(|(entry, _)| entry.kept)
        .map(|(_, known)| known)
        .collect();
    // Named, the current one counts, too: it makes the host again what its record says.
    let earlier = commits
        .iter()
        .find(|(entry, _)| entry.kept && !entry.current);
    let to = match to {
        Some(digits) => named(place, digits, &commits, &kept, now_millis)?,
        None => earlier.map(|(_, known)| known).ok_or_else(|| {
            let what = format!(
                "stack {} has no earlier revision to go back to",
                place.stack
            );
            Fault::new(FaultKind::Refused, what)
                .hint(format!("what was done: controller history {place}"))
        })?,
    };
    Ok(Way {
        from,
        to: to.clone(),
    })
}

/// Every revision by its last commit, the newest first.
fn commits(entries: &[HistoryEntry]) -> Vec<(&HistoryEntry, Known)> {
    let mut commits: Vec<(&HistoryEntry, Known)> = Vec::new();
    for entry in entries {
        let Some(id) = entry.committed() else {
            continue;
        };
        if commits.iter().all(|(_, known)| known.id != id) {
            let known = Known {
                id,
                operator: entry.operator.clone(),
                at_millis: entry.began_at_millis,
            };
            commits.push((entry, known));
        }
    }
    commits
}

fn named<'a>(
    place: &Place,
    digits: &str,
    commits: &[(&HistoryEntry, Known)],
    kept: &[&'a Known],
    now_millis: u64,
) -> Result<&'a Known, Fault> {
    let begins = |known: &Known| known.id.to_string().starts_with(digits);
    let found: Vec<&&Known> = kept.iter().filter(|known| begins(known)).collect();
    let stack = &place.stack;
    let refused = |kind, what: String, candidates: &[&&Known]| {
        let listed =
            |known: &&&Known| format!("{} ({})", known.id.short(), who_and_when(known, now_millis));
        let fault = Fault::new(kind, what);
        let mut listed = candidates.iter().map(listed).peekable();
        match listed.peek() {
            Some(_) => listed.fold(fault, |fault, one| fault.hint(format!("kept is {one}"))),
            None => fault.hint("no revision of it is kept"),
        }
    };
    let all: Vec<&&Known> = kept.iter().collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(match commits.iter().find(|(_, known)| begins(known)) {
            Some((_, known)) => {
                let what = format!(
                    "revision {} of stack {stack} is not kept any more",
                    known.id.short()
                );
                refused(FaultKind::Refused, what, &all)
            }
            None => {
                let what = format!("stack {stack} has no revision {digits}");
                refused(FaultKind::UnknownName, what, &all)
            }
        }),
        several => {
            let what = format!(
                "{digits} begins {} revisions of stack {stack}",
                several.len()
            );
            Err(refused(FaultKind::InvalidRequest, what, several))
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::event::{Outcome, State};
    use proto::history::{Deed, Ending};
    use proto::id::{DeployId, RevisionId};

    use super::*;

    fn entry(number: u8, first: u8, current: bool, kept: bool) -> HistoryEntry {
        let mut id = [0xab; 32];
        id[1] = first;
        HistoryEntry {
            deploy: DeployId::from_bytes([number; 16]),
            deed: Deed::Deploy,
            operator: Some("ana".parse().unwrap()),
            began_at_millis: 1000 * u64::from(number),
            number: number.into(),
            ending: Some(Ending {
                outcome: Outcome::Succeeded,
                state: State::Committed,
            }),
            revision: Some(RevisionId::from_bytes(id)),
            current,
            kept,
            changes: Vec::new(),
            registries: Vec::new(),
        }
    }

    /// Deployed 1, 2 and 3; the third is current, and the newest word is of a failure.
    fn entries() -> Vec<HistoryEntry> {
        let failed = HistoryEntry {
            ending: Some(Ending {
                outcome: Outcome::Failed,
                state: State::RolledBack,
            }),
            ..entry(5, 3, true, true)
        };
        vec![
            failed,
            entry(4, 3, true, true),
            entry(3, 2, false, true),
            entry(2, 1, false, true),
            entry(1, 0, false, false),
        ]
    }

    fn place() -> Place {
        Place {
            host: "emilia".parse().unwrap(),
            stack: "opq".parse().unwrap(),
        }
    }

    fn to(digits: Option<&str>) -> Result<u8, Fault> {
        way(&place(), &entries(), digits, 90_000).map(|way| way.to.id.as_bytes()[1])
    }

    #[test]
    fn without_a_name_the_last_good_one_before_is_meant() {
        assert_eq!(to(None), Ok(2));
        let way = way(&place(), &entries(), None, 0).unwrap();
        assert_eq!(
            way.from.unwrap().at_millis,
            4000,
            "its commit, not a failure since"
        );
    }

    #[test]
    fn after_down_the_last_one_is_meant() {
        let mut entries = entries();
        for entry in &mut entries {
            entry.current = false;
        }
        let way = way(&place(), &entries, None, 0).unwrap();
        assert_eq!((way.from, way.to.id.as_bytes()[1]), (None, 3));
    }

    #[test]
    fn a_name_is_any_prefix_that_fits_one() {
        assert_eq!(to(Some("ab01")), Ok(1));
        assert_eq!(to(Some("ab03")), Ok(3), "the current one, once more");
        assert_eq!(to(Some(&format!("ab02{}", "ab".repeat(30)))), Ok(2));
    }

    #[test]
    fn a_name_that_does_not_lead_anywhere_says_why_and_what_there_is() {
        for (digits, kind, words) in [
            ("ab0", FaultKind::InvalidRequest, "ab0 begins 3 revisions"),
            ("ab00", FaultKind::Refused, "not kept any more"),
            ("beef", FaultKind::UnknownName, "no revision beef"),
        ] {
            let fault = to(Some(digits)).unwrap_err();
            assert_eq!(fault.kind, kind, "{fault}");
            assert!(fault.what.contains(words), "{fault}");
            let hints = fault.hints.join("\n");
            assert!(hints.contains("kept is ab02abab"), "{hints}");
            assert!(hints.contains("(ana, 1m ago)"), "{hints}");
        }
    }

    #[test]
    fn with_nothing_to_go_back_to_the_history_is_named() {
        let fault = way(&place(), &entries()[..2], None, 0).unwrap_err();
        assert_eq!(
            fault.what,
            "stack opq has no earlier revision to go back to"
        );
        assert_eq!(
            fault.hints,
            ["what was done: controller history emilia/opq"]
        );
    }
}
