//! Hosts' keys: known, unknown, changed, of another algorithm, revoked.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use controller::ssh::Input;
use proto::fault::FaultKind;

use crate::client::{Operator, SOON};
use crate::server::{Server, keygen};

/// An operator whom the server lets in and who does not know it.
fn stranger(server: &Server) -> Operator {
    let operator = Operator::of(server);
    fs::remove_file(operator.ssh("known_hosts")).unwrap();
    operator
}

#[tokio::test]
async fn an_unknown_host_is_shown_and_asked_for_once() {
    let Some(server) = Server::start("") else {
        return;
    };
    let mut operator = stranger(&server);
    let fault = operator.refused(&server).await;
    let fingerprint = server.fingerprint("ed25519");
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(
        fault
            .hints
            .iter()
            .any(|hint| hint.contains(&format!("--host-key {fingerprint}"))),
        "{fault:?}"
    );
    assert!(!operator.ssh("known_hosts").exists());

    let mut operator = {
        operator = stranger(&server);
        operator.says_yes();
        operator
    };
    operator.session(&server).await.close().await;
    let shown = format!("127.0.0.1:{} ssh-ed25519 {fingerprint}", server.port);
    assert_eq!(operator.asked(), [shown]);
    assert_eq!(operator.read("known_hosts"), server.known("ed25519"));
    let mode = fs::metadata(operator.ssh("known_hosts"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // From then on it is known, to OpenSSH as well.
    operator.answers = Default::default();
    operator.session(&server).await.close().await;
    assert_eq!(operator.asked(), [""; 0]);
    let name = format!("[127.0.0.1]:{}", server.port);
    let found = Command::new("ssh-keygen")
        .args(["-F", &name, "-f"])
        .arg(operator.ssh("known_hosts"))
        .status();
    assert!(found.unwrap().success());
}

#[tokio::test]
async fn a_fingerprint_from_elsewhere_decides_without_a_question() {
    let Some(server) = Server::start("") else {
        return;
    };
    let mut operator = stranger(&server);
    operator.says_yes();
    operator.options.host_key = Some(server.fingerprint("ecdsa").parse().unwrap());
    let fault = operator.refused(&server).await;
    assert!(fault.what.contains("not the one given"), "{fault:?}");
    operator.options.host_key = Some(server.fingerprint("ed25519").parse().unwrap());
    operator.session(&server).await;
    assert_eq!(operator.asked(), [""; 0]);
    assert_eq!(operator.read("known_hosts"), server.known("ed25519"));
}

#[tokio::test]
async fn a_hashed_name_is_written_when_the_configuration_says_so() {
    let Some(server) = Server::start("") else {
        return;
    };
    let mut operator = stranger(&server);
    operator.says_yes();
    operator.write("config", "HashKnownHosts yes\n");
    operator.write("known_hosts", "# no end of line");
    operator.session(&server).await;
    let written = operator.read("known_hosts");
    assert!(
        written.starts_with("# no end of line\n|1|") && !written.contains("127.0.0.1"),
        "{written}"
    );
    operator.answers = Default::default();
    operator.session(&server).await;
}

#[tokio::test]
async fn a_changed_revoked_or_other_key_is_refused_whatever_anybody_says() {
    let Some(server) = Server::with_keys(&["ed25519", "ecdsa", "rsa"], "") else {
        return;
    };
    let mut operator = stranger(&server);
    operator.says_yes();
    keygen(&server.path("other"), "ed25519", "");
    let other = fs::read_to_string(server.path("other.pub")).unwrap();
    let name = format!("[127.0.0.1]:{}", server.port);
    let key = server.host_key("ed25519");
    for (line, reason) in [
        (format!("{name} {other}"), "known by another one"),
        (format!("@revoked * {key}\n"), "revoked"),
        (format!("{name} {key}\n@revoked {name} {key}\n"), "revoked"),
        // RSA is what longshore cannot verify, so the host has to show another.
        (server.known("rsa"), "only by its ssh-rsa key"),
    ] {
        operator.write("known_hosts", &line);
        for given in [None, Some(server.fingerprint("ed25519").parse().unwrap())] {
            operator.options.host_key = given;
            let fault = operator.refused(&server).await;
            assert_eq!(fault.kind, FaultKind::Denied);
            assert!(fault.what.contains(reason), "{fault:?}");
            assert!(
                fault.hints.iter().any(|hint| hint.contains("known_hosts:")),
                "{fault:?}"
            );
        }
        assert_eq!(operator.read("known_hosts"), line, "nothing is added");
    }
    assert_eq!(operator.asked(), [""; 0]);
}

#[tokio::test]
async fn the_host_is_asked_for_the_key_it_is_known_by() {
    let Some(server) = Server::start("") else {
        return;
    };
    let operator = stranger(&server);
    operator.write("known_hosts", &server.known("ecdsa"));
    let session = operator.session(&server).await;
    assert!(
        session
            .exec("true", Input::Nothing, SOON)
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn known_hosts_that_cannot_be_read_is_no_first_contact() {
    let Some(server) = Server::start("") else {
        return;
    };
    let mut operator = stranger(&server);
    operator.says_yes();
    fs::create_dir(operator.ssh("known_hosts")).unwrap();
    let fault = operator.refused(&server).await;
    assert_eq!(fault.kind, FaultKind::Denied);
    assert!(fault.causes[0].contains("known_hosts"), "{fault:?}");
    assert_eq!(operator.asked(), [""; 0]);
}
