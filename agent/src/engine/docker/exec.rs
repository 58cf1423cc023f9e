//! A program run inside a container: made, started, read to its end, and asked for its exit code.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::api::{Api, Ask, Refusal};
use super::request::encoded;
use super::{QUICK, get};
use crate::engine::{EngineError, ExecEnd};

/// Bytes of output that are kept: the last ones.
const OUTPUT: usize = 4096;
/// The output may end a moment before the program does.
const ASK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    running: bool,
    exit_code: Option<i64>,
}

/// Runs it, and waits for its end.
pub(super) async fn run(
    api: &Api,
    container: &str,
    argv: &[String],
    deadline: Duration,
) -> Result<ExecEnd, EngineError> {
    let what = format!("running a program in container {container}");
    let path = format!("/containers/{}/exec", encoded(container)?);
    match timeout(deadline, run_at(api, path, argv)).await {
        Ok(end) => end.map_err(|refusal| refusal.into_error(&what)),
        Err(_) => Err(EngineError::TimedOut {
            what,
            after: deadline,
        }),
    }
}

async fn run_at(api: &Api, path: String, argv: &[String]) -> Result<ExecEnd, Refusal> {
    let make = json!({ "AttachStdout": true, "AttachStderr": true, "Cmd": argv });
    let made: Made = api.json(&post(path, make)).await?;
    let id = encoded(&made.id).map_err(|error| Refusal::Malformed(error.to_string()))?;
    let start = post(
        format!("/exec/{id}/start"),
        json!({ "Detach": false, "Tty": false }),
    );
    let mut body = api.stream(&start).await?;
    let mut output = Output::default();
    while let Some(chunk) = body.try_next().await? {
        output.push(&chunk);
    }
    loop {
        let ask = get("a program's end".to_owned(), format!("/exec/{id}/json"));
        let state: State = api.json(&ask).await?;
        if let Some(exit_code) = state.exit_code.filter(|_| !state.running) {
            let output = output.text();
            return Ok(ExecEnd { exit_code, output });
        }
        sleep(ASK_AGAIN).await;
    }
}

fn post(path: String, body: serde_json::Value) -> Ask<'static> {
    Ask {
        method: "POST",
        body: Some(body.to_string()),
        deadline: QUICK,
        ..get("running a program".to_owned(), path)
    }
}

/// The last bytes of both outputs: pieces with eight bytes in front, of which the last four say how long it is.
#[derive(Default)]
struct Output {
    header: Vec<u8>,
    left: usize,
    kept: Vec<u8>,
}

impl Output {
    fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (head, rest) = bytes.split_at(bytes.len().min(8 - self.header.len()));
                self.header.extend_from_slice(head);
                bytes = rest;
                if let [_, _, _, _, a, b, c, d] = *self.header {
                    self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.header.clear();
                }
                continue;
            }
            let (text, rest) = bytes.split_at(bytes.len().min(self.left));
            self.left -= text.len();
            self.kept.extend_from_slice(text);
            let over = self.kept.len().saturating_sub(OUTPUT);
            self.kept.drain(..over);
            bytes = rest;
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn piece(text: &str) -> Vec<u8> {
        let mut bytes = vec![1, 0, 0, 0];
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let mut output = Output::default();
        output.push(&piece(&"x".repeat(10_000)));
        output.push(&piece("the end\n"));
        assert_eq!(output.text().len(), OUTPUT - 1);
        assert!(output.text().ends_with("xthe end"));
    }

    proptest! {
        #[test]
        fn pieces_may_come_cut_anywhere(texts in prop::collection::vec("[a-z]{0,20}", 0..6), at in 1usize..9) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| piece(text)).collect();
            let mut output = Output::default();
            for chunk in bytes.chunks(at) {
                output.push(chunk);
            }
            prop_assert_eq!(output.text(), texts.concat());
        }

        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut output = Output::default();
            output.push(&bytes);
            output.text();
        }
    }
}
