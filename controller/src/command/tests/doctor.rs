//! `doctor` against scripted agents.

use proto::check::Finding;

use super::*;

/// The fake workstation's present.
const NOW: u64 = 1_772_366_400_000;

fn finding() -> Finding {
    Finding {
        stack: Some("opq".parse().unwrap()),
        what: "service web lacks containers".to_owned(),
        why: "0 of 1 exist".to_owned(),
        mend: "controller rollback emilia/opq --to abababababab".to_owned(),
    }
}

fn sound() -> Script {
    Script {
        now_millis: NOW,
        ..Script::of("emilia")
    }
}

#[tokio::test]
async fn a_sound_host_ends_with_0() {
    let (host, fleet) = one(Script {
        agent: crate::link::VERSION,
        ..sound()
    });
    let ran = ran("doctor", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    let good = "✓ this workstation  nothing is wrong\n✓ emilia  nothing is wrong\n";
    assert_eq!(ran.out, good);
    assert!(host.seen().checks[0].stacks.is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_shown_with_why_and_what_mends_it() {
    let (_host, fleet) = one(Script {
        findings: vec![finding()],
        now_millis: NOW + 3_600_000,
        ..sound()
    });
    let ran = ran("doctor emilia", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Failed, ""));
    let minutes = ran.out.replace("3599", "3600").replace(":01,", ":00,");
    insta::assert_snapshot!(minutes, @r"
    ✗ emilia/opq  service web lacks containers
        why  0 of 1 exist
        do   controller rollback emilia/opq --to abababababab
    ✗ emilia  the clocks of this workstation and the host differ
        why  by 3600 s: here it is 2026-03-01 12:00:00, there 2026-03-01 13:00:00 (UTC)
        do   timedatectl set-ntp true, here or on emilia
    ✗ emilia  controller and agent are of different versions
        why  controller 0.1.0, agent 0.9.0
        do   controller host upgrade emilia, or install controller 0.9.0 here
    ");
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_a_finding_of_its_own() {
    let (dead, _) = one(sound());
    let alive = FakeHost::start(sound());
    dead.kill();
    let fleet = FakeFleet::new(vec![("emilia", Arc::clone(&dead)), ("konane", alive)]);
    let ran = ran("doctor -o json", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    let hosts: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(hosts[0]["host"], serde_json::Value::Null);
    assert_eq!(hosts[1]["findings"][0]["what"], "no route to the host");
}
