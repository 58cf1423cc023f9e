//! The bytes of a log answer, cut into log lines.
//!
//! Without a terminal the engine frames each log entry: eight bytes of header, then a timestamp and the text.
//! With a terminal the entries follow each other bare. Which it is, only the container's settings can say. A line
//! over 16 KiB comes as several entries, each with a timestamp of its own; only the last ends with a newline.

use proto::log::Stream;

use super::stamp;
use crate::engine::RawLine;

#[cfg(test)]
mod tests;

/// Bytes of one line; a longer one comes in pieces.
const LINE_BYTES: usize = 1024 * 1024;
/// Bytes of one frame. Log drivers cut entries at 16 KiB or 1 MB, so this is no frame but a stream gone wrong.
const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// Where log drivers cut a long line: most of them, and the one named `local`.
const CUTS: [usize; 2] = [16 * 1024, 1_000_000];

/// What the decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A line.
    Line(RawLine),
    /// The engine says that it cannot go on reading.
    Trouble(String),
    /// This is not a log stream; nothing can follow.
    Malformed,
}

/// Takes bytes as they come, gives lines as they are complete.
pub(super) struct Decoder {
    bytes: Vec<u8>,
    /// What has been read of `bytes`.
    done: usize,
    shape: Shape,
}

enum Shape {
    Framed {
        stdout: Line,
        stderr: Line,
    },
    Bare {
        line: Line,
        inside: bool,
        entry: usize,
    },
    Broken,
}

/// A line under way.
#[derive(Default)]
struct Line {
    at: i64,
    text: Vec<u8>,
    /// Its last entry had no newline: the next one goes on.
    open: bool,
}

impl Decoder {
    /// `terminal` is the container's own setting.
    pub(super) fn new(terminal: bool) -> Self {
        let shape = if terminal {
            Shape::Bare {
                line: Line::default(),
                inside: false,
                entry: 0,
            }
        } else {
            Shape::Framed {
                stdout: Line::default(),
                stderr: Line::default(),
            }
        };
        Self {
            bytes: Vec::new(),
            done: 0,
            shape,
        }
    }

    /// Reads more; lines go to `out`.
    pub(super) fn push(&mut self, chunk: &[u8], out: &mut impl FnMut(Found)) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(chunk);
        self.work(false, out);
    }

    /// The stream has ended; what is left of a line is a line.
    pub(super) fn finish(&mut self, out: &mut impl FnMut(Found)) {
        self.work(true, out);
        let mut flush = |line: &mut Line, stream| {
            if line.open && !line.text.is_empty() {
                line.emit(stream, out);
            }
        };
        match &mut self.shape {
            Shape::Framed { stdout, stderr } => {
                flush(stdout, Stream::Stdout);
                flush(stderr, Stream::Stderr);
            }
            Shape::Bare { line, .. } => flush(line, Stream::Stdout),
            Shape::Broken => {}
        }
    }

    fn work(&mut self, last: bool, out: &mut impl FnMut(Found)) {
        let bytes = &self.bytes;
        let broken = match &mut self.shape {
            Shape::Framed { stdout, stderr } => {
                read_frames(bytes, &mut self.done, stdout, stderr, out).is_err()
            }
            Shape::Bare {
                line,
                inside,
                entry,
            } => {
                while read_bare(bytes, &mut self.done, line, inside, entry, last, out) {}
                false
            }
            Shape::Broken => {
                self.done = bytes.len();
                false
            }
        };
        if broken {
            self.shape = Shape::Broken;
            out(Found::Malformed);
        }
    }
}

impl Line {
    fn emit(&mut self, stream: Stream, out: &mut impl FnMut(Found)) {
        out(Found::Line(RawLine {
            stream,
            at_nanos: self.at,
            text: std::mem::take(&mut self.text),
        }));
    }

    /// Adds to the line; too much of it goes out as a piece.
    fn add(&mut self, mut text: &[u8], stream: Stream, out: &mut impl FnMut(Found)) {
        self.open = true;
        while self.text.len() + text.len() > LINE_BYTES {
            let (now, later) = text.split_at(LINE_BYTES - self.text.len());
            self.text.extend_from_slice(now);
            self.emit(stream, out);
            text = later;
        }
        self.text.extend_from_slice(text);
    }

