//! Links to scripted agents: handshake, staging, submitting, following and logs across cut wires.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::event::{Event, EventKind};
use proto::fault::FaultKind;
use proto::hello::ProtocolRange;
use proto::id::{DeployId, PlanId};
use proto::limits::CHUNK_BYTES;
use proto::log::{LogQuery, LogRecord, Stream};

use super::*;
use crate::fake::{FakeDial, FakeHost, FakeSupply, Script, script_of_success};

const QUICK: Patience = Patience {
    total: Duration::from_secs(5),
    first: Duration::from_millis(2),
    most: Duration::from_millis(20),
};

/// Nothing here may hang the suite.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work)
        .await
        .expect("it hangs")
}

async fn connect(host: &Arc<FakeHost>) -> Result<Link, Fault> {
    let dial = Arc::new(FakeDial(Arc::clone(host)));
    soon(Link::connect("emilia".parse().unwrap(), dial)).await
}

#[tokio::test]
async fn a_version_skew_is_a_sentence() {
    let host = FakeHost::start(Script {
        protocol: ProtocolRange { min: 2, max: 3 },
        ..Script::of("emilia")
    });
    let fault = connect(&host).await.err().unwrap();
    assert_eq!(fault.kind, FaultKind::Unsupported);
    let expected = format!(
        "controller {VERSION} speaks protocol 1, agent 0.9.0 on emilia speaks 2 to 3: upgrade the controller"
    );
    assert_eq!(fault.what, expected);
}

#[tokio::test]
async fn an_agent_that_is_another_host_is_refused() {
    let host = FakeHost::start(Script::of("konane"));
    let fault = connect(&host).await.err().unwrap();
    assert_eq!(fault.kind, FaultKind::Denied);
    assert_eq!(fault.what, "the agent says it is konane, not emilia");
}

#[tokio::test]
async fn a_dead_host_is_unreachable_in_the_diallers_own_words() {
    let host = FakeHost::start(Script::of("emilia"));
    host.kill();
    let fault = connect(&host).await.err().unwrap();
    assert_eq!(
        fault,
        Fault::new(FaultKind::Unreachable, "no route to the host")
    );
}

#[tokio::test]
async fn staging_sends_what_is_needed_and_ships_what_is_wanted() {
    let big = vec![b'x'; 2 * CHUNK_BYTES];
    let supply = FakeSupply {
        blobs: [
            ([1; 32], big),
            ([2; 32], Vec::new()),
            ([3; 32], vec![b'y'; 5]),
        ]
        .into(),
    };
    let host = FakeHost::start(Script {
        needs: vec![vec![1; 32], vec![2; 32]],
        wants: vec!["data/nginx.conf".to_owned(), "missing".to_owned()],
        ..Script::of("emilia")
    });
    let link = connect(&host).await.unwrap();
    let told = Mutex::new(Vec::new());
    let progress = |sent, total| told.lock().unwrap().push((sent, total));
    let staged = soon(link.stage(Box::new(supply), &progress)).await.unwrap();
    assert_eq!(staged.registries, ["docker.io"]);
    let seen = host.seen();
    let size = CHUNK_BYTES;
    // The second blob is empty and still arrives.
    assert_eq!(seen.chunks, [(0, size), (size as u64, size), (0, 0)]);
    assert_eq!(seen.shipped, ["data/nginx.conf"]);
    let all = 2 * size as u64;
    assert_eq!(told.lock().unwrap().last(), Some(&(all, all)));
}

#[tokio::test]
async fn staging_stops_at_a_file_that_has_gone() {
    let host = FakeHost::start(Script {
        needs: vec![vec![9; 32]],
        ..Script::of("emilia")
    });
    let link = connect(&host).await.unwrap();
    let supply = Box::<FakeSupply>::default();
    let fault = soon(link.stage(supply, &|_, _| {})).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.what.as_str()),
        (FaultKind::InvalidStack, "data/x has gone")
    );
}

