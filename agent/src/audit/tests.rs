//! The record across restarts, power cuts, full disks and people who edit it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;
use proto::audit::{Chain, Compared, Entry, Verdict};
use proto::event::{Outcome, State};
use proto::id::DeployId;
use tempfile::TempDir;

use super::*;

fn small() -> Fact {
    Fact::Torn { bytes: 0 }
}

fn ended() -> Ended {
    Ended {
        operator: None,
        stack: "opq".parse().unwrap(),
        deploy: DeployId::from_bytes([1; 16]),
        outcome: Outcome::Failed,
        state: State::Failed,
        revision: None,
        fault: None,
    }
}

struct Kept {
    entries: Vec<Entry>,
    verdict: Verdict,
}

fn read(audit: &Audit, seen: Option<Head>) -> Kept {
    let mut chain = Chain::new(seen);
    let mut entries = Vec::new();
    pages(audit.folder(), 0, 0, |lines| {
        entries.extend(lines.iter().filter_map(|line| chain.take(line)));
        true
    })
    .unwrap();
    let verdict = chain.finish();
    Kept { entries, verdict }
}

fn some(count: usize) -> (TempDir, Audit) {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(&folder.path().join("audit"));
    for _ in 0..count {
        audit.append(small()).unwrap();
    }
    (folder, audit)
}

fn newest_file(audit: &Audit) -> PathBuf {
    super::read::files(audit.folder()).unwrap().pop().unwrap().1
}

#[test]
fn a_record_goes_on_behind_a_restart_and_is_for_its_owner_alone() {
    let (_folder, audit) = some(3);
    let seen = audit.head();
    let audit = Audit::open(audit.folder());
    assert_eq!(audit.head(), seen);
    audit.append(small()).unwrap();
    let kept = read(&audit, seen);
    assert!(kept.verdict.holds(), "{:?}", kept.verdict);
    assert_eq!(kept.verdict.entries, 4);
    assert_eq!(Some(kept.verdict.head), audit.head());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&newest_file(&audit)), 0o600);
    assert_eq!(mode(audit.folder()), 0o700);
}

#[test]
fn before_the_first_entry_the_head_says_so() {
    let (_folder, audit) = some(0);
    assert_eq!(audit.head(), Some(Head::NONE));
    assert!(read(&audit, None).verdict.holds());
}

#[test]
fn files_change_without_a_break_and_the_oldest_goes_with_a_word() {
    let (_folder, audit) = some(1);
    let (first, seen) = (newest_file(&audit), audit.head());
    let begin = |files: usize| {
        let mut inner = audit.inner();
        let writer = inner.writer.as_mut().unwrap();
        for _ in 0..files {
            writer.pretend_full();
            writer.append(small()).unwrap();
        }
        inner.head = inner.writer.as_ref().map(Writer::head);
    };
    begin(MOST_FILES - 1);
    let kept = read(&audit, seen);
    assert!(
        kept.verdict.holds() && kept.verdict.first == 1,
        "{:?}",
        kept.verdict
    );
    assert!(first.exists());

    begin(3);
    assert!(!first.exists());
    assert_eq!(
        super::read::files(audit.folder()).unwrap().len(),
        MOST_FILES
    );
    let kept = read(&audit, seen);
    assert!(kept.verdict.holds(), "{:?}", kept.verdict);
    let dropped = kept.verdict.first - 1;
    assert!(matches!(kept.entries[0].fact, Fact::File { .. }) && dropped > 0);
    let told = kept
        .entries
        .iter()
        .rev()
        .find_map(|entry| match entry.fact {
            Fact::File { dropped } => Some(dropped),
            _ => None,
        });
    assert_eq!(told, Some(dropped));
    let again = Audit::open(audit.folder());
    assert_eq!(again.head(), audit.head(), "nothing to tell of");
    // Whoever removes one more file than the record says is found out.
    fs::remove_file(&super::read::files(audit.folder()).unwrap()[0].1).unwrap();
    assert!(!read(&audit, None).verdict.holds());
}

#[test]
fn a_torn_end_is_cut_off_and_told_once() {
    let (_folder, audit) = some(2);
    let seen = audit.head();
    let mut file = OpenOptions::new()
        .append(true)
        .open(newest_file(&audit))
        .unwrap();
    file.write_all(b"{\"number\":3,\"at_mil").unwrap();
    let audit = Audit::open(audit.folder());
    let audit = Audit::open(audit.folder());
    let kept = read(&audit, seen);
    assert!(kept.verdict.holds(), "{:?}", kept.verdict);
    assert_eq!(kept.entries.len(), 3);
    assert_eq!(kept.entries[2].fact, Fact::Torn { bytes: 19 });
}

