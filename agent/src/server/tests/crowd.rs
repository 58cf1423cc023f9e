//! Many at once: hanging handshakes, slow ones, and more connections than there is room for.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::*;

async fn half_open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The beginning of a ClientHello, never its end.
        stream.write_all(b"\x16\x03\x01\x02").await.ok();
        streams.push(stream);
    }
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_handshakes_keep_no_operator_out() {
    let agent = Running::start().await;
    for count in [200, 600] {
        let hanging = half_open(agent.address, count).await;
        let begun = Instant::now();
        assert!(agent.answers().await);
        let waited = begun.elapsed();
        assert!(
            waited < Duration::from_secs(2),
            "{count} kept an operator waiting for {waited:?}"
        );
        drop(hanging);
    }
}

#[tokio::test]
async fn a_handshake_that_hangs_is_ended() {
    let handshake = Duration::from_millis(200);
    let agent = Running::with(Limits {
        handshake,
        ..Limits::default()
    })
    .await;
    let mut silent = TcpStream::connect(agent.address).await.unwrap();
    let closed = timeout(Duration::from_secs(3), silent.read(&mut [0; 1])).await;
    assert!(!matches!(closed.expect("it is closed"), Ok(1..)));
}

#[tokio::test]
async fn connections_are_counted_and_given_back() {
    let agent = Running::with(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let operator = agent.fleet.operator("viewer");
    let first = agent.connect(&operator).await.unwrap();
    let mut second = agent.connect(&operator).await.unwrap();
    second.hello(HelloRequest::default()).await.unwrap();
    let third = match agent.connect(&operator).await {
        Ok(mut client) => client.hello(HelloRequest::default()).await.is_ok(),
        Err(_) => false,
    };
    assert!(!third, "there is room for two");
    drop(first);
    let begun = Instant::now();
    let mut back = false;
    while !back && begun.elapsed() < Duration::from_secs(5) {
        tokio::task::yield_now().await;
        back = match agent.connect(&operator).await {
            Ok(mut client) => client.hello(HelloRequest::default()).await.is_ok(),
            Err(_) => false,
        };
    }
    assert!(back, "a closed connection gives its place back");
}

const FOLDER: &str = "LONGSHORE_TEST_FOLDER";

/// An agent in a process of its own, for a test that takes its descriptors away.
#[tokio::test]
#[ignore = "started by running_out_of_descriptors_keeps_no_operator_out"]
async fn agent_until_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return; // run along with all other ignored tests
    };
    let trust = Arc::new(Trust::load(folder.as_ref()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("\nlistening {}", listener.local_addr().unwrap());
    let audit = Arc::new(Audit::open(&Path::new(&folder).join("audit")));
    let stop = CancellationToken::new();
    serve(listener, trust, Stub::default(), audit, stop)
        .await
        .unwrap();
}

#[tokio::test]
async fn running_out_of_descriptors_keeps_no_operator_out() {
    let mut agent = Running::start().await;
    let inner =
        "exec \"$0\" --ignored --exact --nocapture server::tests::crowd::agent_until_killed";
    let mut child = Command::new("sh")
        .args(["-c", &format!("ulimit -n 40; {inner}")])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, agent.folder.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = loop {
        let line = timeout(Duration::from_secs(20), lines.next_line()).await;
        let line = line.unwrap().unwrap().expect("the agent starts");
        if let Some(address) = line.strip_prefix("listening ") {
            break address.parse().unwrap();
        }
    };
    agent.address = address;
    let hanging = half_open(address, 120).await;
    let begun = Instant::now();
    assert!(agent.answers().await);
    let waited = begun.elapsed();
    assert!(
        waited < Duration::from_secs(2),
        "an operator waited for {waited:?}"
    );
    drop(hanging);
    child.kill().await.unwrap();
}
