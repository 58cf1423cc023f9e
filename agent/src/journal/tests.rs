//! Journals: watched, torn, without secrets, and bounded.

use super::*;
use proto::event::{LayerPhase, State};
use proto::stack::Value;

fn finished() -> EventKind {
    EventKind::Finished {
        outcome: Outcome::Succeeded,
        state: State::Committed,
        revision: None,
        fault: None,
    }
}

fn warning(text: &str) -> EventKind {
    EventKind::Warning {
        text: text.to_owned(),
    }
}

async fn all(mut watcher: Watcher) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(event) = watcher.next().await {
        seen.push(event.seq);
    }
    seen
}

#[tokio::test]
async fn a_watcher_sees_every_event_from_where_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::create(folder.path(), Redactor::default()).unwrap();
    journal.push(warning("one"));
    journal.push(warning("two"));
    let late = tokio::spawn(all(journal.watch(1)));
    journal.push(finished());
    assert_eq!(late.await.unwrap(), [2, 3]);
    assert_eq!(all(journal.watch(0)).await, [1, 2, 3]);
    assert_eq!(all(journal.watch(2)).await, [3]);
}

#[tokio::test]
async fn progress_is_seen_but_never_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::create(folder.path(), Redactor::default()).unwrap();
    let mut watcher = journal.watch(0);
    journal.push(EventKind::LayerProgress {
        image: "a".to_owned(),
        layer: "l".to_owned(),
        phase: LayerPhase::Done,
        current: 1,
        total: 1,
    });
    assert_eq!(watcher.next().await.unwrap().seq, 0);
    journal.push(finished());
    assert_eq!(all(watcher).await, [1]);
    assert_eq!(all(journal.watch(0)).await, [1]);
}

#[tokio::test]
async fn a_torn_last_line_is_left_out_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::create(folder.path(), Redactor::default()).unwrap();
    journal.push(warning("one"));
    journal.push(warning("two"));
    drop(journal);
    let path = folder.path().join("events.jsonl");
    let content = std::fs::read(&path).unwrap();
    for length in 0..content.len() {
        std::fs::write(&path, &content[..length]).unwrap();
        let events = read_events(folder.path()).unwrap();
        assert_eq!(last_event(folder.path()).unwrap().as_ref(), events.last());
        assert!(events.len() <= 2);
        assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq));
        // What is written after a restart is read again, and so a watcher ends.
        Journal::create(folder.path(), Redactor::default())
            .unwrap()
            .push(finished());
        let mended = read_events(folder.path()).unwrap();
        assert_eq!(mended.len(), events.len() + 1);
    }
}

#[tokio::test]
async fn secrets_do_not_reach_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let secret = Value::new("K".parse().unwrap(), "hunter22".to_owned(), true).unwrap();
    let journal = Journal::create(folder.path(), Redactor::new(&[secret])).unwrap();
    journal.push(EventKind::ComposeLine {
        text: "K=hunter22".to_owned(),
    });
    let content = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
    assert!(!content.contains("hunter22"));
}

#[test]
fn a_flood_of_lines_is_bounded_and_said() {
    let line = || EventKind::ComposeLine {
        text: "x".to_owned(),
    };
    assert_eq!(within_bounds(line(), 1), Some(line()));
    assert!(matches!(
        within_bounds(line(), MOST_EVENTS),
        Some(EventKind::Warning { .. })
    ));
    assert_eq!(within_bounds(line(), MOST_EVENTS + 1), None);
    assert_eq!(within_bounds(finished(), MOST_EVENTS + 1), Some(finished()));
}
