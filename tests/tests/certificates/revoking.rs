//! Who is revoked is out, everywhere, soon; and no host is left behind for good.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use controller::pki::RevocationList;
use controller::tls::connect;
use tests::full::{report, wanted};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::fleet::{Agent, DAY, Fleet};

/// Open streams of somebody revoked end within this.
const BOUND: Duration = Duration::from_secs(5);
/// Who works with the two hosts meanwhile.
const CALLERS: usize = 8;

fn list(fleet: &Fleet) -> RevocationList {
    let text = fs::read_to_string(fleet.file("revoked.crl")).unwrap();
    RevocationList::from_pem(&text, &fleet.ca()).unwrap()
}

/// Connects as `who`, says so, and tells when the host has ended that.
async fn cut_off(fleet: Arc<Fleet>, who: String, agent: Arc<Agent>, open: Arc<Barrier>) -> Instant {
    let client = fleet.client(&who, &agent.name);
    let mut stream = connect(&agent.address.to_string(), &client).await.unwrap();
    let mut header = [0; 9];
    // The host's first frame: whoever reads it was let in.
    stream.read_exact(&mut header).await.unwrap();
    open.wait().await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(2 * BOUND, stream.read_to_end(&mut rest));
    drop(ended.await.expect("the stream ends"));
    Instant::now()
}

