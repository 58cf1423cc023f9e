//! What the agent finds on its own disk after a power cut: journals and records.

use std::fmt::Debug;
use std::path::Path;

use agent::audit::{Audit, pages};
use agent::journal::{Journal, read_events};
use agent::redact::Redactor;
use agent::store::{Applied, Revision, Stage};
use controller::event::FleetEvent;
use controller::plan_file::PlanFile;
use proto::audit::{Chain, Fact, Verdict, open, seal};
use proto::event::{Event, EventKind};
use proto::id::DeployId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{check_error, check_fault, in_scratch, text};

/// `events.jsonl`, whole, torn or from somewhere else.
pub(super) fn journal(bytes: &[u8]) {
    in_scratch(|scratch| {
        let path = scratch.write("events.jsonl", bytes);
        let events = read_events(scratch.path()).unwrap();
        assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq));
        for event in &events {
            same_again::<Event>(&serde_json::to_vec(event).unwrap());
        }
        let journal = Journal::create(scratch.path(), Redactor::default()).unwrap();
        let kept = std::fs::read(&path).unwrap();
        assert!(
            bytes.starts_with(&kept),
            "mending is cutting off, and nothing else"
        );
        assert_eq!(
            kept.iter().filter(|byte| **byte == b'\n').count(),
            events.len()
        );
        let text = "after a restart".to_owned();
        journal.push(EventKind::Warning { text });
        let mended = read_events(scratch.path()).unwrap();
        assert_eq!(mended.len(), events.len() + 1);
        assert_eq!(mended.get(..events.len()), Some(events.as_slice()));
    });
}

/// The audit record, whole, torn or edited.
pub(super) fn audit(bytes: &[u8]) {
    in_scratch(|scratch| {
        let folder = scratch.path().join("audit");
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join(format!("{:020}.jsonl", 1));
        std::fs::write(&path, bytes).unwrap();
        let (lines, before) = follow(&folder);
        for sealed in lines.iter().filter_map(|line| open(line).ok()) {
            let (again, hash) = seal(&sealed.entry).unwrap();
            assert_eq!(open(again.as_bytes()).unwrap().hash, hash);
        }
        let audit = Audit::open(&folder);
        audit.append(Fact::Torn { bytes: 0 }).unwrap();
        let kept = std::fs::read(&path).unwrap();
        let whole: usize = lines.iter().map(|line| line.len() + 1).sum();
        assert!(
            kept.starts_with(bytes.get(..whole.min(bytes.len())).unwrap()),
            "mending is cutting off, and nothing else"
        );
        let (_, after) = follow(&folder);
        assert_eq!(Some(after.head), audit.head());
        assert_eq!(before.breaks.is_empty(), after.breaks.is_empty());
    });
}

fn follow(folder: &std::path::Path) -> (Vec<Vec<u8>>, Verdict) {
    let mut chain = Chain::new(None);
    let mut all = Vec::new();
    pages(folder, 0, 0, |lines| {
        for line in &lines {
            chain.take(line);
        }
        all.extend(lines);
        true
    })
    .unwrap();
    (all, chain.finish())
}

/// The store's JSON records, and the recorded events of a screen.
pub(super) fn records(bytes: &[u8]) {
    same_again::<Stage>(bytes);
    same_again::<Revision>(bytes);
    same_again::<Applied>(bytes);
    same_again::<DeployId>(bytes);
    same_again::<FleetEvent>(bytes);
    same_again::<Vec<String>>(bytes);
}

/// A saved plan, which may come from anybody.
pub(super) fn plan_file(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match PlanFile::parse(Path::new("p.plan"), text) {
        Ok(file) => {
            assert!(!file.places.is_empty());
            for place in &file.places {
                drop(place.scope());
            }
            same_again::<PlanFile>(bytes);
        }
        Err(fault) => check_fault(&fault),
    }
}

/// What can be read is written so that it is read as the same.
fn same_again<T: DeserializeOwned + Serialize + Debug>(bytes: &[u8]) {
    let record: T = match serde_json::from_slice(bytes) {
        Ok(record) => record,
        Err(error) => return check_error(&error),
    };
    let written = serde_json::to_vec(&record).unwrap();
    let read: T = serde_json::from_slice(&written).unwrap();
    assert_eq!(serde_json::to_vec(&read).unwrap(), written, "{read:?}");
}
