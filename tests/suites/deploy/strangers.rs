//! Those whose certificate is missing, foreign or out of date: told why, and nothing is touched.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use controller::clock;
use controller::home::Home;
use controller::identity::read_ca;
use controller::passphrase::Passphrase;
use controller::pki::{Authorities, Request};
use proto::role::Role;
use tempfile::TempDir;

use crate::alone::Alone;
use crate::world::{World, controller, secret_file, world};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The fleet's authorities, opened as an admin verb opens them.
fn authorities(world: &World) -> Authorities {
    let ca = read_ca(&world.public_file("ca.pem")).unwrap();
    let file = Home::at(&world.home()).fleet(ca.id());
    let bundle = fs::read_to_string(file.authorities()).unwrap();
    let passphrase = fs::read_to_string(world.public_file("../passphrase")).unwrap();
    let passphrase = Passphrase::new(passphrase.trim()).unwrap();
    Authorities::from_pem(&bundle, &passphrase, clock::now()).unwrap()
}

/// The operator's key and certificate of a workstation.
fn operator_file(home: &Path, ca: &Path) -> PathBuf {
    let ca = read_ca(ca).unwrap();
    Home::at(home).fleet(ca.id()).operator()
}

/// A workstation whose operator bo was signed 181 days ago, and bo's last day.
fn out_of_date(world: &World, folder: &Path) -> (TempDir, String) {
    let home = tempfile::tempdir().unwrap();
    let asking = ["operator", "request", "bo"];
    let request = controller(folder, home.path(), &asking, &[]).done();
    let request = Request::from_pem(&request).unwrap();
    let signed = clock::now() - 181 * DAY;
    let name = "bo".parse().unwrap();
    let issued = authorities(world).operator_certificate(&request, &name, Role::Admin, &[], signed);
    let issued = issued.unwrap();
    let ca = read_ca(&world.public_file("ca.pem")).unwrap();
    let files = Home::at(home.path()).fleet(ca.id());
    let key = fs::read_to_string(files.pending()).unwrap();
    secret_file(&files.operator(), &(key + &issued.to_pem()));
    (home, issued.expires.date().to_string())
}

/// A workstation of another fleet of the same name.
fn foreign() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let passphrase = home.path().join("passphrase");
    secret_file(&passphrase, "another passphrase");
    let file = passphrase.to_str().unwrap();
    let init = ["init", "--name", "opq", "--operator", "eve"];
    let init = [init.as_slice(), &["--passphrase-file", file]].concat();
    controller(home.path(), home.path(), &init, &[]).done();
    let identity = operator_file(home.path(), &home.path().join("ca.pem"));
    (home, identity)
}

/// What a client that is not ours hears when it begins to talk, with this key and certificate or none.
fn heard(address: &str, identity: Option<&Path>) -> String {
    let mut client = Command::new("timeout");
    client.args(["20", "openssl", "s_client", "-connect", address]);
    client.args(["-tls1_3", "-alpn", "h2", "-ign_eof"]);
    if let Some(file) = identity {
        client.arg("-cert").arg(file).arg("-key").arg(file);
    }
    let mut client = client
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // It may have been cut off already.
    client.stdin.take().unwrap().write_all(preface).ok();
    let output = client.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_client_without_a_good_certificate_is_cut_off_with_a_reason() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "strangers");
    let (old, _) = out_of_date(world, alone.case.folder.path());
    let old = operator_file(old.path(), &world.public_file("ca.pem"));
    let (_foreign, foreign) = foreign();
    let good = operator_file(&world.home(), &world.public_file("ca.pem"));
    let before = alone.everything();
    for (identity, reason) in [
        (None, "alert certificate required"),
        (Some(foreign.as_path()), "alert unknown ca"),
        (Some(old.as_path()), "alert certificate expired"),
    ] {
        let said = heard(&alone.address(), identity);
        assert!(said.contains(reason), "{reason:?} is not in:\n{said}");
    }
    let said = heard(&alone.address(), Some(&good));
    assert!(!said.contains("alert"), "{said}");
    alone.is_unharmed(&before);
}

#[test]
fn an_expired_operator_is_told_since_when_and_what_to_do() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "expiredop");
    let folder = alone.case.folder.path();
    let (home, day) = out_of_date(world, folder);
    let before = alone.everything();
    for words in [
        ["deploy", "expiredop", "--yes"].as_slice(),
        &["plan", "expiredop"],
        &["status", "expiredop"],
        &["logs", "expiredop"],
    ] {
        controller(folder, home.path(), words, &[]).with(
            6,
            &[
                "expired on",
                &day,
                "on expiredop",
                "controller operator request bo",
            ],
        );
    }
    alone.is_unharmed(&before);
}

#[test]
fn an_expired_host_is_refused_until_it_is_approved_again() {
    let Some(world) = world() else { return };
    let mut alone = Alone::new(world, "expiredhost");
    let path = "/etc/longshore/identity.pem";
    let good = String::from_utf8(alone.host.read_file(path).unwrap()).unwrap();
    let request = fs::read_to_string(world.public_file("../expiredhost.request")).unwrap();
    let (request, name) = (Request::from_pem(&request).unwrap(), "expiredhost".parse());
    let signed = clock::now() - 398 * DAY;
    let issued = authorities(world).host_certificate(&request, &name.unwrap(), signed);
    // Its own certificate is the first one.
    let begins = good.find("-----BEGIN CERTIFICATE-----").unwrap();
    let (key, certificates) = good.split_at(begins);
    let end = "-----END CERTIFICATE-----\n";
    let (_, others) = certificates.split_once(end).unwrap();
    let old = format!("{key}{}{others}", issued.unwrap().to_pem());
    alone.host.write_file(path, old.as_bytes(), 0o600).unwrap();
    alone.restart_agent();
    let before = alone.everything();
    let words = ["expiredhost", "it has expired", "agent enroll"];
    alone.deploy().with(6, &words);
    let status = ["status", "expiredhost"];
    alone.case.controller(&status).with(6, &words);
    assert_eq!(alone.everything(), before);
    alone.host.write_file(path, good.as_bytes(), 0o600).unwrap();
    alone.restart_agent();
    alone.is_unharmed(&alone.everything());
}