    fn end(&mut self, stream: Stream, out: &mut impl FnMut(Found)) {
        self.emit(stream, out);
        self.open = false;
    }
}

/// Not a frame.
struct Malformed;

fn read_frames(
    bytes: &[u8],
    done: &mut usize,
    stdout: &mut Line,
    stderr: &mut Line,
    out: &mut impl FnMut(Found),
) -> Result<(), Malformed> {
    while let Some((header, rest)) = bytes.get(*done..).and_then(<[u8]>::split_first_chunk::<8>) {
        let [kind, 0, 0, 0, length @ ..] = *header else {
            return Err(Malformed);
        };
        let length = u32::from_be_bytes(length) as usize;
        if length > FRAME_BYTES {
            return Err(Malformed);
        }
        let Some(entry) = rest.get(..length) else {
            break;
        };
        *done += header.len() + length;
        match kind {
            1 => read_entry(entry, stdout, Stream::Stdout, out),
            2 => read_entry(entry, stderr, Stream::Stderr, out),
            3 => out(Found::Trouble(
                String::from_utf8_lossy(entry).trim_end().to_owned(),
            )),
            _ => return Err(Malformed),
        }
    }
    Ok(())
}

/// One log entry: a line, or a piece of one.
fn read_entry(entry: &[u8], line: &mut Line, stream: Stream, out: &mut impl FnMut(Found)) {
    let mut text = entry;
    if let Some(at) = stamp::of_entry(entry) {
        text = &entry[stamp::LOG_STAMP..];
        if !line.open {
            line.at = at;
        }
    }
    while let Some(end) = text.iter().position(|b| *b == b'\n') {
        line.add(&text[..end], stream, out);
        line.end(stream, out);
        text = &text[end + 1..];
    }
    if !text.is_empty() {
        line.add(text, stream, out);
    }
}

/// One step through a terminal's output; whether there may be another.
fn read_bare(
    bytes: &[u8],
    done: &mut usize,
    line: &mut Line,
    inside: &mut bool,
    entry: &mut usize,
    last: bool,
    out: &mut impl FnMut(Found),
) -> bool {
    let rest = &bytes[*done..];
    if rest.is_empty() {
        return false;
    }
    if !*inside || CUTS.contains(entry) {
        match stamp_ahead(rest, last) {
            Ahead::Stamp(at) => {
                *done += stamp::LOG_STAMP;
                line.at = if line.open { line.at } else { at };
                (*inside, *entry) = (true, 0);
                return true;
            }
            Ahead::Unknown => return false,
            Ahead::Text => *inside = true,
        }
    }
    // Up to the next place where a driver may have cut.
    let room = CUTS
        .iter()
        .find(|cut| **cut > *entry)
        .map(|cut| cut - *entry);
    let end = rest.iter().position(|b| *b == b'\n');
    let take = end.unwrap_or(rest.len()).min(room.unwrap_or(usize::MAX));
    line.add(&rest[..take], Stream::Stdout, out);
    *entry += take;
    *done += take;
    if end == Some(take) {
        *done += 1;
        // The terminal turned the program's newline into two characters.
        if line.text.last() == Some(&b'\r') {
            line.text.pop();
        }
        line.end(Stream::Stdout, out);
        (*inside, *entry) = (false, 0);
    }
    true
}

enum Ahead {
    Stamp(i64),
    Text,
    /// Too few bytes to say.
    Unknown,
}

fn stamp_ahead(rest: &[u8], last: bool) -> Ahead {
    if let Some(at) = stamp::of_entry(rest) {
        return Ahead::Stamp(at);
    }
    let may_become = rest.len() < stamp::LOG_STAMP && rest[0].is_ascii_digit();
    if may_become && !last && !rest.contains(&b'\n') {
        Ahead::Unknown
    } else {
        Ahead::Text
    }
}
