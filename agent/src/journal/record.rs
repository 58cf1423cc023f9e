//! A journal's file: what is written, what the disk has for certain, and what is written once more after a failure.

use std::fs::File;
use std::io;
use std::path::Path;

use proto::event::{Event, EventKind};

use crate::witness::disk::{self, Call};

/// All events, and how many of them the file and the disk have.
pub(super) struct Record {
    file: File,
    /// In order, from number 1 on.
    pub(super) events: Vec<Event>,
    /// How many of them are written, and how many of these the disk has for certain; the rest is written once more
    /// after a failure.
    written: usize,
    safe: usize,
    /// The length of the safe part, in bytes.
    safe_length: u64,
    length: u64,
    /// What lies behind the safe part cannot be trusted.
    torn: bool,
}

impl Record {
    /// What was read of the file, whose good part has this length in bytes.
    pub(super) fn of(file: File, events: Vec<Event>, length: u64) -> Self {
        Self {
            file,
            written: events.len(),
            safe: events.len(),
            events,
            safe_length: length,
            length,
            torn: false,
        }
    }

    /// Writes what is not written; after a failure, once more from where the disk has it for certain.
    pub(super) fn settle(&mut self, path: &Path) -> io::Result<()> {
        let done = self.write(path);
        self.torn |= done.is_err();
        done
    }

    fn write(&mut self, path: &Path) -> io::Result<()> {
        if self.torn {
            disk::ask(Call::Write, path)?;
            self.file.set_len(self.safe_length)?;
            (self.written, self.length) = (self.safe, self.safe_length);
            self.torn = false;
        }
        for event in self.events.iter().skip(self.written) {
            let mut line = serde_json::to_vec(event)?;
            line.push(b'\n');
            disk::write(&mut self.file, path, &line)?;
            self.written += 1;
            self.length += line.len() as u64;
        }
        let mut unsafe_ones = self.events.iter().skip(self.safe);
        if unsafe_ones.any(|event| !is_chatter(&event.kind)) {
            disk::ask(Call::Sync, path)?;
            self.file.sync_data()?;
            (self.safe, self.safe_length) = (self.written, self.length);
        }
        Ok(())
    }
}

/// Lines and observations: they may be lost in a power cut, or be too many to keep; where the deploy stood may not.
pub(super) fn is_chatter(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::ComposeLine { .. }
            | EventKind::HookLine { .. }
            | EventKind::ServiceState { .. }
            | EventKind::ProbeAnswered { .. }
    )
}
