//! Many streams that end at once, and messages that claim to be compressed, leave what else goes on alone.

use super::*;

/// As many as one connection may have open.
const STREAMS: usize = 250;

#[tokio::test]
async fn two_hundred_and_fifty_streams_dropped_at_once_leave_the_others_open() {
    let agent = Running::start().await;
    let ana = agent.fleet.operator("viewer");
    // As a controller has it: what matters goes through one connection, what is much through another.
    let (mut control, mut bulk) = (
        agent.connect(&ana).await.unwrap(),
        agent.connect(&ana).await.unwrap(),
    );
    let watched = control.watch(WatchRequest::default()).await;
    let mut watched = watched.unwrap().into_inner();
    for round in 0..3 {
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let stream = bulk.watch(WatchRequest::default()).await;
            streams.push(stream.unwrap().into_inner());
        }
        drop(streams);
        let there = bulk.hello(HelloRequest::default()).await;
        assert!(there.is_ok(), "round {round}: {there:?}");
        control.hello(HelloRequest::default()).await.unwrap();
        let silent = timeout(Duration::from_millis(100), watched.message()).await;
        assert!(silent.is_err(), "round {round}: the stream goes on");
    }
}

#[tokio::test]
async fn a_compressed_message_is_refused_before_anything_is_unpacked() {
    let agent = Running::start().await;
    let mut client = agent
        .connect(&agent.fleet.operator("viewer"))
        .await
        .unwrap();
    for encoding in ["gzip", "deflate", "zstd", "br"] {
        let mut request = Request::new(HelloRequest::default());
        let header = encoding.parse().unwrap();
        request.metadata_mut().insert("grpc-encoding", header);
        let status = client.hello(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{encoding}: {status}");
    }
    assert_eq!(agent.calls(), 0);
    client.hello(HelloRequest::default()).await.unwrap();
}
