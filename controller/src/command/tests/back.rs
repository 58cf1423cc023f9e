//! Going back, and what there is to go back to.

use proto::history::{Deed, Ending, HistoryEntry};
use proto::id::{DeployId, RevisionId};

use super::*;

const NOW_MILLIS: u64 = 1_772_366_400_000;

fn entry(number: u8, revision: u8) -> HistoryEntry {
    HistoryEntry {
        deploy: DeployId::from_bytes([number; 16]),
        deed: Deed::Deploy,
        operator: Some("ana".parse().unwrap()),
        began_at_millis: NOW_MILLIS - 3_600_000 * u64::from(10 - number),
        number: number.into(),
        ending: Some(Ending {
            outcome: Outcome::Succeeded,
            state: State::Committed,
        }),
        revision: Some(RevisionId::from_bytes([revision; 32])),
        current: false,
        kept: true,
        changes: vec!["web: image 1 -> 2".to_owned()],
        registries: Vec::new(),
    }
}

/// Three versions, of which the third failed.
fn history() -> Vec<HistoryEntry> {
    let failed = HistoryEntry {
        operator: Some("ben".parse().unwrap()),
        ending: Some(Ending {
            outcome: Outcome::TimedOut,
            state: State::RolledBack,
        }),
        current: true,
        changes: vec!["recreate web".to_owned(), "files .env".to_owned()],
        ..entry(4, 0xcd)
    };
    let current = HistoryEntry {
        current: true,
        ..entry(3, 0xcd)
    };
    let gone = HistoryEntry {
        operator: None,
        kept: false,
        ..entry(1, 0x12)
    };
    vec![failed, current, entry(2, 0xab), gone]
}

fn script() -> Script {
    Script {
        history: history(),
        ..Script::of("emilia")
    }
}

