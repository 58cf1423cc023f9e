//! A log that strangers cannot flood: so many lines in a while, then a count.

use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(10);
const LINES: u32 = 20;

/// Counts lines of the current window.
pub(super) struct Quiet {
    since: Instant,
    lines: u32,
}

impl Quiet {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            lines: 0,
        }
    }

    /// Whether the next line may be written, and how many were left out before it.
    pub(super) fn admit(&mut self) -> Option<u32> {
        let mut left_out = 0;
        if self.since.elapsed() >= WINDOW {
            left_out = self.lines.saturating_sub(LINES);
            *self = Self::new();
        }
        self.lines = self.lines.saturating_add(1);
        (self.lines <= LINES).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_and_counted() {
        let mut quiet = Quiet::new();
        let written = (0..1000).filter(|_| quiet.admit().is_some()).count();
        assert_eq!(written, LINES as usize);
        tokio::time::advance(WINDOW).await;
        assert_eq!(quiet.admit(), Some(980));
        assert_eq!(quiet.admit(), Some(0));
    }
}
