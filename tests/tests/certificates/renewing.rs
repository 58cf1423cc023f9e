//! New keys and certificates while agents run.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tests::full::{report, wanted};

use crate::fleet::{DAY, Fleet};

const CALLERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_renewals_under_load_fail_no_call() {
    let fleet = Arc::new(Fleet::new());
    let emilia = Arc::new(fleet.host("emilia"));
    let done = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (fleet, emilia) = (Arc::clone(&fleet), Arc::clone(&emilia));
        let (done, calls) = (Arc::clone(&done), Arc::clone(&calls));
        callers.spawn(async move {
            let mut link = fleet.link("ana", &emilia).await.unwrap();
            while !done.load(Ordering::SeqCst) {
                link.status().await.unwrap();
                // Half of them come in anew each time, the others stay on one connection throughout.
                if caller % 2 == 0 {
                    link = fleet.link("ana", &emilia).await.unwrap();
                }
                calls.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let (signer, link) = (fleet.signer(), fleet.link("ana", &emilia).await.unwrap());
    let host = "emilia".parse().unwrap();
    let (mut serials, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let renewals = if wanted() { 1000 } else { 100 };
    let (pid, begun) = (emilia.pid(), Instant::now());
    for _ in 0..renewals {
        let request = link.renew().await.unwrap();
        let granted = signer.host(&host, &request).unwrap();
        link.install(granted.grant).await.unwrap();
        serials.insert(granted.serial);
        let installed = emilia.installed();
        keys.insert(installed.split("-----END").next().unwrap().to_owned());
        let seen = calls.load(Ordering::SeqCst);
        // Each is in use for a call at least.
        while calls.load(Ordering::SeqCst) == seen {
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(!callers.is_empty() && begun.elapsed() < Duration::from_secs(600));
        }
    }
    done.store(true, Ordering::SeqCst);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let (calls, took) = (calls.load(Ordering::SeqCst), begun.elapsed().as_secs_f64());
    report(&format!(
        "{renewals} renewals in {took:.1} s beside {CALLERS} callers with {calls} calls: none failed"
    ));
    assert_eq!((serials.len(), keys.len()), (renewals, renewals));
    assert_eq!(emilia.pid(), pid);
    assert!(!emilia.folder.join("pending.pem").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admins_command_renews_what_is_due_and_others_only_warn() {
    let fleet = Fleet::new();
    let (mut emilia, loa) = (fleet.host("emilia"), fleet.host("loa"));
    let young = loa.installed();
    let bo = fleet.operator("bo", "deployer");
    let passphrase = fleet.path("passphrase");
    let passphrase = [("LONGSHORE_CA_PASSPHRASE_FILE", passphrase.to_str().unwrap())];
    emilia.was_approved(&fleet, 260 * DAY);
    assert!(
        !fleet
            .admin(&["status"])
            .with(0, &[])
            .contains("certificate")
    );
    emilia.was_approved(&fleet, 300 * DAY);
    let old = emilia.installed();
    assert!(
        !fleet.ana(&["status"]).with(0, &[]).contains("warning"),
        "97 days are left"
    );
    emilia.was_approved(&fleet, 380 * DAY);
    let words = [
        "warning: the certificate of host emilia ends on",
        "controller host renew emilia",
    ];
    fleet.ana(&["status"]).with(0, &words);
    // Whoever is no admin has no use for the passphrase.
    fleet
        .run(&bo, "bo", &["status", "emilia"], &passphrase)
        .with(0, &words);
    fleet
        .run(&bo, "ana", &["doctor"], &[])
        .with(1, &["the certificate of host emilia ends soon"]);
    assert_ne!(emilia.installed(), old);

    // One that broke off between the request and the answer is completed.
    let link = fleet.link("ana", &emilia).await.unwrap();
    let request = link.renew().await.unwrap();
    let pending = fs::read_to_string(emilia.folder.join("pending.pem")).unwrap();
    emilia.stop();
    emilia.start();
    let said = fleet
        .admin(&["status"])
        .with(0, &["emilia has a new key and certificate, until"]);
    assert!(!said.contains("warning"), "{said}");
    assert!(pending.contains(&request) && !emilia.folder.join("pending.pem").exists());
    let key = pending.split("-----END PRIVATE").next().unwrap();
    assert!(
        emilia.installed().starts_with(key),
        "the key that waited is in use"
    );
    assert_eq!(loa.installed(), young);
    fleet.ana(&["audit", "emilia"]).with(
        0,
        &[
            "renew",
            "a request for a new certificate",
            "accept",
            "a certificate until 20",
        ],
    );
    assert!(!fleet.ana(&["status"]).with(0, &[]).contains("warning"));
}

#[tokio::test(flavor = "multi_thread")]
async fn host_renew_gives_every_named_host_a_new_key_while_it_runs() {
    let fleet = Fleet::new();
    let (emilia, mut loa) = (fleet.host("emilia"), fleet.host("loa"));
    let old = [emilia.installed(), loa.installed()];
    let said = fleet.admin(&["host", "renew", "--all"]);
    said.with(0, &["emilia has a new key", "loa has a new key"]);
    let new = [emilia.installed(), loa.installed()];
    for (old, new) in old.iter().zip(&new) {
        assert_ne!(old.split("-----END").next(), new.split("-----END").next());
    }
    loa.stop();
    let said = fleet.admin(&["host", "renew", "emilia", "loa"]);
    said.with(
        4,
        &["emilia has a new key", "error: nothing listens", "on loa"],
    );
    let bo = fleet.operator("bo", "deployer");
    let nothing = fleet.run(&bo, "bo", &["host", "renew", "emilia"], &[]);
    nothing.with(6, &["not kept on this machine"]);
    fleet
        .ana(&["host", "renew", "emila"])
        .with(64, &["did you mean `emilia`?"]);
    fleet
        .ana(&["host", "renew", "emilia"])
        .with(64, &["--passphrase-file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_over_the_network_changes_neither_name_nor_authorities() {
    let (fleet, other) = (Fleet::new(), Fleet::new());
    let emilia = fleet.host("emilia");
    let before = emilia.installed();
    let link = fleet.link("ana", &emilia).await.unwrap();
    let request = link.renew().await.unwrap();
    let (ours, theirs) = (fleet.signer(), other.signer());
    let [emilias, loas] = ["emilia", "loa"].map(|host| host.parse().unwrap());
    for grant in [
        theirs.host(&emilias, &request).unwrap().grant,
        ours.host(&loas, &request).unwrap().grant,
    ] {
        let fault = link.install(grant).await.unwrap_err();
        assert!(
            fault
                .what
                .contains("another host, or one that obeys others"),
            "{fault}"
        );
    }
    let elsewhere = other.host("emilia");
    let foreign = other
        .link("ana", &elsewhere)
        .await
        .unwrap()
        .renew()
        .await
        .unwrap();
    let fault = link
        .install(ours.host(&emilias, &foreign).unwrap().grant)
        .await
        .unwrap_err();
    assert!(
        fault.what.contains("a key that is not on this host"),
        "{fault}"
    );
    assert_eq!(emilia.installed(), before);
    let bo = fleet.operator("bo", "deployer");
    drop(bo);
    let link = fleet.link("bo", &emilia).await.unwrap();
    for fault in [
        link.renew().await.map(drop).unwrap_err(),
        link.install(String::new()).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(fault.kind, proto::fault::FaultKind::Denied, "{fault}");
    }
}