#[tokio::test]
async fn a_rollback_shows_from_where_to_where_runs_and_ends_with_0() {
    let (host, fleet) = one(script());
    let ran = ran("rollback emilia --yes", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    insta::assert_snapshot!(redacted(&ran.out), @r"
    emilia/opq
      - from      revision cdcdcdcdcdcd  ana, 7h ago
      + to        revision abababababab  ana, 8h ago

    emilia/opq    0.0s  submitted as deploy [deploy]
    emilia/opq    0.0s  received from ana
    emilia/opq    1.0s  images ready
    emilia/opq    2.0s  applying
    emilia/opq    3.0s  web opq-web-1: running, healthy, ready
    emilia/opq    4.0s  committed
    emilia/opq    5.0s  succeeded, revision abababababab
    ✓ emilia/opq  committed, revision abababababab in 5.0s
    ");
    let seen = host.seen();
    let [rollback] = seen.rollbacks.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(rollback.revision, "ab".repeat(32));
    assert_eq!(rollback.stack, "opq");
    assert_eq!(seen.watches[0].deploy, rollback.deploy);
    assert!(seen.plans.is_empty() && *fleet.asked_auths.lock().unwrap() == 0);
}

#[tokio::test]
async fn a_rollback_in_a_pipe_is_never_asked() {
    let (host, fleet) = one(script());
    let ran = ran("rollback emilia", &fleet).await;
    assert_eq!(ran.exit, Exit::Usage);
    insta::assert_snapshot!(ran.err, @r"
    error: there is no terminal to ask on: Roll back emilia/opq to abababababab?
    hint: pass --yes to answer it
    ");
    assert!(host.seen().rollbacks.is_empty());
}

#[tokio::test]
async fn a_rollback_is_asked_for_and_no_means_no() {
    let (host, fleet) = one(script());
    let capture = Capture::new("n\n");
    let look = Look {
        in_tty: true,
        err_tty: true,
        ..Look::default()
    };
    let context = context(&capture, look, &fleet);
    let ran = run_in("rollback emilia --to abab", &context, &capture).await;
    assert_eq!(ran.exit, Exit::Failed);
    let asked = "Roll back emilia/opq to abababababab? [y/N] nothing was changed\n";
    assert_eq!(ran.err, asked);
    assert!(host.seen().rollbacks.is_empty());
}

#[tokio::test]
async fn a_rollback_is_about_whole_stacks_and_to_about_one() {
    let (_host, fleet) = one(script());
    let part = ran("rollback emilia/opq/web --yes", &fleet).await;
    assert_eq!(part.exit, Exit::Usage);
    assert!(part.err.contains("works on whole stacks"), "{}", part.err);
    let nothing = ran("rollback konane --yes", &fleet).await;
    assert_eq!(nothing.exit, Exit::Usage);
    let hosts = ["a", "b"].map(|name| (name, FakeHost::start(Script::of(name))));
    let fleet = FakeFleet::new(hosts.into());
    let several = ran("rollback all --to abab --yes", &fleet).await;
    assert_eq!(several.exit, Exit::Usage);
    assert!(
        several.err.contains("one stack on one host"),
        "{}",
        several.err
    );
}

#[tokio::test]
async fn a_revision_that_is_not_there_is_answered_with_those_that_are() {
    let (host, fleet) = one(script());
    let unknown = ran("rollback emilia --to beef --yes", &fleet).await;
    assert_eq!(unknown.exit, Exit::Usage);
    insta::assert_snapshot!(unknown.err, @r"
    error: stack opq has no revision beef, on emilia
    hint: kept is cdcdcdcdcdcd (ana, 7h ago)
    hint: kept is abababababab (ana, 8h ago)
    ");
    let gone = ran("rollback emilia --to 1212 --yes", &fleet).await;
    assert_eq!(gone.exit, Exit::Failed);
    assert!(gone.err.contains("not kept any more"), "{}", gone.err);
    assert!(host.seen().rollbacks.is_empty());
}

#[tokio::test]
async fn several_hosts_go_back_each_to_its_own_and_a_dead_one_is_a_word() {
    let host = |name, revision| {
        let current = HistoryEntry {
            current: true,
            ..entry(3, 0xcd)
        };
        FakeHost::start(Script {
            history: vec![current, entry(2, revision)],
            ..Script::of(name)
        })
    };
    let (emilia, loa, konane) = (host("emilia", 1), host("loa", 2), host("konane", 3));
    konane.kill();
    let fleet = FakeFleet::new(vec![
        ("emilia", Arc::clone(&emilia)),
        ("loa", Arc::clone(&loa)),
        ("konane", konane),
    ]);
    let ran = ran("rollback all --yes", &fleet).await;
    assert_eq!(ran.exit, Exit::Partial);
    assert_eq!(ran.err, "error: no route to the host, on konane\n");
    assert_eq!(emilia.seen().rollbacks[0].revision, "01".repeat(32));
    assert_eq!(loa.seen().rollbacks[0].revision, "02".repeat(32));
}

#[tokio::test]
async fn ctrl_c_leaves_a_rollback_running_and_says_how_to_come_back() {
    let (host, fleet) = one(Script {
        hold_after: Some(3),
        ..script()
    });
    let capture = Capture::new("");
    let context = context(&capture, Look::default(), &fleet);
    let (ran, ()) = tokio::join!(run_in("rollback emilia --yes", &context, &capture), async {
        host.state.held.notified().await;
        context.leave.press();
    });
    assert_eq!(ran.exit, Exit::Left);
    let hint = "follow it:  controller attach emilia/opq";
    assert!(ran.err.contains(hint), "{}", ran.err);
    assert!(host.seen().cancels.is_empty());
}

#[tokio::test]
async fn a_history_is_a_table_or_json() {
    let (host, fleet) = one(script());
    let table = ran("history emilia -n 5", &fleet).await;
    assert_eq!((table.exit, table.err.as_str()), (Exit::Done, ""));
    insta::assert_snapshot!(table.out, @r"
    emilia/opq
        age  deploy        what    operator  outcome                    revision              changes
      ! 6h   040404040404  deploy  ben       timed out and rolled back  cdcdcdcdcdcd current  recreate web; files .env
      ✓ 7h   030303030303  deploy  ana       committed                  cdcdcdcdcdcd current  web: image 1 -> 2
      ✓ 8h   020202020202  deploy  ana       committed                  abababababab kept     web: image 1 -> 2
      ✓ 9h   010101010101  deploy  unknown   committed                  121212121212          web: image 1 -> 2
    ");
    assert_eq!(host.seen().histories[0].limit, 5);
    let lines = ran("history emilia -o jsonl", &fleet).await;
    assert_eq!(lines.out.lines().count(), 4);
    let second: serde_json::Value =
        serde_json::from_str(lines.out.lines().nth(1).unwrap()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&second).unwrap(), @r#"
    {
      "began_at_millis": 1772341200000,
      "changes": [
        "web: image 1 -> 2"
      ],
      "current": true,
      "deed": "deploy",
      "deploy": "03030303030303030303030303030303",
      "host": "emilia",
      "kept": true,
      "number": 3,
      "operator": "ana",
      "outcome": "succeeded",
      "revision": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
      "stack": "opq",
      "state": "committed"
    }
    "#);
    let json = ran("history emilia -o json", &fleet).await;
    let document: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(document[0]["host"], "emilia");
    assert_eq!(document[0]["entries"][0]["outcome"], "timed_out");
    assert_eq!(
        ran("history emilia/opq/web", &fleet).await.exit,
        Exit::Usage
    );
}