/// Revokes somebody who has a stream open to every host; how long after the command began the last of them ended.
async fn revoked(fleet: &Arc<Fleet>, who: &str, hosts: &[Arc<Agent>]) -> (Duration, String) {
    let open = Arc::new(Barrier::new(hosts.len() + 1));
    let streams: Vec<_> = hosts
        .iter()
        .map(|host| {
            let (fleet, host, open) = (Arc::clone(fleet), Arc::clone(host), Arc::clone(&open));
            tokio::spawn(cut_off(fleet, who.to_owned(), host, open))
        })
        .collect();
    open.wait().await;
    let begun = Instant::now();
    let revoke = ["operator", "revoke", who, "-y"];
    let ended = tokio::task::block_in_place(|| fleet.admin(&revoke));
    let mut slowest = Duration::ZERO;
    for stream in streams {
        slowest = slowest.max(stream.await.unwrap().duration_since(begun));
    }
    (slowest, ended.with(0, &[]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_operator_is_cut_off_on_every_host_within_5_s() {
    let fleet = Arc::new(Fleet::new());
    let hosts = ["emilia", "loa"].map(|name| Arc::new(fleet.host(name)));
    let bo = fleet.operator("bo", "deployer");
    let status = |host: &str| fleet.run(&bo, "bo", &["status", host], &[]);
    status("emilia").with(0, &[]);
    let (slowest, said) = revoked(&fleet, "bo", &hosts).await;
    for words in [
        "bo, deployer, all hosts",
        "list 2",
        "emilia has it",
        "loa has it",
    ] {
        assert!(said.contains(words), "{said}");
    }
    report(&format!(
        "a revoked operator's open streams ended {} ms after the command began, on two hosts",
        slowest.as_millis()
    ));
    assert!(slowest < BOUND, "{slowest:?}");
    for host in ["emilia", "loa"] {
        status(host).with(6, &["the certificate is revoked"]);
    }
    fleet.ana(&["status"]).with(0, &[]);
    fleet
        .ana(&["audit", "emilia"])
        .with(0, &["revocations", "list 2 of revoked operators"]);
    let again = fleet.admin(&["operator", "revoke", "bo", "-y"]);
    again.with(1, &["no certificate that still counts"]);
    let listed = fleet.ana(&["operator", "list", "-o", "jsonl"]).with(0, &[]);
    let row = listed.lines().find(|line| line.contains("\"bo\"")).unwrap();
    assert!(!row.contains("\"revoked\":null"), "{row}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_a_hundred_revocations_under_load_is_in_force_within_5_s() {
    if !wanted() {
        return;
    }
    let fleet = Arc::new(Fleet::new());
    let hosts = ["emilia", "loa"].map(|name| Arc::new(fleet.host(name)));
    let calls = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (fleet, calls) = (Arc::clone(&fleet), Arc::clone(&calls));
        let host = Arc::clone(&hosts[caller % 2]);
        callers.spawn(async move {
            let mut link = fleet.link("ana", &host).await.unwrap();
            loop {
                link.status().await.unwrap();
                // Half of them come in anew each time.
                if caller % 4 < 2 {
                    link = fleet.link("ana", &host).await.unwrap();
                }
                calls.fetch_add(1, Ordering::SeqCst);
                // As many people would: the command needs a processor too.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
    let mut delays = Vec::new();
    for number in 0..100 {
        let who = format!("bo{number}");
        tokio::task::block_in_place(|| fleet.operator(&who, "deployer"));
        delays.push(revoked(&fleet, &who, &hosts).await.0.as_millis());
        assert_eq!(callers.len(), CALLERS, "the load has ended");
    }
    let failed = callers.try_join_next();
    assert!(failed.is_none(), "{failed:?}");
    callers.shutdown().await;
    delays.sort_unstable();
    report(&format!(
        "100 revocations beside {CALLERS} callers with {} calls: open streams on two hosts ended {} to {} ms after the command began, {} ms in the middle",
        calls.load(Ordering::SeqCst),
        delays[0],
        delays[99],
        delays[50]
    ));
    assert!(delays[99] < BOUND.as_millis(), "{delays:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_away_is_brought_the_list_by_the_next_controller() {
    let fleet = Fleet::new();
    let (emilia, mut loa) = (fleet.host("emilia"), fleet.host("loa"));
    let bo = fleet.operator("bo", "deployer");
    let cleo = fleet.operator("cleo", "viewer");
    loa.stop();
    let said = fleet.admin(&["operator", "revoke", "bo", "-y"]);
    said.with(
        4,
        &[
            "emilia has it",
            "error: nothing listens",
            "on loa",
            "still let in there",
        ],
    );
    loa.start();
    fleet.run(&bo, "bo", &["status", "loa"], &[]).with(0, &[]);
    // Cleo may only look, and has fetched the fleet's folder.
    fs::copy(fleet.file("revoked.crl"), cleo.join("revoked.crl")).unwrap();
    fleet
        .run(&cleo, "cleo", &["status", "loa"], &[])
        .with(0, &[]);
    fleet
        .run(&bo, "bo", &["status", "loa"], &[])
        .with(6, &["the certificate is revoked"]);
    // What is in use outlives the agent.
    loa.stop();
    loa.start();
    fleet
        .run(&bo, "bo", &["status", "loa"], &[])
        .with(6, &["the certificate is revoked"]);
    drop(emilia);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_goes_back_whatever_is_checked_out() {
    let fleet = Fleet::new();
    let emilia = fleet.host("emilia");
    fleet.operator("bo", "deployer");
    fleet.operator("cleo", "deployer");
    let first = fs::read(fleet.file("revoked.crl")).unwrap();
    fleet
        .admin(&["operator", "revoke", "bo", "-y"])
        .with(0, &[]);
    let older = list(&fleet);
    // A branch from before that.
    fs::write(fleet.file("revoked.crl"), &first).unwrap();
    fleet.ana(&["status"]).with(0, &[]);
    fleet
        .admin(&["operator", "revoke", "cleo", "-y"])
        .with(0, &["list 3"]);
    let newest = list(&fleet);
    assert_eq!((newest.number, newest.revoked.len()), (3, 2));
    // A host's own door, too.
    let link = fleet.link("ana", &emilia).await.unwrap();
    let fault = link
        .revocations(older.signed_by(1).unwrap().to_vec())
        .await
        .unwrap_err();
    assert!(fault.what.contains("older than list 3"), "{fault}");
    let fault = link.revocations(b"no list".to_vec()).await.unwrap_err();
    assert!(fault.what.contains("not signed"), "{fault}");
    assert_eq!(
        link.revocations(newest.signed_by(1).unwrap().to_vec())
            .await
            .unwrap(),
        3
    );
    fs::remove_file(fleet.file("revoked.crl")).unwrap();
    fs::remove_file(fleet.held_by("ana").revoked()).unwrap();
    let missing = fleet.admin(&[
        "operator",
        "approve",
        "x",
        "--role",
        "viewer",
        "--request",
        "none",
    ]);
    missing.with(64, &["cannot read none"]);
    let missing = fleet.admin(&["host", "renew", "emilia"]);
    missing.with(1, &["revoked.crl is missing", "git checkout"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_locks_themselves_out_by_name() {
    let fleet = Fleet::new();
    let _emilia = fleet.host("emilia");
    let own = ["operator", "revoke", "ana", "-y"];
    fleet
        .admin(&own)
        .with(1, &["the one that this workstation uses"]);
    fleet
        .admin(&["operator", "renew"])
        .with(0, &["you are longshore://opq/operator/admin/ana until"]);
    fleet.admin(&own).with(0, &["emilia has it"]);
    fleet.ana(&["status"]).with(0, &[]);
    let unknown = fleet.admin(&["operator", "revoke", "nobody", "-y"]);
    unknown.with(64, &["\"nobody\"", "operator list"]);
    let asked = fleet.admin(&["operator", "revoke", "ana"]);
    asked.with(1, &["the one that this workstation uses"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_young_is_signed_anew_and_brought_along() {
    let fleet = Fleet::new();
    let emilia = fleet.host("emilia");
    let aged = |number: u64, days: u32| {
        let signed = controller::clock::now() - days * DAY;
        let text = fleet
            .authorities()
            .revocation_list(number, &[], signed)
            .unwrap();
        fs::write(fleet.file("revoked.crl"), &text).unwrap();
        fs::write(fleet.held_by("ana").revoked(), &text).unwrap();
    };
    aged(2, 29);
    fleet.admin(&["status"]).with(0, &[]);
    assert_eq!(list(&fleet).number, 2);
    aged(3, 65);
    let warned = fleet
        .ana(&["status"])
        .with(0, &["warning: the list of revoked operators ends soon"]);
    assert_eq!(warned.matches("warning").count(), 1, "{warned}");
    assert_eq!(list(&fleet).number, 3);
    let said = fleet
        .admin(&["status"])
        .with(0, &["signed anew (number 4)", "commit revoked.crl"]);
    assert!(!said.contains("warning"), "{said}");
    let link = fleet.link("ana", &emilia).await.unwrap();
    assert_eq!(link.facts().credentials.as_ref().unwrap().list, 4);
    fleet.admin(&["status"]).with(0, &[]);
    assert_eq!(list(&fleet).number, 4);
}
