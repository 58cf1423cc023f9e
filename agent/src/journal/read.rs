//! Reading a journal's file back: all of it, or its last event alone.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use proto::event::Event;

use crate::files::FileError;

/// The last event is looked for in this many bytes at the end of a journal.
const TAIL: u64 = 64 * 1024;

/// The events in a deploy's folder; a torn last line, from a power cut, is left out.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read_events(folder: &Path) -> Result<Vec<Event>, FileError> {
    read_good(&folder.join("events.jsonl")).map(|(events, _)| events)
}

/// The last event in a deploy's folder, without reading the others.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn last_event(folder: &Path) -> Result<Option<Event>, FileError> {
    let path = folder.join("events.jsonl");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::new("open", &path, error)),
    };
    let mut tail = Vec::new();
    let read = || -> io::Result<()> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        file.take(TAIL).read_to_end(&mut tail)?;
        Ok(())
    };
    read().map_err(|error| FileError::new("read", &path, error))?;
    let last = tail
        .strip_suffix(b"\n")
        .and_then(|whole| whole.rsplit(|byte| *byte == b'\n').next());
    match last.and_then(|line| serde_json::from_slice(line).ok()) {
        Some(event) => Ok(Some(event)),
        // Torn, or longer than usual.
        None => Ok(read_events(folder)?.pop()),
    }
}

/// The events of a file, and the length of the part that holds them.
pub(super) fn read_good(path: &Path) -> Result<(Vec<Event>, u64), FileError> {
    let mut events: Vec<Event> = Vec::new();
    let mut good = 0;
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((events, good)),
        Err(error) => return Err(FileError::new("open", path, error)),
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = file
            .read_until(b'\n', &mut line)
            .map_err(|e| FileError::new("read", path, e))?;
        match serde_json::from_slice::<Event>(&line) {
            Ok(event) if line.ends_with(b"\n") && event.seq == events.len() as u64 + 1 => {
                events.push(event);
                good += length as u64;
            }
            _ => return Ok((events, good)),
        }
    }
}
