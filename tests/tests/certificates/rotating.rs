//! The authorities are replaced while agents and operators work, and whatever is cut off is completed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use controller::pki::{Standing, Succession};
use tests::full::report;

use crate::fleet::{Agent, Fleet};

const BEGIN: &[&str] = &["ca", "rotate", "--yes"];
const SWITCH: &[&str] = &["ca", "rotate", "--switch", "--yes"];
const FINISH: &[&str] = &["ca", "rotate", "--finish", "--yes"];
const CALLERS: usize = 4;

/// What everybody who uses the fleet pulls from git.
fn pull(fleet: &Fleet, copy: &Path) {
    for file in ["ca.pem", "revoked.crl"] {
        fs::copy(fleet.file(file), copy.join(file)).unwrap();
    }
    let signed = copy.join("operators");
    fs::create_dir_all(&signed).unwrap();
    for file in fs::read_dir(fleet.file("operators")).into_iter().flatten() {
        let file = file.unwrap();
        fs::copy(file.path(), signed.join(file.file_name())).unwrap();
    }
}

/// What a host says that it holds.
async fn standing(fleet: &Fleet, agent: &Agent) -> Standing {
    let link = fleet.link("ana", agent).await.unwrap();
    let credentials = link.facts().credentials.clone().unwrap();
    fleet.ca().standing(&credentials).unwrap()
}

