//! Any change to a record is found.

use proptest::prelude::*;
use sha2::Digest as _;

use super::*;

fn fact(number: u64) -> Fact {
    if number.is_multiple_of(3) {
        return Fact::Ended(Ended {
            operator: Some("ana".parse().unwrap()),
            stack: "opq".parse().unwrap(),
            deploy: DeployId::from_bytes([7; 16]),
            outcome: Outcome::Succeeded,
            state: State::Committed,
            revision: Some(RevisionId::from_bytes([1; 32])),
            fault: None,
        });
    }
    Fact::Called(Called {
        operator: "ana".parse().unwrap(),
        role: Role::Deployer,
        serial: "0a1b".to_owned(),
        verb: "Deploy".to_owned(),
        stack: Some("opq".parse().unwrap()),
        deploy: None,
        asked: format!("plan {number}"),
        decision: match number % 2 {
            0 => Decision::LetIn,
            _ => Decision::Refused(FaultKind::Busy),
        },
    })
}

/// A record of so many entries, and its head.
fn record(count: u64) -> (Vec<Vec<u8>>, Head) {
    record_from(Head::NONE, count, fact)
}

fn record_from(mut head: Head, count: u64, fact: impl Fn(u64) -> Fact) -> (Vec<Vec<u8>>, Head) {
    let mut lines = Vec::new();
    for number in head.number + 1..=head.number + count {
        let entry = Entry {
            number,
            at_millis: 1_772_366_400_000 + number,
            fact: fact(number),
            previous: head.hash,
        };
        let (line, hash) = seal(&entry).unwrap();
        assert_eq!(open(line.as_bytes()), Ok(Sealed { entry, hash }));
        lines.push(line.into_bytes());
        head = Head { number, hash };
    }
    (lines, head)
}

fn verdict(lines: &[Vec<u8>], seen: Option<Head>) -> Verdict {
    let mut chain = Chain::new(seen);
    for line in lines {
        chain.take(line);
    }
    chain.finish()
}

fn whys(verdict: &Verdict) -> Vec<&str> {
    verdict.breaks.iter().map(|it| it.why.as_str()).collect()
}

#[test]
fn a_whole_record_holds_and_says_what_it_was_compared_with() {
    let (lines, head) = record(41);
    let (_, seen) = record(37);
    let verdict = verdict(&lines, Some(seen));
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!(
        (verdict.first, verdict.entries, verdict.head),
        (1, 41, head)
    );
    assert_eq!(verdict.compared, Compared::Same(seen));
    assert_eq!(head.to_string().parse(), Ok(head));
}

#[test]
fn what_is_wrong_is_told_by_its_place() {
    let (lines, head) = record(9);
    let mut changed = lines.clone();
    let text = String::from_utf8(changed[3].clone()).unwrap();
    changed[3] = text.replace("\"ana\"", "\"eve\"").into_bytes();
    assert_eq!(
        whys(&verdict(&changed, None)),
        ["the entry after 3 was changed: its content does not fit its hash"]
    );
    let mut removed = lines.clone();
    removed.drain(3..5);
    assert_eq!(
        whys(&verdict(&removed, None)),
        ["entries 4 to 5 are missing"]
    );
    assert_eq!(
        whys(&verdict(&lines[2..], None)),
        ["it begins in the middle, at entry 3: what stood before was removed"]
    );
    let cut = verdict(&lines[..5], Some(head));
    assert_eq!(
        (cut.compared, cut.holds()),
        (Compared::Shorter(head), false)
    );
    // Written anew from the fourth on, by somebody who knows how.
    let (mut forged, at) = record(3);
    forged.extend(record_from(at, 7, |_| fact(2)).0);
    let forged = verdict(&forged, Some(head));
    assert!(forged.breaks.is_empty());
    assert_eq!(
        (forged.compared, forged.holds()),
        (Compared::Other(head), false)
    );
}

#[test]
fn a_beginning_that_was_dropped_is_said_by_the_record_itself() {
    let file = |dropped| {
        move |number: u64| match number {
            5 | 8 => Fact::File { dropped },
            _ => fact(number),
        }
    };
    let (lines, _) = record_from(Head::NONE, 10, file(4));
    let (_, seen) = record_from(Head::NONE, 2, file(4));
    let dropped = verdict(&lines[4..], Some(seen));
    assert!(dropped.holds(), "{dropped:?}");
    assert_eq!(dropped.compared, Compared::Dropped(seen));
    // Nothing says that more than the first four went.
    assert_eq!(
        whys(&verdict(&lines[7..], None)),
        ["entries 1 to 7 are gone, and no entry says that they went"]
    );
}

#[test]
fn what_a_newer_agent_writes_is_part_of_the_chain() {
    let (mut lines, head) = record(2);
    let text = String::from_utf8(
        seal(&Entry {
            number: 3,
            at_millis: 0,
            fact: Fact::Torn { bytes: 1 },
            previous: head.hash,
        })
        .unwrap()
        .0
        .into_bytes(),
    )
    .unwrap();
    let (body, _) = text.split_once(",\"hash\"").unwrap();
    let body = format!("{}}}", body.replace("torn", "moon_phase"));
    let hash = AuditHash::from_bytes(sha2::Sha256::digest(&body).into());
    let line = format!("{},\"hash\":\"{hash}\"}}", body.trim_end_matches('}'));
    lines.push(line.into_bytes());
    let mut chain = Chain::new(None);
    let last = lines.iter().filter_map(|line| chain.take(line)).last();
    assert_eq!(last.unwrap().fact, Fact::Other);
    assert!(chain.finish().holds());
}

proptest! {
    #[test]
    fn any_turned_bit_is_found(count in 1..12_u64, at in any::<prop::sample::Index>(), byte in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let (mut lines, head) = record(count);
        let line = at.get_mut(&mut lines);
        let byte = byte.index(line.len());
        line[byte] ^= 1 << bit;
        prop_assert!(!verdict(&lines, Some(head)).holds());
    }

    #[test]
    fn any_entry_that_is_taken_out_is_found(count in 1..12_u64, at in any::<prop::sample::Index>()) {
        let (mut lines, head) = record(count);
        lines.remove(at.index(lines.len()));
        prop_assert!(!verdict(&lines, Some(head)).holds());
    }

    #[test]
    fn any_cut_is_found(count in 1..12_u64, keep in any::<prop::sample::Index>()) {
        let (mut lines, head) = record(count);
        lines.truncate(keep.index(lines.len()));
        prop_assert!(!verdict(&lines, Some(head)).holds());
    }

    #[test]
    fn any_two_that_change_places_are_found(count in 2..12_u64, pair: (prop::sample::Index, prop::sample::Index)) {
        let (mut lines, head) = record(count);
        let (one, other) = (pair.0.index(lines.len()), pair.1.index(lines.len()));
        prop_assume!(one != other);
        lines.swap(one, other);
        prop_assert!(!verdict(&lines, Some(head)).holds());
    }

    #[test]
    fn an_entry_that_is_put_in_is_found(count in 1..12_u64, at in any::<prop::sample::Index>(), copied in any::<prop::sample::Index>()) {
        let (mut lines, head) = record(count);
        let copy = copied.get(&lines).clone();
        lines.insert(at.index(lines.len() + 1), copy);
        prop_assert!(!verdict(&lines, Some(head)).holds());
    }

    #[test]
    fn no_bytes_are_too_strange(lines: Vec<Vec<u8>>) {
        prop_assert_eq!(verdict(&lines, None).holds(), lines.is_empty());
    }
}
