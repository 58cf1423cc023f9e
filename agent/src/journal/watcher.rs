//! Follows a journal: every event from any number on, and progress for whoever is fast enough.

use proto::event::Event;
use tokio::sync::{broadcast, watch};

use super::Journal;

/// Follows one journal.
pub struct Watcher {
    pub(super) journal: Journal,
    /// How many events it has seen.
    pub(super) next: usize,
    pub(super) count: watch::Receiver<usize>,
    pub(super) progress: broadcast::Receiver<Event>,
    pub(super) over: bool,
}

impl Watcher {
    /// The next event; `None` after the last one. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if self.over {
                return None;
            }
            let ready = self.journal.record().events.get(self.next).cloned();
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
