//! Who an operator is to a host: keys in files, keys of ssh-agent, passwords.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use controller::ssh::Passwords;
use proto::fault::{Fault, FaultKind};

use crate::client::{Operator, until};
use crate::server::{PASSWORD, Server};

/// A real ssh-agent, ended when dropped.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    async fn start(operator: &mut Operator) -> Self {
        let socket = operator.ssh("agent");
        let process = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until("ssh-agent listens", || socket.exists()).await;
        operator.set("SSH_AUTH_SOCK", &socket);
        Self { process, socket }
    }

    fn add(&self, key: &std::path::Path) {
        let added = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .status();
        assert!(added.unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn keys_in_files_let_us_in() {
    let Some(server) = Server::start("") else {
        return;
    };
    for kind in ["ed25519", "ecdsa"] {
        let operator = Operator::new();
        let name = format!("id_{kind}");
        operator.key(&name, kind, "");
        operator.write("known_hosts", &server.known("ed25519"));
        server.authorize(&operator.ssh(&format!("{name}.pub")));
        operator.session(&server).await.close().await;
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_only_when_the_host_wants_the_key() {
    let Some(server) = Server::start("") else {
        return;
    };
    let operator = Operator::of(&server);
    // Tried first, and nobody's.
    operator.key("elsewhere", "ed25519", "another secret");
    operator.key("locked", "ed25519", "a long passphrase");
    operator.write(
        "config",
        "IdentityFile ~/.ssh/elsewhere\nIdentityFile ~/.ssh/locked\n",
    );
    let fault = operator.refused(&server).await;
    assert_eq!(fault.kind, FaultKind::Denied);
    assert_eq!(operator.asked(), [""; 0], "{fault:?}");
    server.authorize(&operator.ssh("locked.pub"));
    let fault = operator.refused(&server).await;
    assert!(
        fault
            .causes
            .iter()
            .any(|cause| cause.contains("no terminal")),
        "{fault:?}"
    );
    assert!(
        fault.hints.iter().any(|hint| hint.contains("ssh-add")),
        "{fault:?}"
    );
    operator.types(&["mistyped", "a long passphrase"]);
    operator.session(&server).await.close().await;
    assert!(
        operator
            .asked()
            .iter()
            .all(|asked| asked.contains(".ssh/locked"))
    );
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_with_the_reason() {
    let Some(server) = Server::start("") else {
        return;
    };
    let operator = Operator::of(&server);
    operator.key("id_rsa", "rsa", "");
    server.authorize(&operator.ssh("id_rsa.pub"));
    let open = operator.ssh("id_ed25519");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o640)).unwrap();
    operator.write("id_ecdsa", "no key at all");
    fs::set_permissions(operator.ssh("id_ecdsa"), fs::Permissions::from_mode(0o600)).unwrap();
    let fault = operator.refused(&server).await;
    for (file, reason) in [
        ("id_rsa", "only through ssh-agent"),
        ("id_ed25519", "others may read it (mode 0640)"),
        ("id_ecdsa", "is no key"),
    ] {
        let told = |cause: &String| cause.contains(file) && cause.contains(reason);
        assert!(fault.causes.iter().any(told), "{file}: {fault:?}");
    }
    assert!(
        fault
            .causes
            .iter()
            .any(|cause| cause.contains("it takes publickey")),
        "{fault:?}"
    );
}

#[tokio::test]
async fn ssh_agent_signs_with_every_kind_of_key() {
    let Some(server) = Server::start("") else {
        return;
    };
    for kind in ["rsa", "ed25519", "ecdsa"] {
        let mut operator = Operator::new();
        let agent = Agent::start(&mut operator).await;
        operator.key("kept", kind, "");
        operator.write("known_hosts", &server.known("ed25519"));
        server.authorize(&operator.ssh("kept.pub"));
        agent.add(&operator.ssh("kept"));
        fs::remove_file(operator.ssh("kept")).unwrap();
        operator.session(&server).await.close().await;
        // With IdentitiesOnly, the public key alone says which of the agent's is meant.
        operator.write("config", "IdentitiesOnly yes\n");
        operator.refused(&server).await;
        operator.write(
            "config",
            "IdentitiesOnly yes\nIdentityFile ~/.ssh/kept.pub\n",
        );
        operator.session(&server).await.close().await;
    }
}

#[tokio::test]
async fn the_named_key_of_a_full_agent_is_tried_before_the_host_has_enough() {
    let Some(server) = Server::start("MaxAuthTries 3") else {
        return;
    };
    let mut operator = Operator::of(&server);
    let agent = Agent::start(&mut operator).await;
    for number in 0..5 {
        let name = format!("other{number}");
        operator.key(&name, "ed25519", "");
        agent.add(&operator.ssh(&name));
    }
    agent.add(&operator.ssh("id_ed25519"));
    operator.session(&server).await.close().await;
    operator.write("config", "IdentityFile ~/.ssh/none\n");
    let fault = operator.refused(&server).await;
    assert_eq!(fault.kind, FaultKind::Denied, "{fault:?}");
}

/// What a broken agent does with a connection.
fn broken_agent(operator: &mut Operator, answer: &'static [u8]) {
    let socket = operator.ssh("broken");
    let listener = UnixListener::bind(&socket).unwrap();
    operator.set("SSH_AUTH_SOCK", &socket);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|count| count > 0) {
                    stream.write_all(answer).ok();
                }
            });
        }
    });
}

