//! Reads the record's lines from the oldest to the newest, in pages, without holding it in memory.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use proto::audit::number_of;

use crate::files::FileError;

/// Longer lines are no entries: they are read in pieces of this size.
const LONGEST: u64 = 64 * 1024;
/// Bytes of a page, a line more or less.
const PAGE_BYTES: usize = 256 * 1024;
/// Entries of a page.
const PAGE_LINES: usize = 1000;

/// A file of the record: the number of its first entry, and where it is.
pub(super) type Numbered = (u64, PathBuf);

/// The record's files, the oldest first.
pub(super) fn files(folder: &Path) -> Result<Vec<Numbered>, FileError> {
    let read = |error| FileError::new("list", folder, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".jsonl"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

/// The lines of one file, without their newlines.
pub struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes up to the end of the last whole line.
    whole: u64,
    /// Bytes behind it.
    torn: u64,
}

impl Lines {
    /// From the beginning of the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = File::open(path).map_err(|error| FileError::new("open", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::new(file),
            whole: 0,
            torn: 0,
        })
    }

    /// The next whole line; what stands behind the last newline is left out.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, FileError> {
        let mut line = Vec::new();
        let read = self
            .file
            .by_ref()
            .take(LONGEST)
            .read_until(b'\n', &mut line);
        let read = read.map_err(|error| FileError::new("read", &self.path, error))? as u64;
        if line.pop_if(|byte| *byte == b'\n').is_some() || read == LONGEST {
            self.whole += self.torn + read;
            self.torn = 0;
            return Ok(Some(line));
        }
        self.torn = read;
        Ok(None)
    }

    /// Bytes of all whole lines, and bytes behind them.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.whole, self.torn)
    }
}

/// Calls `page` with one page after the other: entries behind the one numbered `after`, `limit` at most (0: all),
/// until it answers that nobody listens.
///
/// # Errors
/// When the record cannot be read.
pub fn pages(
    folder: &Path,
    after: u64,
    limit: u64,
    mut page: impl FnMut(Vec<Vec<u8>>) -> bool,
) -> Result<(), FileError> {
    let mut left = if limit == 0 { u64::MAX } else { limit };
    let mut pending = Page::default();
    let mut passed = after == 0;
    for (_, path) in files(folder)? {
        let mut lines = match Lines::open(&path) {
            // The oldest one may go at any time.
            Err(error) if error.is_missing() => continue,
            other => other?,
        };
        while let Some(line) = lines.next_line()? {
            passed = passed || number_of(&line).is_some_and(|number| number > after);
            if !passed {
                continue;
            }
            pending.add(line);
            left -= 1;
            if (pending.is_full() || left == 0) && !page(pending.turn()) {
                return Ok(());
            }
            if left == 0 {
                return Ok(());
            }
        }
    }
    if !pending.lines.is_empty() {
        page(pending.turn());
    }
    Ok(())
}

#[derive(Default)]
struct Page {
    lines: Vec<Vec<u8>>,
    bytes: usize,
}

impl Page {
    fn add(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push(line);
    }

    fn is_full(&self) -> bool {
        self.bytes >= PAGE_BYTES || self.lines.len() >= PAGE_LINES
    }

    fn turn(&mut self) -> Vec<Vec<u8>> {
        self.bytes = 0;
        std::mem::take(&mut self.lines)
    }
}
