//! A deploy's numbered events: on disk before anybody is told, replayed after any number, followed to the end.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::event::{Event, EventKind, Outcome};
use proto::fault::Fault;
use tokio::sync::{broadcast, watch};

use crate::clock;
use crate::files::{self, FileError};
use crate::redact::Redactor;
use crate::store::Reserve;
use crate::witness;
use crate::witness::disk::{self, Call};

use self::mask::masked;
use self::read::read_good;
pub use self::read::{last_event, read_events};
use self::record::{Record, is_chatter};
pub use self::watcher::Watcher;

mod mask;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod watcher;

/// Events kept of one deploy. Beyond it Compose's lines are dropped, with one warning; states never are.
const MOST_EVENTS: usize = 10_000;
/// Progress that a slow watcher may lag behind before it loses some.
const PROGRESS_QUEUE: usize = 256;

/// The journal of one deploy, shared by its task and its watchers.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    redactor: Redactor,
    record: Mutex<Record>,
    /// How many durable events there are; a watcher reads the list up to it.
    count: watch::Sender<usize>,
    /// Progress, for whoever is fast enough.
    progress: broadcast::Sender<Event>,
}

impl Journal {
    /// Starts a journal in a deploy's folder.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(folder: &Path, redactor: Redactor) -> Result<Self, FileError> {
        files::private_dir(folder)?;
        let path = folder.join("events.jsonl");
        let create = || {
            disk::ask(Call::Make, &path)?;
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)
        };
        let file = create().map_err(|error| FileError::new("create", &path, error))?;
        let (events, good) = read_good(&path)?;
        // A torn last line, from a power cut, would swallow what is appended to it.
        file.set_len(good)
            .map_err(|error| FileError::new("mend", &path, error))?;
        Ok(Self::over(path, Record::of(file, events, good), redactor))
    }

    fn over(path: PathBuf, record: Record, redactor: Redactor) -> Self {
        let (count, _) = watch::channel(record.events.len());
        let (progress, _) = broadcast::channel(PROGRESS_QUEUE);
        let record = Mutex::new(record);
        Self {
            shared: Arc::new(Shared {
                path,
                redactor,
                record,
                count,
                progress,
            }),
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A panic while appending leaves a list that is still good to read.
        self.shared
            .record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what happened and tells the watchers. A disk that refuses it is logged, and the deploy goes on: what
    /// runs matters more than its story. What could not be written is written with what follows.
    pub fn push(&self, kind: EventKind) {
        let kind = masked(&self.shared.redactor, kind);
        if !kind.is_durable() {
            let event = Event {
                seq: 0,
                at_millis: clock::unix_millis(),
                kind,
            };
            // Nobody watching is fine.
            drop(self.shared.progress.send(event));
            return;
        }
        let mut record = self.record();
        let Some(kind) = within_bounds(kind, record.events.len()) else {
            return;
        };
        let seq = record.events.len() as u64 + 1;
        let event = Event {
            seq,
            at_millis: clock::unix_millis(),
            kind,
        };
        record.events.push(event);
        self.settle(&mut record);
        witness::changed(&self.shared.path);
        self.shared.count.send_replace(record.events.len());
    }

    /// Writes what is not written; where there is no room, with the room that is kept for it.
    fn settle(&self, record: &mut Record) {
        let path = &self.shared.path;
        let mut done = record.settle(path);
        if done.as_ref().is_err_and(files::no_room)
            && let Some(root) = path.ancestors().nth(3)
        {
            Reserve::of(root).release();
            done = record.settle(path);
        }
        if let Err(error) = done {
            tracing::error!(path = %path.display(), %error, "an event is not journaled yet");
        }
    }

    /// Writes what could not be written before.
    ///
    /// # Errors
    /// When the disk still refuses it.
    pub fn settled(&self) -> Result<(), FileError> {
        let path = &self.shared.path;
        let done = self.record().settle(path);
        done.map_err(|error| FileError::new("write", path, error))
    }

    /// What is told of a hook: nothing, that it has begun, or how it ended.
    #[must_use]
    pub fn hook(&self, index: u32) -> Option<Option<Outcome>> {
        let record = self.record();
        let mut newest = record.events.iter().rev();
        newest.find_map(|event| match &event.kind {
            EventKind::HookStarted { hook, .. } if *hook == index => Some(None),
            EventKind::HookFinished { hook, outcome, .. } if *hook == index => Some(Some(*outcome)),
            _ => None,
        })
    }

    /// A fault without the secrets of this deploy.
    #[must_use]
    pub fn mask(&self, fault: Fault) -> Fault {
        self.shared.redactor.fault(fault)
    }

    /// Whether nothing will follow.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.record()
            .events
            .last()
            .is_some_and(|event| event.kind.is_last())
    }

    /// A reader that starts after the event numbered `after`.
    #[must_use]
    pub fn watch(&self, after: u64) -> Watcher {
        Watcher {
            journal: self.clone(),
            next: usize::try_from(after).unwrap_or(usize::MAX),
            count: self.shared.count.subscribe(),
            progress: self.shared.progress.subscribe(),
            over: false,
        }
    }
}

fn within_bounds(kind: EventKind, count: usize) -> Option<EventKind> {
    let chatter = is_chatter(&kind);
    match count.cmp(&MOST_EVENTS) {
        std::cmp::Ordering::Equal if chatter => Some(EventKind::Warning {
            text: "further lines of this deploy are not recorded".to_owned(),
        }),
        std::cmp::Ordering::Greater if chatter => None,
        _ => Some(kind),
    }
}
