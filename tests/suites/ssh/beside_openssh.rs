//! The same files before OpenSSH's own client: it and longshore let the same hosts pass.

use std::process::{Command, Stdio};

use crate::client::Operator;
use crate::server::{Server, USER, keygen};

/// What stands in known_hosts; `K` is the server's key, `O` another one of its kind, `N` its name.
const FILES: &[&str] = &[
    "N K",
    "",
    "N O",
    "N O\nN K",
    "N K\nN O",
    "# N K",
    "a,N,b K a comment",
    "* K",
    "127.0.0.? K",
    "[127.0.0.?]:* K",
    "*,!N K",
    "!other,* K",
    "127.0.0.1 K",
    "127.0.0.1 O",
    "127.0.0.1 K\nN O",
    "@revoked N K\nN K",
    "N K\n@revoked * K",
    "@revoked other K\nN K",
    "@revoked N O\nN K",
    "@cert-authority N K",
    "@cert-authority N O\nN K",
    "@nonsense N K",
    "@revoked @revoked N K",
    "N ssh-ed25519",
    "N ssh-ed25519 AAAA",
    "N ssh-nonsense AAAA\nN K",
    "N  \t K\r\n",
    "N",
    "\u{e9}t\u{e9} O\nN K",
];

#[tokio::test]
async fn openssh_lets_the_same_hosts_pass() {
    let Some(server) = Server::start("") else {
        return;
    };
    let operator = Operator::of(&server);
    operator.write("config", "StrictHostKeyChecking yes\n");
    keygen(&server.path("other"), "ed25519", "");
    let other = std::fs::read_to_string(server.path("other.pub")).unwrap();
    let other = other.trim().trim_end_matches(" a comment");
    let name = format!("[127.0.0.1]:{}", server.port);
    let mut passed = 0;
    for file in FILES {
        let text = file
            .replace('N', &name)
            .replace('O', other)
            .replace('K', &server.host_key("ed25519"));
        operator.write("known_hosts", &text);
        let theirs = openssh(&operator, &server);
        let ours = operator
            .connect(&format!("127.0.0.1:{}", server.port))
            .await;
        assert_eq!(ours.is_ok(), theirs, "{file:?}: {:?}", ours.err());
        passed += usize::from(theirs);
        assert_eq!(operator.read("known_hosts"), text);
    }
    assert!(
        passed > 10 && passed < FILES.len() - 10,
        "{passed} of {}",
        FILES.len()
    );
}

/// Whether OpenSSH's client runs a command there.
fn openssh(operator: &Operator, server: &Server) -> bool {
    let file = operator.ssh("known_hosts");
    let status = Command::new("ssh")
        .args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .args([
            "-o",
            "HostKeyAlgorithms=ssh-ed25519",
            "-o",
            "GlobalKnownHostsFile=none",
        ])
        .args([
            "-o",
            &format!("UserKnownHostsFile={}", file.display()),
            "-o",
            "UpdateHostKeys=no",
        ])
        .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i"])
        .arg(operator.ssh("id_ed25519"))
        .args([
            "-p",
            &server.port.to_string(),
            &format!("{USER}@127.0.0.1"),
            "true",
        ])
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}
