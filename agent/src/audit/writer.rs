//! Appends to the record's newest file, begins another one when it is full, and lets the oldest go.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use proto::audit::{Break, Chain, Entry, Fact, Head, seal};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::read::{Lines, files};
use crate::files::{self, FileError};
use crate::{clock, witness};

/// Bytes of one file; the next entry begins another.
pub const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Files that are kept.
pub const MOST_FILES: usize = 64;
/// Bytes that are asked of the disk ahead.
const ROOM: u64 = 64 * 1024;
/// More than any entry takes.
const ENTRY_BYTES: u64 = 8 * 1024;

/// The end of the record.
pub(super) struct Writer {
    folder: PathBuf,
    /// The number of each file's first entry, the oldest first; the last is being written.
    files: VecDeque<u64>,
    file: File,
    path: PathBuf,
    bytes: u64,
    /// Bytes that the disk has promised.
    room: u64,
    head: Head,
    dropped: u64,
}

/// What was found in the record at the start.
struct Found {
    chain: Chain,
    /// Places that an earlier agent has told of already, by the number of the entry before.
    told: Vec<u64>,
    bytes: u64,
    torn: u64,
}

impl Writer {
    /// Reads the record and goes on behind it.
    pub(super) fn open(folder: &Path) -> Result<Self, FileError> {
        files::private_dir(folder)?;
        let known = files(folder)?;
        let found = Found::read(&known)?;
        let numbers: VecDeque<u64> = known.iter().map(|(number, _)| *number).collect();
        let first = numbers.back().copied().unwrap_or(1);
        let (path, file) = create(folder, first)?;
        file.set_len(found.bytes)
            .map_err(|error| FileError::new("mend", &path, error))?;
        let mut writer = Self {
            folder: folder.to_owned(),
            files: if numbers.is_empty() {
                [1].into()
            } else {
                numbers
            },
            file,
            path,
            bytes: found.bytes,
            room: 0,
            head: found.chain.head(),
            dropped: found.chain.dropped(),
        };
        writer.drop_oldest();
        writer.tell(found)?;
        Ok(writer)
    }

    /// Tells what is wrong with what an earlier agent left, once.
    fn tell(&mut self, found: Found) -> Result<(), FileError> {
        if found.torn > 0 {
            tracing::warn!(
                bytes = found.torn,
                "a torn end was cut off the audit record"
            );
            self.append(Fact::Torn { bytes: found.torn })?;
        }
        for Break { after, why } in found.chain.finish().breaks {
            if !found.told.contains(&after) {
                tracing::error!(after, %why, "the audit record was changed");
                self.append(Fact::Broken { after, why })?;
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn pretend_full(&mut self) {
        self.bytes = FILE_BYTES;
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Has the disk promise room for the next entries.
    pub(super) fn make_room(&mut self) -> Result<(), FileError> {
        if self.room >= self.bytes + ENTRY_BYTES {
            return Ok(());
        }
        let (offset, length) = (self.bytes, ROOM);
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset, length) {
            Ok(()) => self.room = offset + length,
            // Not every file system can promise.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(error) => return Err(FileError::new("write", &self.path, error.into())),
        }
        Ok(())
    }

    /// Appends an entry, flushed to the disk.
    pub(super) fn append(&mut self, fact: Fact) -> Result<Head, FileError> {
        if self.bytes >= FILE_BYTES {
            self.begin_file()?;
        }
        self.write(fact)
    }

    fn write(&mut self, fact: Fact) -> Result<Head, FileError> {
        let entry = Entry {
            number: self.head.number.saturating_add(1),
            at_millis: clock::unix_millis(),
            fact,
            previous: self.head.hash,
        };
        let failed = |error| FileError::new("write", &self.path, error);
        let (mut line, hash) = seal(&entry).map_err(|error| failed(io::Error::other(error)))?;
        line.push('\n');
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // Half an entry would be told of as torn; where even this fails, it is.
            self.file.set_len(self.bytes).ok();
            return Err(failed(error));
        }
        self.file.sync_data().map_err(failed)?;
        witness::changed(&self.path);
        self.bytes += line.len() as u64;
        self.head = Head {
            number: entry.number,
            hash,
        };
        Ok(self.head)
    }

    /// Goes on in a new file, whose first entry says what is no longer kept.
    fn begin_file(&mut self) -> Result<(), FileError> {
        let number = self.head.number.saturating_add(1);
        let (path, file) = create(&self.folder, number)?;
        (self.path, self.file) = (path, file);
        (self.bytes, self.room) = (0, 0);
        self.files.push_back(number);
        let too_many = self.files.len().saturating_sub(MOST_FILES);
        if let Some(oldest) = self.files.get(too_many).filter(|_| too_many > 0) {
            self.dropped = oldest.saturating_sub(1);
        }
        self.write(Fact::File {
            dropped: self.dropped,
        })?;
        self.drop_oldest();
        Ok(())
    }

    /// Removes the files of which the record says that they are no longer kept.
    fn drop_oldest(&mut self) {
        while let Some(next) = self.files.get(1)
            && *next <= self.dropped.saturating_add(1)
        {
            let Some(oldest) = self.files.pop_front() else {
                return;
            };
            if let Err(error) = files::remove(&path_of(&self.folder, oldest)) {
                tracing::warn!(%error, "stays until the next start");
            }
        }
    }
}

impl Found {
    fn read(files: &[(u64, PathBuf)]) -> Result<Self, FileError> {
        let mut found = Self {
            chain: Chain::new(None),
            told: Vec::new(),
            bytes: 0,
            torn: 0,
        };
        for (_, path) in files {
            let mut lines = Lines::open(path)?;
            while let Some(line) = lines.next_line()? {
                if let Some(Fact::Broken { after, .. }) =
                    found.chain.take(&line).map(|entry| entry.fact)
                {
                    found.told.push(after);
                }
            }
            // Only the newest file may be torn; the end of another one is missing in the chain.
            (found.bytes, found.torn) = lines.bytes();
        }
        Ok(found)
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.jsonl"))
}

fn create(folder: &Path, number: u64) -> Result<(PathBuf, File), FileError> {
    let path = path_of(folder, number);
    let create = || -> io::Result<File> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)?;
        File::open(folder)?.sync_all()?;
        Ok(file)
    };
    let created = create().map_err(|error| FileError::new("create", &path, error));
    Ok((path, created?))
}
