//! Waiting: a predicate and a deadline, never a sleep to be safe.

use std::time::{Duration, Instant};

use super::error::{LabError, Result};

/// Short at first, because most waits of a test are short; then slow enough to leave the cores alone.
const PAUSES: [u64; 6] = [1, 2, 5, 10, 20, 50];

/// Asks `probe` until it gives something.
///
/// # Errors
/// [`LabError::TimedOut`] with `what` when `deadline` has passed.
pub fn until<T>(what: &str, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    let mut pauses = PAUSES.iter().copied();
    let mut pause = 0;
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if start.elapsed() >= deadline {
            return Err(LabError::TimedOut {
                what: what.to_owned(),
                after: deadline,
            });
        }
        pause = pauses.next().unwrap_or(pause);
        std::thread::sleep(Duration::from_millis(pause));
    }
}
