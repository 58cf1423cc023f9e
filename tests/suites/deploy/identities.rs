//! Who gets in, and which host is believed.

use std::fs;

use crate::world::{controller, secret_file, world};

#[test]
fn a_workstation_without_an_identity_is_told_what_to_do() {
    let Some(world) = world() else { return };
    let case = world.case("nobody");
    let home = tempfile::tempdir().unwrap();
    let ended = controller(
        case.folder.path(),
        home.path(),
        &["deploy", "emilia", "--yes"],
        &[],
    );
    ended.with(6, &["controller operator request"]);
}

#[test]
fn an_operator_of_another_fleet_is_refused() {
    let Some(world) = world() else { return };
    let case = world.case("stranger");
    let (home, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let passphrase = folder.path().join("passphrase");
    secret_file(&passphrase, "another passphrase");
    let init = [
        "init",
        "--name",
        "opq",
        "--operator",
        "eve",
        "--passphrase-file",
        passphrase.to_str().unwrap(),
    ];
    controller(folder.path(), home.path(), &init, &[]).done();
    // Same fleet name, other authorities: neither side believes the other.
    fs::copy(
        folder.path().join("ca.pem"),
        case.folder.path().join("ca.pem"),
    )
    .unwrap();
    controller(case.folder.path(), home.path(), &["status"], &[]).with(6, &["emilia"]);
}

#[test]
fn a_server_that_is_another_host_is_refused() {
    let Some(world) = world() else { return };
    let case = world.case("imposter");
    case.fleet_with("", &world.loa.ip().to_string());
    case.deploy().with(6, &["emilia", "loa"]);
}

#[test]
fn a_second_workstation_gets_an_identity_of_its_own_with_a_role() {
    let Some(world) = world() else { return };
    let case = world.case("second");
    let home = world.operator("bo", "viewer");
    let at_home = |words: &[&str]| controller(case.folder.path(), home.path(), words, &[]);
    at_home(&["status"]).done();
    at_home(&["deploy", "emilia", "--yes"]).with(6, &["viewer", "deployer"]);
    assert_eq!(case.containers(), "");
}

#[test]
fn an_operator_limited_to_a_host_is_told_so_by_the_others() {
    let Some(world) = world() else { return };
    let case = world.case("limited");
    let home = world.limited_operator("cleo", "deployer", &["--host", "loa"]);
    let at_home = |words: &[&str]| controller(case.folder.path(), home.path(), words, &[]);
    at_home(&["status", "loa"]).done();
    let sentence = "the certificate is good for other hosts only";
    at_home(&["status", "emilia"]).with(6, &["emilia", sentence]);
    at_home(&["deploy", "emilia", "--yes"]).with(6, &[sentence]);
    assert_eq!(case.containers(), "");
    let listed = world.admin_runs(&["operator", "list"]).done();
    let row = listed.lines().find(|line| line.starts_with("cleo "));
    let row = row.unwrap_or_else(|| panic!("cleo is not listed:\n{listed}"));
    assert!(
        row.contains("deployer") && row.contains(" loa ") && row.ends_with("good"),
        "{row}"
    );
    let request = home.path().join("request");
    let approve = [
        "operator",
        "approve",
        "cleo",
        "--role",
        "viewer",
        "--request",
    ];
    let mut words = approve.to_vec();
    words.extend([request.to_str().unwrap(), "--host", "emila"]);
    world
        .admin_does(&words)
        .with(64, &["no host `emila`", "did you mean `emilia`?"]);
}
