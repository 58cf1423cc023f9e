//! Asks an engine that does not answer again: that it starts anew, or that the agent was frozen in the middle of a
//! question, is no fault of the version that is judged.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Job;
use crate::engine::EngineError;

/// Since the first question that was not answered. An engine with many containers to start again takes its time.
const AWAY: Duration = Duration::from_secs(60);
/// Between two questions.
const AGAIN: Duration = Duration::from_millis(500);

/// The engine's answer. Only silence is waited out; what it refuses, it would refuse again.
///
/// # Errors
/// What it refused, or that it has been silent for too long.
pub(super) async fn patiently<T, F>(job: &Job, mut ask: impl FnMut() -> F) -> Result<T, EngineError>
where
    F: Future<Output = Result<T, EngineError>>,
{
    let mut silent_since = None;
    loop {
        let error = match ask().await {
            Err(error @ (EngineError::Down(_) | EngineError::TimedOut { .. })) => error,
            answer => return answer,
        };
        if silent_since.is_none() {
            job.warn(format!("{error}; it is waited for"));
        }
        if silent_since.get_or_insert_with(Instant::now).elapsed() > AWAY {
            return Err(error);
        }
        sleep(AGAIN).await;
    }
}
