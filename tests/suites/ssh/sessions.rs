//! What a session does: commands with their input, output and end, and streams to the host's ports.

use std::io::Cursor;
use std::net::Ipv4Addr;
use std::time::Duration;

use controller::ssh::{Exit, Input, KEPT, SshError};
use proto::fault::{Fault, FaultKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::client::{Operator, SOON, until};
use crate::server::{SAILOR, Server, USER};

#[tokio::test]
async fn a_command_runs_and_says_how_it_ended() {
    let Some(server) = Server::start("") else {
        return;
    };
    let session = Operator::of(&server).session(&server).await;
    assert_eq!(session.user(), USER);
    let line = "echo out; echo err >&2; read word; echo \"$word\"; exit 7";
    let output = session
        .exec(line, Input::Bytes(b"given\n"), SOON)
        .await
        .unwrap();
    assert_eq!(output.stdout.text(), "out\ngiven\n");
    assert_eq!(output.stderr.text(), "err\n");
    assert_eq!(output.exit, Exit::Code(7));
    let killed = session
        .exec("kill -KILL $$", Input::Nothing, SOON)
        .await
        .unwrap();
    assert_eq!(killed.exit, Exit::Signal("KILL".into()));
    session.close().await;
}

#[tokio::test]
async fn input_is_streamed_and_output_is_bounded() {
    let Some(server) = Server::start("") else {
        return;
    };
    let session = Operator::of(&server).session(&server).await;
    let sent = vec![b'x'; 5 * KEPT];
    let mut stream = Cursor::new(sent.clone());
    let output = session
        .exec("cat; wc -c < /dev/null", Input::Stream(&mut stream), SOON)
        .await
        .unwrap();
    assert_eq!(output.stdout.bytes, sent[..KEPT]);
    assert_eq!(output.stdout.dropped, 4 * KEPT as u64 + 2);
    // A command that does not want its input is no failure, and does not hang.
    let mut stream = Cursor::new(sent);
    let output = session
        .exec("exit 3", Input::Stream(&mut stream), SOON)
        .await
        .unwrap();
    assert_eq!(output.exit, Exit::Code(3));
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended() {
    let Some(server) = Server::start("") else {
        return;
    };
    // OpenSSH 9.2 passes signals on for everybody but root.
    let target = format!("{SAILOR}@127.0.0.1:{}", server.port);
    let session = Operator::of(&server).connect(&target).await.unwrap();
    // A duration that no other sleep has tells it apart.
    let sleep = format!("sleep 600.0{}", server.port);
    let line = format!("exec {sleep}");
    let running = || runs(&sleep);
    let limit = Duration::from_secs(3);
    let (result, ()) = tokio::join!(
        session.exec(&line, Input::Nothing, limit),
        until("the command runs", running)
    );
    let error = result.unwrap_err();
    assert!(matches!(error, SshError::TimedOut { .. }), "{error:?}");
    until("the command has ended", || !running()).await;
    // The session is as good as before.
    assert!(
        session
            .exec("true", Input::Nothing, SOON)
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn a_stream_reaches_a_port_as_the_host_sees_it() {
    let Some(server) = Server::start("") else {
        return;
    };
    let session = Operator::of(&server).session(&server).await;
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = echo.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = echo.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let mut tunnel = session.forward("127.0.0.1", port).await.unwrap();
    tunnel.write_all(b"there and back").await.unwrap();
    tunnel.shutdown().await.unwrap();
    let mut back = String::new();
    tunnel.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "there and back");
    let error = session.forward("127.0.0.1", 1).await.unwrap_err();
    let fault = Fault::from(error);
    assert_eq!(fault.kind, FaultKind::Unreachable);
    assert!(
        fault.what.contains("cannot connect to 127.0.0.1:1"),
        "{fault:?}"
    );
}

/// Whether a process with this command line runs on the machine.
fn runs(line: &str) -> bool {
    let words: Vec<u8> = line
        .bytes()
        .map(|byte| if byte == b' ' { 0 } else { byte })
        .collect();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|one| std::fs::read(one.path().join("cmdline")).ok());
    lines.any(|line| line.strip_suffix(&[0]) == Some(&words))
}

#[tokio::test]
async fn a_session_that_is_cut_is_told_from_a_command_that_fails() {
    let Some(server) = Server::start("") else {
        return;
    };
    let session = Operator::of(&server).session(&server).await;
    let ready = server.path("ready");
    let line = format!("echo > {}; sleep 60", ready.display());
    let (result, ()) = tokio::join!(session.exec(&line, Input::Nothing, SOON), async {
        until("the command runs", || ready.exists()).await;
        server.cut();
    });
    let error = result.unwrap_err();
    assert!(matches!(error, SshError::Lost { .. }), "{error:?}");
    let error = session
        .exec("true", Input::Nothing, SOON)
        .await
        .unwrap_err();
    assert!(matches!(error, SshError::Lost { .. }), "{error:?}");
    assert!(session.is_closed());
}
