//! What both sides agree on before anything is said: never something weak, and never silence.

use std::borrow::Cow;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use controller::ssh::Input;
use proto::fault::{Fault, FaultKind};
use russh::{Preferred, cipher, kex};

use crate::client::{Operator, SOON};
use crate::server::{Server, keygen};

#[tokio::test]
async fn the_best_is_agreed_on_and_nothing_is_compressed() {
    let Some(server) = Server::start("LogLevel DEBUG1\nCompression yes") else {
        return;
    };
    Operator::of(&server).session(&server).await.close().await;
    let log = server.log();
    for agreed in [
        "kex: client->server cipher: aes256-gcm@openssh.com MAC: <implicit> compression: none",
        "kex: server->client cipher: aes256-gcm@openssh.com MAC: <implicit> compression: none",
        "kex: host key algorithm: ssh-ed25519",
    ] {
        assert!(log.contains(agreed), "{agreed} is not in:\n{log}");
    }
}

#[tokio::test]
async fn every_good_choice_of_a_server_works() {
    for config in [
        "Ciphers chacha20-poly1305@openssh.com",
        "Ciphers aes128-gcm@openssh.com",
        "Ciphers aes128-ctr\nMACs hmac-sha2-256",
        "Ciphers aes256-ctr\nMACs hmac-sha2-512-etm@openssh.com",
        "KexAlgorithms ecdh-sha2-nistp256",
        "KexAlgorithms diffie-hellman-group14-sha256",
        "KexAlgorithms diffie-hellman-group-exchange-sha256",
    ] {
        let Some(server) = Server::start(config) else {
            return;
        };
        let session = Operator::of(&server).session(&server).await;
        let output = session
            .exec("echo here", Input::Nothing, SOON)
            .await
            .unwrap();
        assert_eq!(output.stdout.text(), "here\n", "{config}");
    }
}

#[tokio::test]
async fn a_server_that_has_only_weak_choices_is_refused() {
    for (config, what, theirs) in [
        ("Ciphers aes128-cbc", "cipher", "aes128-cbc"),
        (
            "KexAlgorithms diffie-hellman-group14-sha1",
            "key exchange",
            "diffie-hellman-group14-sha1",
        ),
        (
            "Ciphers aes128-ctr\nMACs hmac-sha1",
            "message authentication",
            "hmac-sha1",
        ),
        ("", "host key", "rsa-sha2-512"),
    ] {
        let rsa = config.is_empty();
        let kinds = if rsa { ["rsa"] } else { ["ed25519"] };
        let Some(server) = Server::with_keys(&kinds, config) else {
            return;
        };
        let fault = Operator::new().refused(&server).await;
        assert_eq!(fault.kind, FaultKind::Unsupported, "{fault:?}");
        assert!(
            fault.what.contains(&format!("no {what} in common")),
            "{fault:?}"
        );
        assert!(fault.causes[0].contains(theirs), "{fault:?}");
    }
}

struct Weak;

impl russh::server::Handler for Weak {
    type Error = russh::Error;
}

/// A server that knows no strict key exchange, with one cipher.
async fn without_strict_kex(key: &std::path::Path, cipher: cipher::Name) -> u16 {
    let config = russh::server::Config {
        keys: vec![russh::keys::load_secret_key(key, None).unwrap()],
        preferred: Preferred {
            kex: Cow::Owned(vec![kex::CURVE25519]),
            cipher: Cow::Owned(vec![cipher]),
            ..Preferred::default()
        },
        auth_rejection_time: Duration::ZERO,
        ..russh::server::Config::default()
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if let Ok(session) = russh::server::run_stream(config, stream, Weak).await {
            session.await.ok();
        }
    });
    port
}