async fn submit(lose_answers: usize) -> (Result<(), Fault>, crate::fake::Seen) {
    let host = FakeHost::start(Script {
        lose_answers,
        ..Script::of("emilia")
    });
    let link = connect(&host).await.unwrap();
    let order = Order {
        deploy: DeployId::from_bytes([7; 16]),
        plan: PlanId::from_bytes([3; 16]),
        auths: Vec::new(),
        remove_orphans: true,
        overwrite: proto::plan::Overwrite::default(),
        force: false,
        confirm_within: None,
    };
    let done = soon(link.deploy(order)).await;
    (done, host.seen())
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_under_the_same_id() {
    let (done, seen) = submit(1).await;
    assert_eq!(done, Ok(()));
    assert_eq!(seen.deploys.len(), 2);
    assert_eq!(seen.deploys[0], seen.deploys[1]);
}

async fn all(watch: &mut Watch) -> Vec<Result<Seen, Fault>> {
    let mut all = Vec::new();
    while let Some(seen) = soon(watch.next()).await {
        all.push(seen);
    }
    all
}

fn events(seen: &[Result<Seen, Fault>]) -> Vec<Event> {
    let event = |seen: &Result<Seen, Fault>| match seen {
        Ok(Seen::Event(event)) => Some(event.clone()),
        _ => None,
    };
    seen.iter().filter_map(event).collect()
}

#[tokio::test]
async fn a_cut_link_resumes_after_the_last_event_without_a_duplicate() {
    let host = FakeHost::start(Script {
        hold_after: Some(3),
        ..Script::of("emilia")
    });
    let link = connect(&host).await.unwrap();
    let subject = Subject::Newest("opq".parse().unwrap());
    let mut watch = link.watch(subject, 0, QUICK);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(soon(watch.next()).await.unwrap());
    }
    host.cut();
    seen.extend(all(&mut watch).await);
    assert_eq!(events(&seen), script_of_success());
    let lost = seen
        .iter()
        .filter(|seen| matches!(seen, Ok(Seen::Lost(_))))
        .count();
    let restored = seen
        .iter()
        .filter(|seen| **seen == Ok(Seen::Restored))
        .count();
    assert_eq!((lost, restored), (1, 1));
    let asked = host.seen().watches;
    assert_eq!(asked[1].after, 3);
    // The newest has a name by now; another may have begun since.
    assert_eq!(asked[1].deploy, DeployId::from_bytes([7; 16]).to_string());
}

#[tokio::test]
async fn following_a_host_that_stays_dead_ends_in_time() {
    let host = FakeHost::start(Script {
        hold_after: Some(1),
        ..Script::of("emilia")
    });
    let link = connect(&host).await.unwrap();
    let patience = Patience {
        total: Duration::from_millis(50),
        ..QUICK
    };
    let mut watch = link.watch(Subject::Newest("opq".parse().unwrap()), 0, patience);
    soon(watch.next()).await.unwrap().unwrap();
    host.kill();
    let seen = all(&mut watch).await;
    assert!(matches!(seen[0], Ok(Seen::Lost(_))), "{seen:?}");
    let fault = seen[1].clone().unwrap_err();
    assert!(
        fault.what.starts_with("emilia could not be reached again"),
        "{fault:?}"
    );
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn progress_is_passed_on_and_never_counted() {
    let mut events_sent = script_of_success();
    let progress = EventKind::LayerProgress {
        image: "a".to_owned(),
        layer: "b".to_owned(),
        phase: proto::event::LayerPhase::Downloading,
        current: 1,
        total: 2,
    };
    events_sent.insert(1, crate::fake::event(0, progress));
    let host = FakeHost::start(Script {
        events: events_sent.clone(),
        ..Script::of("emilia")
    });
    let link = connect(&host).await.unwrap();
    let mut watch = link.watch(Subject::Newest("opq".parse().unwrap()), 0, QUICK);
    assert_eq!(events(&all(&mut watch).await), events_sent);
}

fn log(container: &str, at: i64) -> LogRecord {
    LogRecord::Line {
        service: "web".parse().unwrap(),
        container: container.to_owned(),
        stream: Stream::Stdout,
        at_nanos: at,
        text: format!("{container} {at}").into_bytes(),
    }
}

#[tokio::test]
async fn logs_resume_without_a_line_twice_or_missing() {
    let records = vec![
        log("web-1", 10),
        log("web-2", 11),
        log("web-1", 12),
        log("web-1", 12),
        log("web-2", 13),
        log("web-1", 14),
    ];
    let host = FakeHost::start(Script {
        logs: records.clone(),
        hold_logs_after: Some(3),
        ..Script::of("emilia")
    });
    let link = connect(&host).await.unwrap();
    let query = LogQuery {
        stack: "opq".parse().unwrap(),
        services: Vec::new(),
        follow: true,
        tail: Some(100),
        since_nanos: None,
        until_nanos: None,
    };
    let mut stream = link.logs(query, QUICK);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(soon(stream.next()).await.unwrap().unwrap());
    }
    host.cut();
    while let Some(next) = soon(stream.next()).await {
        seen.push(next.unwrap());
    }
    let read: Vec<LogRecord> = seen
        .iter()
        .filter_map(|seen| match seen {
            LogSeen::Record(record) => Some(record.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(read, records);
    assert!(seen.contains(&LogSeen::Restored));
    let asked = host.seen().logs;
    assert_eq!(
        (asked[0].tail, asked[1].tail, asked[1].since_nanos),
        (100, -1, 11)
    );
}
