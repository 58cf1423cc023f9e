//! The record of every change: shown, checked, and compared with what was seen before.

use proto::audit::{Called, Decision, Ended, Entry, Fact, HEADER, Head, seal};
use proto::fault::FaultKind;
use proto::id::{DeployId, RevisionId};
use proto::role::Role;

use super::*;
use crate::heads::Heads;

const NOW_MILLIS: u64 = 1_772_366_400_000;

fn called(verb: &str, stack: Option<&str>, decision: Decision) -> Fact {
    Fact::Called(Called {
        operator: "ana".parse().unwrap(),
        role: Role::Deployer,
        serial: "0a1b2c".to_owned(),
        verb: verb.to_owned(),
        stack: stack.map(|stack| stack.parse().unwrap()),
        deploy: stack.map(|_| DeployId::from_bytes([7; 16])),
        asked: format!("{} it", verb.to_lowercase()),
        decision,
    })
}

fn ended(state: State, outcome: Outcome) -> Fact {
    Fact::Ended(Ended {
        operator: Some("ana".parse().unwrap()),
        stack: "opq".parse().unwrap(),
        deploy: DeployId::from_bytes([7; 16]),
        outcome,
        state,
        revision: Some(RevisionId::from_bytes([0xab; 32])),
        fault: (outcome != Outcome::Succeeded).then_some(FaultKind::Failed),
    })
}

/// The lines of these facts, and their heads.
fn record(facts: Vec<Fact>) -> (Vec<Vec<u8>>, Vec<Head>) {
    let mut head = Head::NONE;
    let mut lines = Vec::new();
    let mut heads = Vec::new();
    for (number, fact) in (1..).zip(facts) {
        let at_millis = NOW_MILLIS - 3_600_000 * (20 - number);
        let previous = head.hash;
        let (line, hash) = seal(&Entry {
            number,
            at_millis,
            fact,
            previous,
        })
        .unwrap();
        head = Head { number, hash };
        lines.push(line.into_bytes());
        heads.push(head);
    }
    (lines, heads)
}

fn facts() -> Vec<Fact> {
    vec![
        called("Stage", Some("opq"), Decision::LetIn),
        called("Deploy", Some("opq"), Decision::LetIn),
        ended(State::Committed, Outcome::Succeeded),
        called("Deploy", None, Decision::Refused(FaultKind::Denied)),
        called("Down", Some("shop"), Decision::Refused(FaultKind::Busy)),
        Fact::Torn { bytes: 19 },
        ended(State::RolledBack, Outcome::TimedOut),
    ]
}

fn script(record: Vec<Vec<u8>>) -> Script {
    Script {
        record,
        ..Script::of("emilia")
    }
}

#[tokio::test]
async fn a_record_that_holds_is_shown_and_verified() {
    let (_host, fleet) = one(script(record(facts()).0));
    let ran = ran("audit emilia", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    insta::assert_snapshot!("audit_whole", ran.out);
}

#[tokio::test]
async fn a_stack_or_a_number_narrows_what_is_shown_and_nothing_else() {
    let (_host, fleet) = one(script(record(facts()).0));
    let stack = ran("audit emilia/opq -n 2", &fleet).await;
    assert_eq!(stack.exit, Exit::Done);
    insta::assert_snapshot!("audit_stack", stack.out);
    assert_eq!(ran("audit emilia/opq/web", &fleet).await.exit, Exit::Usage);
}

#[tokio::test]
async fn a_record_that_was_edited_is_told_where_and_ends_with_1() {
    let (mut lines, _) = record(facts());
    let text = String::from_utf8(lines[3].clone()).unwrap();
    lines[3] = text.replace("ana", "bob").into_bytes();
    lines.remove(5);
    let (_host, fleet) = one(script(lines));
    let table = ran("audit emilia -n 1", &fleet).await;
    assert_eq!(table.exit, Exit::Failed);
    insta::assert_snapshot!("audit_edited", table.out);
    let json = ran("audit emilia -o json", &fleet).await;
    let document: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (json.exit, &document[0]["verified"]["holds"]),
        (Exit::Failed, &false.into())
    );
    let rows = ran("audit emilia -o jsonl", &fleet).await;
    let rows: Vec<serde_json::Value> = rows
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows[0]["verb"], "Stage");
    assert_eq!(rows[4]["entry"], "ended");
    assert_eq!(rows[5]["verified"]["broken"].as_array().unwrap().len(), 2);
}

/// A fleet whose workstation remembers a head, and what it prints.
fn remembering(script: Script, head: Option<Head>, folder: &std::path::Path) -> (Capture, Context) {
    let path = folder.join("emilia");
    if let Some(head) = head {
        std::fs::write(&path, format!("{head}\n")).unwrap();
    }
    let capture = Capture::new("");
    let host = FakeHost::start(script);
    let name = "emilia".parse().unwrap();
    let heads = Heads::load(&path, &name, &capture.terminal(Look::default()));
    host.remember_heads(Arc::new(heads));
    let fleet = FakeFleet::new(vec![("emilia", host)]);
    let context = context(&capture, Look::default(), &fleet);
    (capture, context)
}

#[tokio::test]
async fn a_record_is_compared_with_what_was_seen_before() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, heads) = record(facts());
    let script = || Script {
        head: heads.last().copied(),
        ..script(lines.clone())
    };
    let (capture, context) = remembering(script(), Some(heads[2]), folder.path());
    let same = run_in("audit emilia -n 1", &context, &capture).await;
    assert_eq!((same.exit, same.err.as_str()), (Exit::Done, ""));
    assert!(
        same.out.contains("matches what this workstation saw at 3"),
        "{}",
        same.out
    );

    let (capture, context) = remembering(script(), None, folder.path());
    let again = run_in("audit emilia -n 1", &context, &capture).await;
    assert!(again.out.contains("saw at 7"), "{}", again.out);

    let other = Head {
        hash: heads[3].hash,
        ..heads[2]
    };
    let (capture, context) = remembering(script(), Some(other), folder.path());
    let forged = run_in("audit emilia -n 1", &context, &capture).await;
    assert_eq!(forged.exit, Exit::Failed);
    assert!(
        forged.out.contains("entry 3 is not the one"),
        "{}",
        forged.out
    );
}

#[tokio::test]
async fn any_command_tells_of_a_record_that_went_back_until_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, heads) = record(facts());
    let cut = || Script {
        head: Some(heads[1]),
        ..script(lines[..2].to_vec())
    };
    let (capture, context) = remembering(cut(), Some(heads[6]), folder.path());
    let status = run_in("status emilia", &context, &capture).await;
    assert_eq!(status.exit, Exit::Done);
    let warning = "warning: the audit record of emilia went back from 7 to 2";
    assert_eq!(status.err.matches("warning: ").count(), 1, "{}", status.err);
    assert!(status.err.contains(warning), "{}", status.err);

    let (capture, context) = remembering(cut(), None, folder.path());
    let audit = run_in("audit emilia -n 1 --accept", &context, &capture).await;
    assert_eq!(audit.exit, Exit::Failed);
    assert!(audit.err.contains(warning), "{}", audit.err);
    insta::assert_snapshot!("audit_accepted", audit.out);

    let (capture, context) = remembering(cut(), None, folder.path());
    let audit = run_in("audit emilia", &context, &capture).await;
    assert_eq!((audit.exit, audit.err.as_str()), (Exit::Done, ""));
}

#[test]
fn the_header_is_in_small_letters_as_http2_wants_it() {
    assert_eq!(HEADER, HEADER.to_lowercase());
}
