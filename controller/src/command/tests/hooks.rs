//! Hooks as the controller sees them: what is shown, what is fetched and where it goes.

use proto::event::{Event, EventKind};
use proto::hook::{Hook, Names, Save, SavePlace, Saved, TIMEOUT_SECONDS, When};
use proto::id::BlobId;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::fake::event;
use crate::shelf::Shelf;

const DUMP: &[u8] = b"a dump of some length";

fn saved() -> Saved {
    Saved {
        size: DUMP.len() as u64,
        blob: BlobId::from_bytes(Sha256::digest(DUMP).into()),
        names: Names {
            project: "opq".to_owned(),
            time: "20261121T101937Z".to_owned(),
            image: "0a1b2c3d4e5f".to_owned(),
            revision: "abababababab".to_owned(),
        },
        file: None,
    }
}

/// A good deploy before which the database is kept.
fn events() -> Vec<Event> {
    let mut kinds: Vec<EventKind> = script_of_success().into_iter().map(|it| it.kind).collect();
    let hooks = [
        EventKind::HookStarted {
            hook: 0,
            when: When::Before,
            service: "db".parse().unwrap(),
            command: "pg_dump -U postgres portaldb".to_owned(),
        },
        EventKind::HookLine {
            hook: 0,
            text: "dumping".to_owned(),
        },
        EventKind::HookFinished {
            hook: 0,
            outcome: Outcome::Succeeded,
            exit_code: Some(0),
            number: None,
            saved: Some(Box::new(saved())),
            note: None,
        },
    ];
    kinds.splice(1..1, hooks);
    (1..)
        .zip(kinds)
        .map(|(seq, kind)| event(seq, kind))
        .collect()
}

fn script() -> Script {
    Script {
        events: events(),
        saved: DUMP.to_vec(),
        ..Script::of("emilia")
    }
}

fn shelf(root: &std::path::Path) -> Shelf {
    Shelf {
        root: root.to_owned(),
        hooks: vec![Hook {
            when: When::Before,
            service: "db".parse().unwrap(),
            run: vec!["pg_dump".to_owned()],
            one_off: false,
            timeout_seconds: TIMEOUT_SECONDS,
            gate: None,
            save: Some(Save {
                place: SavePlace::Workstation,
                file: "backups/{project}-{time}.sql".parse().unwrap(),
            }),
        }],
    }
}

fn with_shelf(script: Script, shelf: Shelf) -> (Arc<FakeHost>, Arc<FakeFleet>) {
    let (host, fleet) = one(script);
    *fleet.shelf.lock().unwrap() = shelf;
    (host, fleet)
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_output_is_fetched_once_across_a_lost_link() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script {
        cut_saved_after: Some(7),
        ..script()
    };
    let (host, fleet) = with_shelf(script, shelf(folder.path()));
    let first = ran("deploy emilia --yes", &fleet).await;
    assert_eq!((first.exit, first.err.as_str()), (Exit::Done, ""));
    let backups = folder.path().join("backups");
    assert_eq!(files(&backups), ["opq-20261121T101937Z.sql"]);
    let file = backups.join("opq-20261121T101937Z.sql");
    assert_eq!(std::fs::read(&file).unwrap(), DUMP);
    let offsets =
        |host: &FakeHost| -> Vec<u64> { host.seen().saved.iter().map(|one| one.offset).collect() };
    assert_eq!(offsets(&host), [0, 7]);
    let shown = redacted(&first.out).replace(&folder.path().display().to_string(), "FLEET");
    let about = ["db", "hooks", "saved"];
    let about = shown
        .lines()
        .filter(|line| about.iter().any(|word| line.contains(word)));
    insta::assert_snapshot!(about.collect::<Vec<_>>().join("\n"), @r"
    emilia/opq    1.0s  before the deploy, db runs pg_dump -U postgres portaldb
    emilia/opq    2.0s  db: dumping
    emilia/opq    3.0s  before the deploy, db: done, 21 B
    emilia/opq    8.0s  saved FLEET/backups/opq-20261121T101937Z.sql (21 B)
    ");

    let again = ran("attach emilia", &fleet).await;
    assert_eq!(again.exit, Exit::Done);
    assert!(again.out.contains("it was here before"), "{}", again.out);
    assert_eq!(offsets(&host).len(), 2);
    assert_eq!(files(&backups).len(), 1);
}

#[tokio::test]
async fn an_output_that_is_something_else_fails_the_command_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script {
        saved: b"a dump of same lengte".to_vec(),
        ..script()
    };
    let (_host, fleet) = with_shelf(script, shelf(folder.path()));
    let ran = ran("deploy emilia --yes", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    assert!(
        ran.out.contains("not saved here: what arrived is not"),
        "{}",
        ran.out
    );
    assert!(files(&folder.path().join("backups")).is_empty());
}

#[tokio::test]
async fn a_fleet_that_keeps_no_output_fetches_none() {
    let (host, fleet) = with_shelf(script(), Shelf::default());
    let ran = ran("attach emilia", &fleet).await;
    assert_eq!(ran.exit, Exit::Done);
    assert!(
        ran.out
            .contains("not saved here: this fleet.toml does not say"),
        "{}",
        ran.out
    );
    assert!(host.seen().saved.is_empty());
}

#[tokio::test]
async fn force_is_sent_when_asked_for() {
    let (host, fleet) = one(Script::of("emilia"));
    ran("deploy emilia --yes --force", &fleet).await;
    ran("deploy emilia --yes", &fleet).await;
    let forced: Vec<bool> = host.seen().deploys.iter().map(|one| one.force).collect();
    assert_eq!(forced, [true, false]);
}

#[tokio::test]
async fn a_hook_that_fails_after_the_commit_ends_with_1_and_says_that_it_stays() {
    let mut events = script_of_success();
    events.pop();
    let fault = Fault::new(
        FaultKind::Failed,
        "the hook after the deploy in web failed: exit code 4",
    );
    let last = EventKind::Finished {
        outcome: Outcome::Failed,
        state: State::Committed,
        revision: Some(proto::id::RevisionId::from_bytes([0xab; 32])),
        fault: Some(fault.hint("revision abababababab is committed and stays")),
    };
    events.push(event(events.len() as u64 + 1, last));
    let (_host, fleet) = one(Script {
        events,
        ..Script::of("emilia")
    });
    let ran = ran("deploy emilia --yes", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    let last = ran.out.lines().last().unwrap();
    insta::assert_snapshot!(
        last,
        @"✗ emilia/opq  committed, and a hook after it failed, revision abababababab in 5.0s: the hook after the deploy in web failed: exit code 4"
    );
    assert!(ran.err.contains("committed and stays"), "{}", ran.err);
}