#[tokio::test]
async fn without_strict_key_exchange_only_what_withstands_terrapin_is_spoken() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    keygen(&key, "ed25519", "");
    for (cipher, spoken) in [
        (cipher::CHACHA20_POLY1305, false),
        (cipher::AES_256_CTR, false),
        (cipher::AES_256_GCM, true),
    ] {
        let mut operator = Operator::new();
        operator.says_yes();
        let port = without_strict_kex(&key, cipher).await;
        let result = operator.connect(&format!("127.0.0.1:{port}")).await;
        let fault = Fault::from(result.unwrap_err());
        // Nobody is let in by that server; how far it comes is what counts.
        let expected = if spoken {
            FaultKind::Denied
        } else {
            FaultKind::Unsupported
        };
        assert_eq!(fault.kind, expected, "{cipher:?}: {fault:?}");
        let told = fault
            .causes
            .iter()
            .any(|cause| cause.contains("without strict key exchange"));
        assert_eq!(told, !spoken, "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_no_ssh_server_is_told_within_the_deadline() {
    // Silence, another protocol, an end, and words without end.
    let answers: [(&[u8], &str); 4] = [
        (b"", "did not say who it is within 1 s"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "did not say who it is within 1 s",
        ),
        (
            b"SSH-2.0-x\r\n\0\0\0\x0c\x0a\x14garbage garbage garbage garbage",
            "does not speak SSH",
        ),
        (b"\0", "does not speak SSH"),
    ];
    for (answer, expected) in answers {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            if answer == b"\0" {
                while stream
                    .write_all(b"a line of a very long banner\r\n")
                    .is_ok()
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            stream.write_all(answer).ok();
            stream.read_to_end(&mut Vec::new()).ok();
        });
        let operator = Operator::new();
        operator.write("config", "ConnectTimeout 1\n");
        let start = Instant::now();
        let result = operator.connect(&format!("127.0.0.1:{port}")).await;
        let fault = Fault::from(result.unwrap_err());
        assert_eq!(fault.kind, FaultKind::Unreachable);
        assert!(fault.what.contains(expected), "{answer:?}: {fault:?}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_noisy_banner_changes_nothing() {
    let Some(server) = Server::start("") else {
        return;
    };
    let noise = "\x1b[2J\u{7}not a word of this is shown\n".repeat(2000);
    fs::write(server.path("banner"), noise).unwrap();
    let config = fs::read_to_string(server.path("config")).unwrap();
    let banner = format!("Banner {}\n{config}", server.path("banner").display());
    fs::write(server.path("config"), banner).unwrap();
    let session = Operator::of(&server).session(&server).await;
    let output = session
        .exec("echo here", Input::Nothing, SOON)
        .await
        .unwrap();
    assert_eq!(output.stdout.text(), "here\n");
    assert!(output.stderr.bytes.is_empty() && session.notes().is_empty());
}

#[tokio::test]
async fn a_host_with_a_certificate_is_known_by_its_key_alone() {
    let Some(server) = Server::with_keys(&["ed25519"], "") else {
        return;
    };
    keygen(&server.path("authority"), "ed25519", "");
    let signed = std::process::Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(server.path("authority"))
        .args(["-I", "host", "-h", "-n", "127.0.0.1"])
        .arg(server.path("host_ed25519.pub"))
        .status();
    assert!(signed.unwrap().success());
    let config = fs::read_to_string(server.path("config")).unwrap();
    let certificate = format!(
        "{config}HostCertificate {}\n",
        server.path("host_ed25519-cert.pub").display()
    );
    fs::write(server.path("config"), certificate).unwrap();
    let mut operator = Operator::of(&server);
    operator.session(&server).await.close().await;
    let authority = fs::read_to_string(server.path("authority.pub")).unwrap();
    operator.write("known_hosts", &format!("@cert-authority * {authority}"));
    let fault = operator.refused(&server).await;
    assert!(
        fault
            .hints
            .iter()
            .any(|hint| hint.contains("@cert-authority")),
        "{fault:?}"
    );
    operator.says_yes();
    operator.session(&server).await.close().await;
}
