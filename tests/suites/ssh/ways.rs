//! Ways through other hosts, and what the configuration says about them.

use controller::ssh::Input;
use proto::fault::{Fault, FaultKind};

use crate::client::{Operator, SOON};
use crate::server::Server;

/// Three servers that let one operator in, and who knows them.
fn chain() -> Option<([Server; 3], Operator)> {
    let servers = [Server::start("")?, Server::start("")?, Server::start("")?];
    let operator = Operator::of(&servers[0]);
    for server in &servers[1..] {
        server.authorize(&operator.ssh("id_ed25519.pub"));
    }
    let known: String = servers
        .iter()
        .map(|server| server.known("ed25519"))
        .collect();
    operator.write("known_hosts", &known);
    Some((servers, operator))
}

fn block(name: &str, server: &Server, more: &str) -> String {
    format!(
        "Host {name}\n HostName 127.0.0.1\n Port {}\n {more}\n",
        server.port
    )
}

#[tokio::test]
async fn a_host_behind_two_others_is_reached_through_both() {
    let Some(([first, second, last], operator)) = chain() else {
        return;
    };
    let own = block("first", &first, "")
        + &block("second", &second, "ProxyJump first")
        + &block("last", &last, "ProxyJump second");
    let listed = block("first", &first, "")
        + &block("second", &second, "")
        + &block("last", &last, "ProxyJump first,second");
    for config in [own, listed] {
        operator.write("config", &config);
        let logins = || {
            [&first, &second, &last]
                .map(|server| server.log().matches("Accepted publickey").count())
        };
        let before = logins();
        let session = operator
            .connect("last")
            .await
            .unwrap_or_else(|error| panic!("{:?}", Fault::from(error)));
        let output = session
            .exec("echo $SSH_CONNECTION", Input::Nothing, SOON)
            .await
            .unwrap();
        assert!(
            output
                .stdout
                .text()
                .trim()
                .ends_with(&format!(" {}", last.port))
        );
        session.close().await;
        assert_eq!(logins(), before.map(|count| count + 1));
    }
}

#[tokio::test]
async fn the_host_in_between_is_named_when_it_is_the_one_that_refuses() {
    let Some(([first, second, last], operator)) = chain() else {
        return;
    };
    let config = |more: &str| {
        let text = block("first", &first, more) + &block("last", &last, "ProxyJump first");
        operator.write("config", &text);
    };
    config("User nobody");
    let fault = Fault::from(operator.connect("last").await.unwrap_err());
    assert_eq!(fault.kind, FaultKind::Denied);
    assert_eq!(fault.what, "cannot go through first");
    assert!(
        fault.causes[0].contains("does not let nobody in"),
        "{fault:?}"
    );
    // Only the host that was asked for has the given fingerprint.
    config("");
    operator.write("known_hosts", &last.known("ed25519"));
    let mut operator = operator;
    operator.options.host_key = Some(first.fingerprint("ed25519").parse().unwrap());
    let fault = Fault::from(operator.connect("last").await.unwrap_err());
    assert_eq!(fault.what, "cannot go through first");
    assert!(fault.causes[0].contains("is not known"), "{fault:?}");
    // A way that leads back to itself ends.
    operator.write(
        "known_hosts",
        &[&first, &second, &last]
            .map(|server| server.known("ed25519"))
            .concat(),
    );
    let text =
        block("first", &first, "ProxyJump second") + &block("second", &second, "ProxyJump first");
    operator.write("config", &text);
    operator.options.host_key = None;
    let fault = Fault::from(operator.connect("first").await.unwrap_err());
    assert!(
        fault
            .causes
            .iter()
            .any(|cause| cause.contains("more than 8 hosts")),
        "{fault:?}"
    );
}

#[tokio::test]
async fn names_and_files_are_taken_from_the_configuration() {
    let Some(server) = Server::start("") else {
        return;
    };
    let operator = Operator::of(&server);
    std::fs::rename(operator.ssh("id_ed25519"), operator.ssh("work")).unwrap();
    let key = server.host_key("ed25519");
    operator.write("elsewhere", &format!("the-alias {key}\n"));
    std::fs::remove_file(operator.ssh("known_hosts")).unwrap();
    operator.write(
        "config",
        &block("emilia", &server, "HostKeyAlias the-alias\n IdentityFile %d/.ssh/work\n UserKnownHostsFile ~/.ssh/elsewhere"),
    );
    let session = operator
        .connect("emilia")
        .await
        .unwrap_or_else(|error| panic!("{:?}", Fault::from(error)));
    assert_eq!(session.host(), format!("emilia:{}", server.port));
    let fault = Fault::from(operator.connect("nowhere.invalid").await.unwrap_err());
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert!(fault.causes[0].contains("not known to DNS"), "{fault:?}");
    let accepting = block(
        "new",
        &server,
        "IdentityFile ~/.ssh/work\n StrictHostKeyChecking accept-new",
    );
    operator.write("config", &accepting);
    operator.connect("new").await.unwrap();
    assert_eq!(operator.read("known_hosts"), server.known("ed25519"));
    assert_eq!(operator.asked(), [""; 0]);
}
