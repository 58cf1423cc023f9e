//! Leaving: the first Ctrl-C asks what goes on to wind up, the second leaves at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Whether somebody wants to leave, and how urgently. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Leave {
    first: CancellationToken,
    second: CancellationToken,
}

impl Leave {
    /// Nobody wants to leave yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody wants to leave; once more, at once.
    pub fn press(&self) {
        if self.first.is_cancelled() {
            self.second.cancel();
        }
        self.first.cancel();
    }

    /// Waits until somebody wants to leave.
    pub async fn first(&self) {
        self.first.cancelled().await;
    }

    /// Waits until somebody wants to leave at once.
    pub async fn second(&self) {
        self.second.cancelled().await;
    }

    /// Whether somebody wants to leave.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.first.is_cancelled()
    }

    /// Presses on Ctrl-C, termination and hang-up, for as long as the answer is kept.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub fn on_signals(&self) -> std::io::Result<SignalTask> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let leave = self.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                leave.press();
            }
        });
        Ok(SignalTask(task))
    }
}

/// Listens for signals until it is dropped.
#[derive(Debug)]
pub struct SignalTask(JoinHandle<()>);

impl Drop for SignalTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}