fn holds(believes: &[u32], signer: u32) -> Standing {
    let believes = believes.to_vec();
    Standing { believes, signer }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorities_are_replaced_beside_callers_and_no_call_fails() {
    let fleet = Arc::new(Fleet::new());
    let hosts = [fleet.host("emilia"), fleet.host("loa")].map(Arc::new);
    let bo = fleet.operator("bo", "deployer");
    let id = fleet.ca().id().clone();
    let (done, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let (fleet, host) = (Arc::clone(&fleet), Arc::clone(&hosts[caller % 2]));
        let (done, calls) = (Arc::clone(&done), Arc::clone(&calls));
        callers.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let link = fleet.link("ana", &host).await.unwrap();
                for _ in 0..3 {
                    link.status().await.unwrap();
                    calls.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    let admin = async |words: &'static [&'static str]| {
        let fleet = Arc::clone(&fleet);
        let run = tokio::task::spawn_blocking(move || fleet.admin(words));
        run.await.unwrap()
    };
    let works = |copy: &Path| fleet.run(copy, "bo", &["status"], &[]).with(0, &[]);
    let pids = [hosts[0].pid(), hosts[1].pid()];

    admin(BEGIN).await.with(
        0,
        &["emilia believes both", "loa believes both", "--switch"],
    );
    assert_eq!(standing(&fleet, &hosts[0]).await, holds(&[1, 2], 1));
    works(&bo);
    pull(&fleet, &bo);
    works(&bo);
    let signed = admin(SWITCH).await;
    signed.with(
        0,
        &[
            "loa has a certificate of the new",
            "operators/bo-",
            "--finish",
        ],
    );
    assert_eq!(standing(&fleet, &hosts[0]).await, holds(&[2, 1], 2));
    works(&bo);
    pull(&fleet, &bo);
    works(&bo);
    admin(FINISH)
        .await
        .with(0, &["the old authorities are forgotten"]);
    assert_eq!(standing(&fleet, &hosts[0]).await, holds(&[2], 2));
    pull(&fleet, &bo);
    works(&bo);
    done.store(true, Ordering::SeqCst);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    let calls = calls.load(Ordering::SeqCst);
    report(&format!(
        "authorities replaced on 2 hosts beside {CALLERS} callers with {calls} calls: none failed"
    ));
    assert!(calls > 10, "{calls}");

    assert_eq!(fleet.ca().succession(), Succession::Settled);
    assert_eq!(
        fleet.ca().id(),
        &id,
        "workstations find their identities where they were"
    );
    assert_eq!(pids, [hosts[0].pid(), hosts[1].pid()]);
    fleet.admin(&["doctor"]).with(1, &["emilia"]);
    let list = fleet.ana(&["operator", "list"]).with(0, &["bo", "ana"]);
    assert_eq!(
        list.matches("good").count(),
        2,
        "only what still counts is listed: {list}"
    );
    fleet
        .admin(&["host", "renew", "--all", "--yes"])
        .with(64, &[]);
    fleet
        .admin(&["host", "renew", "--all"])
        .with(0, &["emilia has a new key"]);
    fleet.admin(&["operator", "renew"]).with(0, &[]);
    fleet
        .admin(&["operator", "revoke", "bo", "--yes"])
        .with(0, &["loa has it"]);
    assert_ne!(fleet.run(&bo, "bo", &["status"], &[]).code, 0);
}

#[test]
fn who_still_has_an_old_certificate_at_the_end_is_let_out_until_they_pull() {
    let fleet = Fleet::new();
    let _emilia = fleet.host("emilia");
    let bo = fleet.operator("bo", "viewer");
    fleet.admin(BEGIN).with(0, &[]);
    fleet.admin(SWITCH).with(0, &[]);
    fleet.admin(FINISH).with(0, &[]);
    let refused = fleet.run(&bo, "bo", &["status"], &[]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.said().contains("the newest ca.pem"),
        "{}",
        refused.said()
    );
    pull(&fleet, &bo);
    fleet.run(&bo, "bo", &["status"], &[]).with(0, &[]);
}

/// Everything that a killed run may leave, and what completes it.
#[test]
fn a_rotation_cut_off_at_any_moment_is_completed_by_the_next_run() {
    let fleet = Fleet::new();
    let (_emilia, _loa) = (fleet.host("emilia"), fleet.host("loa"));
    let bo = fleet.operator("bo", "deployer");
    let works = |moment: &str| {
        for ended in [
            fleet.ana(&["status"]),
            fleet.run(&bo, "bo", &["status"], &[]),
        ] {
            assert_eq!(ended.code, 0, "after {moment:?}: {}", ended.said());
        }
    };
    let narrow = |words: &[&'static str]| [words, &["--parallel", "1"]].concat();
    let cut = |words: &[&'static str], moment: &str| {
        fleet.admin_killed_at(&narrow(words), moment);
        fleet
            .ana(&["ca", "rotate", "--status"])
            .with(0, &["emilia believes", "loa believes"]);
        works(moment);
    };

    let public = || {
        (
            fs::read(fleet.file("ca.pem")).unwrap(),
            fs::read(fleet.file("revoked.crl")).unwrap(),
        )
    };
    let put_back = |(ca, crl): &(Vec<u8>, Vec<u8>)| {
        fs::write(fleet.file("ca.pem"), ca).unwrap();
        fs::write(fleet.file("revoked.crl"), crl).unwrap();
    };
    let bundle = fleet.held_by("ana").authorities();

    let before = public();
    cut(BEGIN, "there are new authorities");
    let made = fleet.ca();
    // As if it had been killed between the bundle and the public files.
    put_back(&before);
    works("the bundle alone");
    fleet
        .admin(&["host", "renew", "emilia"])
        .with(1, &["ca rotate"]);
    cut(BEGIN, "emilia believes both");
    assert_eq!(fleet.ca(), made, "no third pair is made");
    fleet.admin(FINISH).with(1, &["--switch"]);
    fleet.admin(BEGIN).with(0, &["--switch"]);
    pull(&fleet, &bo);

    let before = public();
    cut(SWITCH, "the new authorities sign");
    put_back(&before);
    works("the bundle alone");
    cut(SWITCH, "emilia has a certificate");
    cut(SWITCH, "is signed");
    fleet.admin(BEGIN).with(1, &["--finish"]);
    fleet.admin(SWITCH).with(0, &["--finish"]);
    let signed = fs::read_dir(fleet.file("operators")).unwrap().count();
    assert_eq!(signed, 2, "ana's and bo's");
    pull(&fleet, &bo);

    let both = fs::read(&bundle).unwrap();
    cut(FINISH, "emilia believes the new ones only");
    fleet.admin(FINISH).with(0, &["forgotten"]);
    // As if it had been killed between the public files and the bundle.
    fs::write(&bundle, both).unwrap();
    works("the public files alone");
    fleet.admin(FINISH).with(0, &["forgotten"]);
    fleet.admin(&["host", "renew", "--all"]).with(0, &[]);
    fleet
        .ana(&["ca", "rotate", "--status"])
        .with(0, &["not being replaced"]);
}

#[test]
fn new_authorities_can_be_given_up_before_they_sign() {
    let fleet = Fleet::new();
    let _emilia = fleet.host("emilia");
    let first = fleet.ca();
    fleet
        .admin(&["ca", "rotate", "--switch", "--yes"])
        .with(1, &["first: controller ca rotate"]);
    fleet.admin(BEGIN).with(0, &[]);
    let given_up = fleet.ca();
    let told = fleet
        .ana(&["doctor"])
        .with(1, &["new authorities are made known"]);
    assert!(told.contains("--abort"), "{told}");
    fleet
        .admin(&["ca", "rotate", "--abort", "--yes"])
        .with(0, &["given up"]);
    assert_eq!(fleet.ca(), first);
    fleet.ana(&["status"]).with(0, &[]);
    fleet.admin(BEGIN).with(0, &[]);
    assert_ne!(
        fleet.ca(),
        given_up,
        "keys that were given up are not used again"
    );
    fleet.admin(SWITCH).with(0, &[]);
    fleet
        .admin(&["ca", "rotate", "--abort", "--yes"])
        .with(1, &["--finish"]);
}

#[test]
fn what_cannot_be_rotated_says_why_and_changes_nothing() {
    let fleet = Fleet::new();
    let _emilia = fleet.host("emilia");
    let (ca, list) = (fleet.file("ca.pem"), fleet.file("revoked.crl"));
    let bundle = fleet.held_by("ana").authorities();
    let files = || [&ca, &list, &bundle].map(|path| fs::read(path).ok());
    let wrong = fleet.path("wrong");
    fs::write(&wrong, "not the passphrase").unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let claim = |words: &[&str], code: i32, said: &[&str]| {
        let before = files();
        fleet
            .admin(&[&["ca", "rotate"], words].concat())
            .with(code, said);
        assert!(files() == before, "{words:?} has changed a file");
    };
    let wrong = wrong.to_str().unwrap();
    claim(
        &["-y", "--passphrase-file", wrong],
        6,
        &["the passphrase does not open"],
    );
    claim(
        &["-y", "--passphrase-file", "none"],
        1,
        &["cannot read none"],
    );
    claim(
        &["-y", "--without", "nobody"],
        64,
        &["`nobody`", "known are emilia"],
    );
    claim(
        &["-y", "--switch", "--finish"],
        64,
        &["cannot be used with"],
    );
    claim(&[], 64, &["no terminal to ask on", "--yes"]);
    claim(&["-y", "--switch"], 1, &["no new authorities were made"]);
    for step in ["--finish", "--abort"] {
        claim(&["-y", step], 0, &["not being replaced"]);
    }
    for (path, what) in [(&ca, "ca.pem"), (&list, "the list of revoked operators")] {
        let good = fs::read(path).unwrap();
        for cut in [0, 1, good.len() / 2, good.len() - 30] {
            fs::write(path, &good[..cut]).unwrap();
            claim(&["-y"], 64, &[what, "cannot be read", "git checkout -- "]);
        }
        fs::write(path, &good).unwrap();
    }
    fs::write(
        &ca,
        fs::read_to_string(Fleet::new().file("ca.pem")).unwrap(),
    )
    .unwrap();
    claim(
        &["-y"],
        6,
        &["authorities of this fleet are not kept on this machine"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_away_holds_the_rotation_up_or_is_left_behind_and_comes_back() {
    let fleet = Fleet::new();
    let (emilia, mut loa) = (fleet.host("emilia"), fleet.host("loa"));
    let bo = fleet.operator("bo", "deployer");
    loa.stop();
    fleet.admin(BEGIN).with(
        4,
        &[
            "emilia believes both",
            "nothing listens",
            "to complete this",
        ],
    );
    fleet.admin(SWITCH).with(4, &["nothing was switched"]);
    assert_eq!(fleet.ca().succession(), Succession::Begun);
    loa.start();
    fleet.admin(BEGIN).with(0, &["loa believes both"]);
    loa.stop();

    // Lists and renewals count for both pairs meanwhile.
    let eve = fleet.operator("eve", "deployer");
    fleet
        .admin(&["operator", "revoke", "eve", "--yes"])
        .with(4, &["emilia has it"]);
    assert_ne!(fleet.run(&eve, "eve", &["status", "emilia"], &[]).code, 0);
    fleet.admin(&["host", "renew", "emilia"]).with(0, &[]);
    assert_eq!(standing(&fleet, &emilia).await, holds(&[1, 2], 1));

    let without = |words: &[&'static str]| fleet.admin(&[words, &["--without", "loa"]].concat());
    without(SWITCH).with(0, &["operators/bo-"]);
    let signed = fs::read_dir(fleet.file("operators")).unwrap();
    let signed = signed.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(
        !signed.into_iter().any(|name| name.starts_with("eve")),
        "nobody revoked is let in again"
    );
    without(FINISH).with(0, &["forgotten"]);
    pull(&fleet, &bo);
    fleet
        .run(&bo, "bo", &["status", "emilia"], &[])
        .with(0, &[]);
    assert_ne!(fleet.run(&eve, "eve", &["status", "emilia"], &[]).code, 0);

    loa.start();
    let lost = fleet.ana(&["status", "loa"]);
    assert_ne!(lost.code, 0, "{}", lost.said());
    fleet.approve_again(&mut loa);
    assert_eq!(standing(&fleet, &loa).await, holds(&[2], 2));
    fleet.run(&bo, "bo", &["status"], &[]).with(0, &[]);
}

#[test]
fn an_operator_whose_key_was_not_noted_is_told_of_in_time() {
    let fleet = Fleet::new();
    let _emilia = fleet.host("emilia");
    let bo = fleet.operator("bo", "viewer");
    let issued = fleet.held_by("ana").issued();
    let lines = fs::read_to_string(&issued).unwrap();
    let older = lines.lines().map(|line| {
        let mut entry: serde_json::Value = serde_json::from_str(line).unwrap();
        entry
            .as_object_mut()
            .unwrap()
            .retain(|field, _| field != "key" && field != "generation");
        format!("{entry}\n")
    });
    fs::write(&issued, older.collect::<String>()).unwrap();
    fleet.admin(BEGIN).with(0, &[]);
    let warned = fleet
        .admin(SWITCH)
        .with(0, &["operator/viewer/bo needs a new certificate"]);
    assert!(warned.contains("operator/admin/ana needs"), "{warned}");
    fleet
        .admin(FINISH)
        .with(4, &["your own certificate's authority"]);
    fleet.admin(&["operator", "renew"]).with(0, &[]);
    fleet.admin(FINISH).with(0, &["forgotten"]);
    assert_ne!(fleet.run(&bo, "bo", &["status"], &[]).code, 0);
}
