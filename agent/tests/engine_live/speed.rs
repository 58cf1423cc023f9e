//! How fast a long log is read.

use std::time::Instant;

use agent::engine::{Engine as _, LogRange};
use futures_util::StreamExt as _;

use crate::host::Live;

/// `LONGSHORE_LOG_CONTAINER` is a container whose lines end in consecutive numbers; compare with `docker logs`.
#[tokio::test]
#[ignore = "needs Docker and a container with many lines"]
async fn a_long_log_is_read_whole_and_fast() {
    let live = Live::new();
    let container = std::env::var("LONGSHORE_LOG_CONTAINER").unwrap();
    let started = Instant::now();
    let mut stream = live
        .engine
        .logs(&container, LogRange::default())
        .await
        .unwrap();
    let (mut count, mut bytes) = (0_u64, 0);
    while let Some(line) = stream.next().await {
        let line = line.unwrap();
        count += 1;
        bytes += line.text.len();
        let text = String::from_utf8(line.text).unwrap();
        let number = text.rsplit(' ').next().unwrap();
        assert_eq!(number.parse(), Ok(count), "{text}");
    }
    println!("{count} lines, {bytes} bytes in {:?}", started.elapsed());
}
