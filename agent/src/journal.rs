//! A deploy's numbered events: on disk before anybody is told, replayed after any number, followed to the end.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
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

/// Events kept of one deploy. Beyond it Compose's lines are dropped, with one warning; states never are.
const MOST_EVENTS: usize = 10_000;
/// Progress that a slow watcher may lag behind before it loses some.
const PROGRESS_QUEUE: usize = 256;
/// The last event is looked for in this many bytes at the end of a journal.
const TAIL: u64 = 64 * 1024;

/// The journal of one deploy, shared by its task and its watchers.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    redactor: Redactor,
    inner: Mutex<Inner>,
    /// How many durable events there are; a watcher reads the list up to it.
    count: watch::Sender<usize>,
    /// Progress, for whoever is fast enough.
    progress: broadcast::Sender<Event>,
}

struct Inner {
    file: File,
    events: Vec<Event>,
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
        Ok(Self::over(path, Inner::of(file, events, good), redactor))
    }

    fn over(path: PathBuf, inner: Inner, redactor: Redactor) -> Self {
        let (count, _) = watch::channel(inner.events.len());
        let (progress, _) = broadcast::channel(PROGRESS_QUEUE);
        let inner = Mutex::new(inner);
        Self {
            shared: Arc::new(Shared {
                path,
                redactor,
                inner,
                count,
                progress,
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic while appending leaves a list that is still good to read.
        self.shared
            .inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what happened and tells the watchers. A disk that refuses it is logged, and the deploy goes on: what
    /// runs matters more than its story. What could not be written is written with what follows.
    pub fn push(&self, kind: EventKind) {
        let kind = self.masked(kind);
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
        let mut inner = self.inner();
        let Some(kind) = within_bounds(kind, inner.events.len()) else {
            return;
        };
        let seq = inner.events.len() as u64 + 1;
        let event = Event {
            seq,
            at_millis: clock::unix_millis(),
            kind,
        };
        inner.events.push(event);
        self.settle(&mut inner);
        witness::changed(&self.shared.path);
        self.shared.count.send_replace(inner.events.len());
    }

    /// Writes what is not written; where there is no room, with the room that is kept for it.
    fn settle(&self, inner: &mut Inner) {
        let path = &self.shared.path;
        let mut done = inner.settle(path);
        if done.as_ref().is_err_and(files::no_room)
            && let Some(root) = path.ancestors().nth(3)
        {
            Reserve::of(root).release();
            done = inner.settle(path);
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
        let done = self.inner().settle(path);
        done.map_err(|error| FileError::new("write", path, error))
    }

    fn masked(&self, kind: EventKind) -> EventKind {
        let redactor = &self.shared.redactor;
        match kind {
            EventKind::ComposeLine { text } => EventKind::ComposeLine {
                text: redactor.line(text),
            },
            EventKind::Warning { text } => EventKind::Warning {
                text: redactor.line(text),
            },
            EventKind::Finished {
                outcome,
                state,
                revision,
                fault,
            } => {
                let fault = fault.map(|fault| redactor.fault(fault));
                EventKind::Finished {
                    outcome,
                    state,
                    revision,
                    fault,
                }
            }
            EventKind::HookStarted {
                hook,
                when,
                service,
                command,
            } => EventKind::HookStarted {
                hook,
                when,
                service,
                command: redactor.line(command),
            },
            EventKind::HookLine { hook, text } => EventKind::HookLine {
                hook,
                text: redactor.line(text),
            },
            EventKind::HookFinished {
                hook,
                outcome,
                exit_code,
                number,
                saved,
                note,
            } => EventKind::HookFinished {
                hook,
                outcome,
                exit_code,
                number,
                saved,
                note: note.map(|note| redactor.line(note)),
            },
            EventKind::PullStarted { image } => EventKind::PullStarted {
                image: redactor.line(image),
            },
            EventKind::PullFinished {
                image,
                digest,
                outcome,
            } => EventKind::PullFinished {
                image: redactor.line(image),
                digest,
                outcome,
            },
            EventKind::LayerProgress {
                image,
                layer,
                phase,
                current,
                total,
            } => EventKind::LayerProgress {
                image: redactor.line(image),
                layer,
                phase,
                current,
                total,
            },
            EventKind::ProbeAnswered {
                service,
                container,
                probe,
                passed,
                answer,
            } => EventKind::ProbeAnswered {
                service,
                container,
                probe: redactor.line(probe),
                passed,
                answer: redactor.line(answer),
            },
            other @ (EventKind::Received { .. }
            | EventKind::StateEntered { .. }
            | EventKind::ConfirmWanted { .. }
            | EventKind::Confirmed { .. }
            | EventKind::Renewed { .. }
            | EventKind::ServiceState { .. }) => other,
        }
    }

    /// What is told of a hook: nothing, that it has begun, or how it ended.
    #[must_use]
    pub fn hook(&self, index: u32) -> Option<Option<Outcome>> {
        let inner = self.inner();
        let mut newest = inner.events.iter().rev();
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
        self.inner()
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
    let chatter = matches!(
        kind,
        EventKind::ComposeLine { .. }
            | EventKind::HookLine { .. }
            | EventKind::ServiceState { .. }
            | EventKind::ProbeAnswered { .. }
    );
    match count.cmp(&MOST_EVENTS) {
        std::cmp::Ordering::Equal if chatter => Some(EventKind::Warning {
            text: "further lines of this deploy are not recorded".to_owned(),
        }),
        std::cmp::Ordering::Greater if chatter => None,
        _ => Some(kind),
    }
}

impl Inner {
    fn of(file: File, events: Vec<Event>, length: u64) -> Self {
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

    fn settle(&mut self, path: &Path) -> io::Result<()> {
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
        if unsafe_ones.any(|event| matters(&event.kind)) {
            disk::ask(Call::Sync, path)?;
            self.file.sync_data()?;
            (self.safe, self.safe_length) = (self.written, self.length);
        }
        Ok(())
    }
}

/// Lines of Compose may be lost in a power cut; where the deploy stood may not.
fn matters(kind: &EventKind) -> bool {
    !matches!(
        kind,
        EventKind::ComposeLine { .. }
            | EventKind::HookLine { .. }
            | EventKind::ServiceState { .. }
            | EventKind::ProbeAnswered { .. }
    )
}

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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::new("open", &path, error)),
    };
    let mut tail = Vec::new();
    let read = || -> std::io::Result<()> {
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
fn read_good(path: &Path) -> Result<(Vec<Event>, u64), FileError> {
    let mut events: Vec<Event> = Vec::new();
    let mut good = 0;
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((events, good)),
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

/// Follows one journal.
pub struct Watcher {
    journal: Journal,
    next: usize,
    count: watch::Receiver<usize>,
    progress: broadcast::Receiver<Event>,
    over: bool,
}

impl Watcher {
    /// The next event; `None` after the last one. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if self.over {
                return None;
            }
            let ready = self.journal.inner().events.get(self.next).cloned();
            if let Some(event) = ready {
                self.next += 1;
                self.over = event.kind.is_last();
                return Some(event);
            }
            tokio::select! {
                // States first: progress of a step that is over is of no use.
                biased;
                changed = self.count.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                progress = self.progress.recv() => match progress {
                    Ok(event) => return Some(event),
                    // Too slow for this progress; the newest will do.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::event::{LayerPhase, State};
    use proto::stack::Value;

    fn finished() -> EventKind {
        EventKind::Finished {
            outcome: Outcome::Succeeded,
            state: State::Committed,
            revision: None,
            fault: None,
        }
    }

    fn warning(text: &str) -> EventKind {
        EventKind::Warning {
            text: text.to_owned(),
        }
    }

    async fn all(mut watcher: Watcher) -> Vec<u64> {
        let mut seen = Vec::new();
        while let Some(event) = watcher.next().await {
            seen.push(event.seq);
        }
        seen
    }

    #[tokio::test]
    async fn a_watcher_sees_every_event_from_where_it_left() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path(), Redactor::default()).unwrap();
        journal.push(warning("one"));
        journal.push(warning("two"));
        let late = tokio::spawn(all(journal.watch(1)));
        journal.push(finished());
        assert_eq!(late.await.unwrap(), [2, 3]);
        assert_eq!(all(journal.watch(0)).await, [1, 2, 3]);
        assert_eq!(all(journal.watch(2)).await, [3]);
    }

    #[tokio::test]
    async fn progress_is_seen_but_never_replayed() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path(), Redactor::default()).unwrap();
        let mut watcher = journal.watch(0);
        journal.push(EventKind::LayerProgress {
            image: "a".to_owned(),
            layer: "l".to_owned(),
            phase: LayerPhase::Done,
            current: 1,
            total: 1,
        });
        assert_eq!(watcher.next().await.unwrap().seq, 0);
        journal.push(finished());
        assert_eq!(all(watcher).await, [1]);
        assert_eq!(all(journal.watch(0)).await, [1]);
    }

    #[tokio::test]
    async fn a_torn_last_line_is_left_out_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::create(folder.path(), Redactor::default()).unwrap();
        journal.push(warning("one"));
        journal.push(warning("two"));
        drop(journal);
        let path = folder.path().join("events.jsonl");
        let content = std::fs::read(&path).unwrap();
        for length in 0..content.len() {
            std::fs::write(&path, &content[..length]).unwrap();
            let events = read_events(folder.path()).unwrap();
            assert_eq!(last_event(folder.path()).unwrap().as_ref(), events.last());
            assert!(events.len() <= 2);
            assert!(events.iter().zip(1..).all(|(event, seq)| event.seq == seq));
            // What is written after a restart is read again, and so a watcher ends.
            Journal::create(folder.path(), Redactor::default())
                .unwrap()
                .push(finished());
            let mended = read_events(folder.path()).unwrap();
            assert_eq!(mended.len(), events.len() + 1);
        }
    }

    #[tokio::test]
    async fn secrets_do_not_reach_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let secret = Value::new("K".parse().unwrap(), "hunter22".to_owned(), true).unwrap();
        let journal = Journal::create(folder.path(), Redactor::new(&[secret])).unwrap();
        journal.push(EventKind::ComposeLine {
            text: "K=hunter22".to_owned(),
        });
        let content = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
        assert!(!content.contains("hunter22"));
    }

    #[test]
    fn a_flood_of_lines_is_bounded_and_said() {
        let line = || EventKind::ComposeLine {
            text: "x".to_owned(),
        };
        assert_eq!(within_bounds(line(), 1), Some(line()));
        assert!(matches!(
            within_bounds(line(), MOST_EVENTS),
            Some(EventKind::Warning { .. })
        ));
        assert_eq!(within_bounds(line(), MOST_EVENTS + 1), None);
        assert_eq!(within_bounds(finished(), MOST_EVENTS + 1), Some(finished()));
    }
}
