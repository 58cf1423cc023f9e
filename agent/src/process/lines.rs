//! A child's outputs, cut into lines of bounded length.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::mpsc;

use super::Printed;

/// Bytes of one line; a longer one comes in pieces.
const LINE: u64 = 64 * 1024;
/// Lines that are kept for whoever asks what went wrong.
const KEPT: usize = 100;

/// The last lines of both outputs, in the order in which they were read.
#[derive(Default)]
pub(super) struct Tail(Mutex<VecDeque<String>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Oldest first.
    pub(super) fn into_lines(self) -> Vec<String> {
        let lines = self.0.into_inner();
        lines.unwrap_or_else(PoisonError::into_inner).into()
    }
}

/// The first bytes of an output.
pub(super) struct Collected {
    /// What was kept.
    pub(super) bytes: Vec<u8>,
    /// Something was not.
    pub(super) cut: bool,
    cap: usize,
}

impl Collected {
    /// Keeps `cap` bytes.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            bytes: Vec::new(),
            cut: false,
            cap,
        }
    }

    /// What was kept, line by line.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.bytes
            .split_inclusive(|b| *b == b'\n')
            .map(text)
            .collect()
    }
}

/// A line as text, without its end.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).into_owned()
}

/// Sends lines until the output ends. A pipe that fails to read has ended.
pub(super) async fn pump(
    output: Option<impl AsyncRead + Unpin>,
    tail: &Tail,
    lines: &mpsc::Sender<String>,
) {
    let Some(output) = output else { return };
    let mut reader = BufReader::new(output);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut reader).take(LINE).read_until(b'\n', &mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let line = text(&bytes);
        tail.push(line.clone());
        // When nobody listens any more: keep reading, or the child would stop at a full pipe.
        lines.send(line).await.ok();
    }
}

/// Sends pieces until the output ends.
pub(super) async fn pour(
    output: Option<impl AsyncRead + Unpin>,
    into: &mpsc::Sender<Printed>,
    as_piece: fn(Vec<u8>) -> Printed,
) {
    let Some(mut output) = output else { return };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        // When nobody listens any more: keep reading, or the child would stop at a full pipe.
        into.send(as_piece(buffer[..count].to_vec())).await.ok();
    }
}

/// Keeps bytes up to the cap and reads the rest.
pub(super) async fn collect(output: Option<impl AsyncRead + Unpin>, into: &mut Collected) {
    let Some(mut output) = output else { return };
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = output.read(&mut buffer).await {
        let room = into.cap - into.bytes.len();
        into.cut |= count > room;
        into.bytes.extend_from_slice(&buffer[..count.min(room)]);
    }
}