#[test]
fn a_chain_that_was_broken_is_told_once_and_goes_on() {
    let (_folder, audit) = some(5);
    let seen = audit.head();
    let path = newest_file(&audit);
    let text = fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("\"number\":3,"))
        .collect();
    fs::write(&path, without.join("\n") + "\n").unwrap();
    let audit = Audit::open(audit.folder());
    let audit = Audit::open(audit.folder());
    audit.append(small()).unwrap();
    let kept = read(&audit, seen);
    assert_eq!(kept.verdict.compared, Compared::Same(seen.unwrap()));
    let [broken] = &kept.verdict.breaks[..] else {
        panic!("{:?}", kept.verdict)
    };
    assert_eq!(
        (broken.after, broken.why.as_str()),
        (2, "entry 3 is missing")
    );
    let told = &kept.entries[kept.entries.len() - 2].fact;
    let why = broken.why.clone();
    assert_eq!(*told, Fact::Broken { after: 2, why });
    assert_eq!(kept.verdict.head.number, 7);
}

#[test]
fn a_damaged_last_entry_is_kept_as_it_is_and_told() {
    let (_folder, audit) = some(2);
    let path = newest_file(&audit);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"number\":2", "\"number\":9")).unwrap();
    let audit = Audit::open(audit.folder());
    audit.append(small()).unwrap();
    let kept = read(&audit, None);
    assert_eq!(kept.verdict.breaks.len(), 1, "{:?}", kept.verdict);
    assert_eq!(kept.verdict.head.number, 3);
    assert!(fs::read_to_string(&path).unwrap().contains("\"number\":9"));
}

#[test]
fn a_full_disk_refuses_changes_and_ends_wait_for_room() {
    let (_folder, audit) = some(1);
    let head = audit.head();
    audit.fill_the_disk(true);
    let fault = audit.append(small()).unwrap_err();
    assert!(fault.what.contains("nothing may be changed"), "{fault}");
    assert!(
        !fault.hints.is_empty() && fault.causes.len() == 2,
        "{fault:?}"
    );
    assert!(audit.check().is_err());
    audit.ended(ended());
    assert_eq!(audit.head(), head, "it is still told");
    assert_eq!(read(&audit, None).entries.len(), 1, "and can be read");
    audit.fill_the_disk(false);
    audit.check().unwrap();
    audit.append(small()).unwrap();
    let kept = read(&audit, head);
    assert!(kept.verdict.holds());
    assert_eq!(kept.entries[1].fact, Fact::Ended(ended()));
    assert_eq!(kept.entries.len(), 3);
}

#[test]
fn a_record_that_cannot_be_used_keeps_no_agent_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit");
    fs::write(&path, "a file").unwrap();
    let audit = Audit::open(&path);
    assert_eq!(audit.head(), None);
    assert!(audit.append(small()).is_err());
    fs::remove_file(&path).unwrap();
    audit.append(small()).unwrap();
    assert_eq!(audit.head().map(|head| head.number), Some(1));
}

#[test]
fn pages_begin_and_end_where_they_are_asked_to() {
    let (_folder, audit) = some(9);
    let asked = |after, limit| {
        let mut numbers = Vec::new();
        pages(audit.folder(), after, limit, |lines| {
            let number = |line: &Vec<u8>| proto::audit::number_of(line).unwrap();
            numbers.extend(lines.iter().map(number));
            true
        })
        .unwrap();
        numbers
    };
    assert_eq!(asked(0, 3), [1, 2, 3]);
    assert_eq!(asked(6, 0), [7, 8, 9]);
    assert_eq!(asked(2, 2), [3, 4]);
    assert_eq!(asked(9, 0), [] as [u64; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_cut_off_the_agent_goes_on_and_who_knew_the_head_finds_out(count in 1..6_usize, length in any::<prop::sample::Index>()) {
        let (_folder, audit) = some(count);
        let seen = audit.head();
        let path = newest_file(&audit);
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..length.index(content.len())]).unwrap();
        let audit = Audit::open(audit.folder());
        prop_assert!(!read(&audit, seen).verdict.holds());
        audit.append(small()).unwrap();
        prop_assert!(read(&audit, None).verdict.holds());
    }

    #[test]
    fn whatever_bit_is_turned_the_agent_goes_on_and_it_is_found(count in 1..6_usize, byte in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let (_folder, audit) = some(count);
        let seen = audit.head();
        let path = newest_file(&audit);
        let mut content = fs::read(&path).unwrap();
        let at = byte.index(content.len());
        content[at] ^= 1 << bit;
        fs::write(&path, &content).unwrap();
        prop_assert!(!read(&audit, seen).verdict.holds());
        let audit = Audit::open(audit.folder());
        audit.append(small()).unwrap();
        prop_assert!(!read(&audit, seen).verdict.holds());
    }
}