#[tokio::test]
async fn an_agent_that_hangs_or_lies_is_left_for_the_next_method() {
    let Some(server) = Server::start("") else {
        return;
    };
    // Silent; a frame of 4 GiB; a million keys; not its protocol.
    let answers: [&[u8]; 4] = [
        b"",
        b"\xff\xff\xff\xff",
        b"\0\0\0\x05\x0c\0\x0f\x42\x40",
        b"\0\0\0\x01\x06",
    ];
    for answer in answers {
        let mut operator = Operator::of(&server);
        broken_agent(&mut operator, answer);
        let start = Instant::now();
        operator.session(&server).await.close().await;
        assert!(start.elapsed() < Duration::from_secs(15), "{answer:?}");
        fs::remove_file(operator.ssh("id_ed25519")).unwrap();
        let fault = operator.refused(&server).await;
        if !answer.starts_with(b"\0\0\0\x01") {
            assert!(fault.causes[0].contains("ssh-agent ("), "{fault:?}");
        }
    }
    let mut operator = Operator::of(&server);
    operator.set("SSH_AUTH_SOCK", &operator.ssh("gone"));
    operator.session(&server).await.close().await;
}

#[tokio::test]
async fn a_password_is_asked_for_only_when_the_operator_says_so() {
    for (config, prompt) in [
        ("KbdInteractiveAuthentication no", "password of"),
        // Offers questions, and has none.
        ("KbdInteractiveAuthentication yes", "password of"),
        ("UsePAM yes\nPasswordAuthentication no", "asks: Password"),
    ] {
        let Some(server) = Server::start(config) else {
            return;
        };
        let mut operator = Operator::new();
        operator.write("known_hosts", &server.known("ed25519"));
        operator.types(&[PASSWORD]);
        // Where there is no such flag, no hint names it.
        for (passwords, named) in [(Passwords::Never, 0), (Passwords::IfWanted, 1)] {
            operator.options.passwords = passwords;
            let fault = operator.refused(&server).await;
            assert_eq!(operator.asked(), [""; 0]);
            let hints = fault.hints.iter();
            let flags = hints.filter(|hint| hint.contains("--ask-password"));
            assert_eq!(flags.count(), named, "{fault:?}");
        }
        operator.options.passwords = Passwords::Asked;
        operator.types(&["mistyped", PASSWORD]);
        operator.session(&server).await.close().await;
        assert_eq!(operator.asked().len(), 2);
        assert!(
            operator.asked()[0].contains(prompt),
            "{:?}",
            operator.asked()
        );
        operator.types(&[]);
        let result = operator
            .connect(&format!("127.0.0.1:{}", server.port))
            .await;
        let fault = Fault::from(result.unwrap_err());
        assert_eq!(fault.what, "there is no terminal to ask on");
    }
}

#[tokio::test]
async fn a_key_and_a_password_are_given_where_both_are_needed() {
    let config = "AuthenticationMethods publickey,password";
    let Some(server) = Server::start(config) else {
        return;
    };
    let mut operator = Operator::of(&server);
    let fault = operator.refused(&server).await;
    assert!(
        fault
            .causes
            .iter()
            .any(|cause| cause.contains("right but not enough")),
        "{fault:?}"
    );
    operator.options.passwords = Passwords::Asked;
    operator.types(&[PASSWORD]);
    operator.session(&server).await.close().await;
}
