//! Many at once: hanging handshakes, slow ones, and more connections than there is room for.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn half_open(agent: &Running, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(agent.address).await.unwrap();
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
        let hanging = half_open(&agent, count).await;
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
