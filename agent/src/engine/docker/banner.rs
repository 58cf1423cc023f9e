//! Asks whoever listens at the engine's socket for its name: cheap, where `/version` starts three programs each time.
//!
//! The answer is in headers, which bollard does not give. A request without a body, on a connection of its own and
//! answered in one piece, needs no HTTP library.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::api::Refusal;

const DEADLINE: Duration = Duration::from_secs(5);
/// Headers of a ping are a few hundred bytes.
const MOST: usize = 16 * 1024;
const REQUEST: &[u8] = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";

/// The engine's product and API versions, as it puts them into headers. Another engine has another banner.
pub(super) async fn ask(socket: &Path) -> Result<String, Refusal> {
    let answer = tokio::time::timeout(DEADLINE, exchange(socket)).await;
    let head = answer.map_err(|_| Refusal::TimedOut(DEADLINE))?;
    read(&head.map_err(|error| Refusal::Down(error.to_string()))?)
}

async fn exchange(socket: &Path) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(REQUEST).await?;
    let mut head = Vec::with_capacity(512);
    while head.len() < MOST && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(head)
}

fn read(head: &[u8]) -> Result<String, Refusal> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let status = lines.next().unwrap_or_default();
    let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    match code {
        Some(200) => {}
        Some(code) => {
            return Err(Refusal::Status(
                code,
                "it does not answer a ping".to_owned(),
            ));
        }
        None => {
            return Err(Refusal::Malformed(
                "no HTTP at the engine's socket".to_owned(),
            ));
        }
    }
    let told = lines.filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        ["server", "api-version"].contains(&name.to_ascii_lowercase().as_str())
    });
    Ok(told.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_banner_is_what_tells_engines_apart() {
        let head = b"HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nDate: now\r\nServer: Docker/26.1.5 (linux)\r\n\r\n";
        assert_eq!(
            read(head).unwrap(),
            "Api-Version: 1.45; Server: Docker/26.1.5 (linux)"
        );
    }

    #[test]
    fn who_is_no_engine_is_told_so() {
        assert!(matches!(read(b""), Err(Refusal::Malformed(_))));
        assert!(matches!(read(b"SSH-2.0-x\r\n"), Err(Refusal::Malformed(_))));
        let down = read(b"HTTP/1.1 503 X\r\n\r\n");
        assert!(matches!(down, Err(Refusal::Status(503, _))));
    }

    proptest! {
        #[test]
        fn no_head_panics(head in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(read(&head));
        }
    }
}
