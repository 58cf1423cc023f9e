//! The host's own record of every call that changes something or takes a backup away: appended, flushed before the
//! call is answered, each entry bound to the one before it. While it cannot be written, no such call is let in.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::audit::{Ended, Fact, Head};
use proto::fault::{Fault, FaultKind};

use crate::files::FileError;

mod call;
mod read;
mod writer;

pub use call::{Call, Caller};
pub use read::{Lines, pages};
pub use writer::{FILE_BYTES, MOST_FILES};

use writer::Writer;

/// Ends of deploys that wait for a disk that takes them; beyond it the oldest is lost.
const MOST_WAITING: usize = 256;

/// The record in one folder.
pub struct Audit {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// `None` while the record cannot be used; each entry tries anew.
    writer: Option<Writer>,
    head: Option<Head>,
    waiting: VecDeque<Fact>,
    #[cfg(any(test, feature = "test-util"))]
    full: bool,
}

impl Audit {
    /// Takes the record over: cuts off a torn end, and tells in new entries what is wrong with it. A record that
    /// cannot be used is tried again with each entry; it keeps no agent from starting.
    #[must_use]
    pub fn open(folder: &Path) -> Self {
        let audit = Self {
            folder: folder.to_owned(),
            inner: Mutex::default(),
        };
        if let Err(error) = audit.inner().writer(&audit.folder) {
            tracing::error!(%error, cause = ?std::error::Error::source(&error), "the audit record cannot be used: nothing may be changed");
        }
        audit
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic while appending leaves at worst a torn line, which the next writer cuts off.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The newest entry; `None` when it is not known.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.inner().head
    }

    /// Whether an entry can be written now.
    ///
    /// # Errors
    /// When the file system refuses room for one.
    pub fn check(&self) -> Result<(), Fault> {
        let mut inner = self.inner();
        let room = inner.writer(&self.folder).and_then(Writer::make_room);
        room.map_err(unwritten)
    }

    /// Appends an entry, on disk when this returns.
    ///
    /// # Errors
    /// When the file system refuses; then nothing may be changed.
    pub fn append(&self, fact: Fact) -> Result<(), Fault> {
        let mut inner = self.inner();
        while let Some(earlier) = inner.waiting.front().cloned() {
            inner.append(&self.folder, earlier).map_err(unwritten)?;
            inner.waiting.pop_front();
        }
        inner.append(&self.folder, fact).map_err(unwritten)
    }

    /// Notes the end of a deploy. What has happened cannot be refused any more: when the disk is full it waits for
    /// the next entry.
    pub fn ended(&self, ended: Ended) {
        let deploy = ended.deploy;
        let fact = Fact::Ended(ended);
        if let Err(fault) = self.append(fact.clone()) {
            tracing::error!(%deploy, %fault, causes = ?fault.causes, "the end of a deploy waits to be recorded");
            let mut inner = self.inner();
            while inner.waiting.len() >= MOST_WAITING {
                inner.waiting.pop_front();
            }
            inner.waiting.push_back(fact);
        }
    }

    /// From here on every write fails, or works again.
    #[cfg(any(test, feature = "test-util"))]
    pub fn fill_the_disk(&self, full: bool) {
        self.inner().full = full;
    }
}

impl Inner {
    /// The writer, opened when there is none.
    fn writer(&mut self, folder: &Path) -> Result<&mut Writer, FileError> {
        #[cfg(any(test, feature = "test-util"))]
        if self.full {
            let full = std::io::ErrorKind::StorageFull.into();
            return Err(FileError::new("write", folder, full));
        }
        if self.writer.is_none() {
            let writer = Writer::open(folder)?;
            self.head = Some(writer.head());
            self.writer = Some(writer);
        }
        let missing = || FileError::damaged(folder, "it was just opened");
        self.writer.as_mut().ok_or_else(missing)
    }

    fn append(&mut self, folder: &Path, fact: Fact) -> Result<(), FileError> {
        let appended = self.writer(folder)?.append(fact);
        match appended {
            Ok(head) => {
                self.head = Some(head);
                Ok(())
            }
            Err(error) => {
                // What of it is on disk shows when it is read again.
                self.writer = None;
                Err(error)
            }
        }
    }
}

fn unwritten(error: FileError) -> Fault {
    let what =
        "the audit record cannot be written, and without it nothing may be changed or taken away";
    let Fault {
        what: cause,
        causes,
        hints,
        ..
    } = error.into();
    let mut fault = Fault::new(FaultKind::Failed, what).cause(cause);
    fault.causes.extend(causes);
    fault.hints = hints;
    fault
}

#[cfg(test)]
mod tests;
