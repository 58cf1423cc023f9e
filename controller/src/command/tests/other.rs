//! Every verb but `deploy`, against scripted agents.

use proto::event::{ContainerState, Health};
use proto::id::RevisionId;
use proto::status::{ContainerStatus, StackStatus};

use super::*;

#[tokio::test]
async fn a_plan_ends_with_2_when_something_would_change() {
    let (host, fleet) = one(Script::of("emilia"));
    let plan = ran("plan emilia", &fleet).await;
    assert_eq!((plan.exit, plan.err.as_str()), (Exit::Pending, ""));
    let json = ran("plan emilia -o json", &fleet).await;
    let document: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        document["plans"][0]["plan"]["services"][0]["action"],
        "create"
    );
    assert_eq!(document["failed"], serde_json::json!([]));
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn down_asks_says_what_goes_and_follows() {
    let (host, fleet) = one(Script::of("emilia"));
    let capture = Capture::new("y\n");
    let look = Look {
        in_tty: true,
        err_tty: true,
        ..Look::default()
    };
    let ran = run_in(
        "down emilia --volumes",
        &context(&capture, look, &fleet),
        &capture,
    )
    .await;
    assert_eq!(ran.exit, Exit::Done);
    assert!(
        ran.err.contains("volumes WITH THE DATA IN THEM"),
        "{}",
        ran.err
    );
    assert!(host.seen().downs[0].volumes);
}

#[tokio::test]
async fn cancel_reaches_the_running_deploy() {
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran("cancel emilia", &fleet).await;
    assert_eq!(ran.exit, Exit::Done);
    assert_eq!(
        ran.out,
        "emilia/opq  stopping; controller attach emilia/opq follows it\n"
    );
    assert_eq!(host.seen().cancels[0].stack, "opq");
}

#[tokio::test]
async fn logs_of_several_hosts_are_one_stream_and_a_dead_host_is_a_word() {
    let line = |at: i64| proto::log::LogRecord::Line {
        service: "web".parse().unwrap(),
        container: "opq-web-1".to_owned(),
        stream: proto::log::Stream::Stdout,
        at_nanos: at,
        text: format!("line {at}").into_bytes(),
    };
    let host = |name, times: &[i64]| {
        FakeHost::start(Script {
            logs: times.iter().map(|at| line(*at)).collect(),
            ..Script::of(name)
        })
    };
    let dead = host("leilani", &[]);
    dead.kill();
    let fleet = FakeFleet::new(vec![
        ("emilia", host("emilia", &[1, 4])),
        ("konane", host("konane", &[2, 3])),
        ("leilani", dead),
    ]);
    let ran = ran("logs all", &fleet).await;
    assert_eq!(ran.exit, Exit::Partial);
    assert_eq!(ran.err, "error: no route to the host, on leilani\n");
    insta::assert_snapshot!(ran.out, @r"
    emilia opq  web-1 | line 1
    konane opq  web-1 | line 2
    konane opq  web-1 | line 3
    emilia opq  web-1 | line 4
    ");
}

pub(super) fn stack(name: &str) -> StackStatus {
    StackStatus {
        stack: name.parse().unwrap(),
        project: name.parse().unwrap(),
        revision: Some(RevisionId::from_bytes([0xab; 32])),
        committed_at_millis: 1_772_366_390_000,
        committed_by: "ana".to_owned(),
        containers: vec![ContainerStatus {
            id: "f00".to_owned(),
            name: format!("{name}-web-1"),
            service: "web".parse().unwrap(),
            state: ContainerState::Running,
            health: Health::None,
            health_at_millis: 0,
            image: "nginx:1".to_owned(),
            exit_code: 0,
            started_at_millis: 1_772_366_340_000,
            ports: Vec::new(),
        }],
        deploy: None,
        confirm_within: None,
        needs_reconcile: false,
    }
}

#[tokio::test]
async fn status_shows_everything_unless_something_was_named() {
    let (_host, fleet) = one(Script {
        status: vec![stack("opq"), stack("by-hand")],
        ..Script::of("emilia")
    });
    let all = ran("status", &fleet).await;
    assert_eq!((all.exit, all.err.as_str()), (Exit::Done, ""));
    insta::assert_snapshot!(all.out, @r"
    emilia/opq  revision abababababab, 10s ago by ana
      ✓ opq-web-1  running  1m  nginx:1
    emilia/by-hand  revision abababababab, 10s ago by ana
      ✓ by-hand-web-1  running  1m  nginx:1
    ");
    let named = ran("ps emilia -o jsonl", &fleet).await;
    let host: serde_json::Value = serde_json::from_str(&named.out).unwrap();
    assert_eq!(host["stacks"].as_array().unwrap().len(), 1);
    assert_eq!(host["engine"], "28.0.1");
}

#[tokio::test]
async fn status_names_what_should_be_there_and_is_not() {
    let (_host, fleet) = one(Script::of("emilia"));
    assert_eq!(
        ran("status", &fleet).await.out,
        "emilia/opq  not deployed\n"
    );
}

#[test]
fn version_needs_no_fleet() {
    let capture = Capture::new("");
    let args = VersionArgs {
        output: crate::cli::OutputArgs {
            output: Output::Json,
        },
    };
    let exit = version(&args, &capture.terminal(Look::default()));
    assert_eq!(exit, Ok(Exit::Done));
    assert!(capture.out().contains("\"protocol\":{\"max\":1,\"min\":1}"));
}

#[test]
fn a_place_named_in_several_ways_is_worked_on_once() {
    let target = |services: &[&str]| Target {
        place: Place {
            host: "emilia".parse().unwrap(),
            stack: "opq".parse().unwrap(),
        },
        services: services.iter().map(|name| name.parse().unwrap()).collect(),
    };
    let some = each_place_once(vec![target(&["web"]), target(&["web", "db"])]);
    assert_eq!(some, [target(&["web", "db"])]);
    let all = each_place_once(vec![target(&["web"]), target(&[]), target(&["db"])]);
    assert_eq!(all, [target(&[])]);
}
