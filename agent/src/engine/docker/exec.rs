//! A short program in a container, of which only the end counts: its exit code, and the last that it printed.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::command;
use crate::engine::{Attach, EngineError, ExecEnd, Printed};

/// Bytes of output that are kept: the last ones.
const OUTPUT: usize = 4096;
/// Pieces under way; when it is full the program waits.
const QUEUE: usize = 16;

/// Runs it, and waits for its end; at its deadline it is ended.
pub(super) async fn run(
    api: &Api,
    container: &str,
    argv: &[String],
    deadline: Duration,
) -> Result<ExecEnd, EngineError> {
    let exec = command::prepare(api, container, argv).await?;
    let (output, mut printed) = mpsc::channel(QUEUE);
    let attach = Attach {
        output,
        deadline,
        stop: CancellationToken::new(),
    };
    let mut tail = Tail::default();
    let keep = async {
        while let Some(piece) = printed.recv().await {
            tail.push(&piece);
        }
    };
    let (ended, ()) = tokio::join!(command::run(api, &exec, attach), keep);
    Ok(ExecEnd {
        exit_code: ended?,
        output: tail.text(),
    })
}

/// The last bytes of both outputs.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, piece: &Printed) {
        let (Printed::Out(text) | Printed::Err(text)) = piece;
        self.0.extend_from_slice(text);
        let over = self.0.len().saturating_sub(OUTPUT);
        self.0.drain(..over);
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_long_output_is_kept() {
        let mut tail = Tail::default();
        tail.push(&Printed::Out(vec![b'x'; 10_000]));
        tail.push(&Printed::Err(b"the end\n".to_vec()));
        assert_eq!(tail.text().len(), OUTPUT - 1);
        assert!(tail.text().ends_with("xthe end"));
    }
}
