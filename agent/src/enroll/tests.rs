//! Enrolment from the host's side, with grants that are right and wrong in every part.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::clock;
use crate::testing::{Ahead, Leaf, List, TestFleet, host};
use rustls::time_provider::TimeProvider as _;

fn emilia() -> HostName {
    "emilia".parse().unwrap()
}

fn try_accept(folder: &Path, grant: &str) -> Result<Accepted, EnrollError> {
    accept(folder, grant, clock::now())
}

#[test]
fn a_host_asks_is_granted_and_accepts() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    let folder = &folder.path().join("longshore");
    let request = enroll(folder, &emilia()).unwrap();
    assert_eq!(
        enroll(folder, &emilia()).unwrap(),
        request,
        "asked again, nothing changes"
    );
    let grant = fleet.grant(&request, &host("emilia"), &List::default());
    for _ in 0..2 {
        assert_eq!(try_accept(folder, &grant).unwrap().host, emilia());
    }
    let mode = fs::metadata(identity_file(folder))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!pending_file(folder).exists());
    assert!(!request.contains("PRIVATE") && !grant.contains("PRIVATE"));
}

#[test]
fn renewal_makes_a_new_key_and_the_old_identity_serves_until_it_is_accepted() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    let folder = folder.path();
    fleet.install(folder, &List::default());
    let (old, _) = installed(folder).unwrap().unwrap();
    let request = enroll(folder, &emilia()).unwrap();
    let (kept, _) = installed(folder).unwrap().unwrap();
    assert_eq!(kept.serialized_der(), old.serialized_der());
    try_accept(
        folder,
        &fleet.grant(&request, &host("emilia"), &List::default()),
    )
    .unwrap();
    let (new, _) = installed(folder).unwrap().unwrap();
    assert_ne!(new.serialized_der(), old.serialized_der());
}

#[test]
fn cut_off_after_installing_the_key_is_not_used_twice() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let request = enroll(folder, &emilia()).unwrap();
    let pending = fs::read(pending_file(folder)).unwrap();
    let grant = fleet.grant(&request, &host("emilia"), &List::default());
    try_accept(folder, &grant).unwrap();
    private::write_secret(&pending_file(folder), &String::from_utf8(pending).unwrap()).unwrap();
    try_accept(folder, &grant).unwrap();
    assert!(
        !pending_file(folder).exists(),
        "the second run completes the first"
    );
    assert_ne!(enroll(folder, &emilia()).unwrap(), request);
}

#[test]
fn a_grant_for_another_key_or_name_is_refused() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    let folder = folder.path();
    let request = enroll(folder, &emilia()).unwrap();
    let elsewhere = enroll(&folder.join("elsewhere"), &emilia()).unwrap();
    let grant = fleet.grant(&elsewhere, &host("emilia"), &List::default());
    assert!(matches!(
        try_accept(folder, &grant),
        Err(EnrollError::NotOurs)
    ));
    let grant = fleet.grant(&request, &host("paul"), &List::default());
    assert!(matches!(
        try_accept(folder, &grant),
        Err(EnrollError::OtherName { .. })
    ));
    enroll(folder, &"paul".parse().unwrap()).unwrap();
    assert_eq!(try_accept(folder, &grant).unwrap().host.as_str(), "paul");
}

#[test]
fn a_grant_whose_parts_do_not_belong_together_is_refused() {
    let (fleet, other) = (TestFleet::new("opq"), TestFleet::new("opq"));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let request = enroll(folder, &emilia()).unwrap();
    let good = fleet.grant(&request, &host("emilia"), &List::default());
    let (before, rest) = good.split_once("-----BEGIN X509 CRL-----").unwrap();
    let (_, after) = rest.split_once("-----END X509 CRL-----\n").unwrap();
    let with_list = |list: &str| [before, list, after].concat();
    let (list, foreign) = (fleet.list(&List::default()), other.list(&List::default()));
    let operator = Leaf::default();
    let expired = Leaf {
        valid: (-9, -2),
        ..host("emilia")
    };
    let grants = [
        ("foreign list", with_list(&foreign)),
        ("no list", with_list("")),
        ("two lists", good.clone() + &list),
        ("one authority", good.replace(&fleet.hosts.pem(), "")),
        (
            "foreign authority",
            good.replace(&fleet.hosts.pem(), &other.hosts.pem()),
        ),
        (
            "other fleet",
            TestFleet::new("xyz").grant(&request, &host("emilia"), &List::default()),
        ),
        (
            "operator",
            fleet.grant(&request, &operator, &List::default()),
        ),
        ("expired", fleet.grant(&request, &expired, &List::default())),
        (
            "no usage",
            fleet.grant(
                &request,
                &Leaf {
                    usage: None,
                    ..host("emilia")
                },
                &List::default(),
            ),
        ),
        ("nothing", String::new()),
        (
            "garbage",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        ),
    ];
    for (what, grant) in grants {
        let error = try_accept(folder, &grant).unwrap_err();
        assert!(matches!(error, EnrollError::Grant(_)), "{what}: {error}");
        assert!(!identity_file(folder).exists(), "{what}");
    }
    let mut parts: Vec<&str> = good.split_inclusive("-----\n").collect();
    parts.rotate_left(2);
    try_accept(folder, &format!("# in another order\n{}", parts.concat())).unwrap();
}

#[test]
fn an_older_revocation_list_is_not_put_back() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    let folder = folder.path();
    fleet.install(
        folder,
        &List {
            number: 300,
            ..List::default()
        },
    );
    let request = enroll(folder, &emilia()).unwrap();
    let old = fleet.grant(
        &request,
        &host("emilia"),
        &List {
            number: 299,
            ..List::default()
        },
    );
    assert!(matches!(
        try_accept(folder, &old),
        Err(EnrollError::OldList {
            offered: 299,
            installed: 300
        })
    ));
}

#[test]
fn a_world_readable_key_is_refused_and_never_shown() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    let folder = folder.path();
    fleet.install(folder, &List::default());
    let path = identity_file(folder);
    let secret = fs::read_to_string(&path).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = enroll(folder, &emilia()).unwrap_err();
    assert!(
        matches!(error, EnrollError::File(FileError::Exposed { .. })),
        "{error}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let shown = format!("{error:?} {:?}", installed(folder).unwrap());
    assert!(!shown.contains(secret));
    fs::write(&path, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    assert!(matches!(
        installed(folder),
        Err(EnrollError::Damaged { .. })
    ));
}

#[test]
fn an_identity_that_has_run_out_can_still_be_renewed() {
    let (fleet, folder) = (TestFleet::new("opq"), tempfile::tempdir().unwrap());
    let folder = folder.path();
    fleet.install(folder, &List::default());
    let later = Ahead(400).current_time().unwrap();
    let request = enroll(folder, &emilia()).unwrap();
    let fresh = Leaf {
        valid: (-1, 800),
        ..host("emilia")
    };
    accept(
        folder,
        &fleet.grant(&request, &fresh, &List::default()),
        later,
    )
    .unwrap();
}
