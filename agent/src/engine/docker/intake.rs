//! A door for tests outside this crate: what reads the engine's answers, by bytes alone.

use super::frames::{Decoder, Found};
use super::inspect::{Inspected, InspectedImage};
use crate::engine::{Container, LocalImage, RawLine};

/// What a log answer held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LogAnswer {
    /// Its lines, in order.
    pub lines: Vec<RawLine>,
    /// What the engine said of itself, in order.
    pub trouble: Vec<String>,
    /// It was no log stream from some point on.
    pub malformed: bool,
}

/// Reads a log answer that comes in these pieces.
pub fn log_answer<'a>(terminal: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> LogAnswer {
    let mut answer = LogAnswer::default();
    let mut decoder = Decoder::new(terminal);
    let mut keep = |found| match found {
        Found::Line(line) => answer.lines.push(line),
        Found::Trouble(text) => answer.trouble.push(text),
        Found::Malformed => answer.malformed = true,
    };
    for piece in pieces {
        decoder.push(piece, &mut keep);
    }
    decoder.finish(&mut keep);
    answer
}

/// Reads what the engine shows of a container; whether its output is a terminal's, and the container.
#[must_use]
pub fn container(bytes: &[u8]) -> Option<(bool, Option<Container>)> {
    let inspected: Inspected = serde_json::from_slice(bytes).ok()?;
    Some((inspected.has_terminal(), inspected.into_container()))
}

/// Reads what the engine shows of an image.
#[must_use]
pub fn image(bytes: &[u8]) -> Option<LocalImage> {
    let image: InspectedImage = serde_json::from_slice(bytes).ok()?;
    Some(image.into())
}
