//! A call in which both sides speak by turns: requests one by one, answers as they come, and the failure that ends it.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use proto::fault::{Fault, FaultKind};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::Answers;
use super::request::refuse;

/// A controller that sends nothing for this long has gone.
const SILENCE: Duration = Duration::from_secs(60);

/// The agent's end of it.
pub(super) struct Dialogue<Q, A> {
    requests: Streaming<Q>,
    answers: mpsc::Sender<A>,
}

/// Runs `work` inside the call's own answer stream: when the controller goes, the work stops. `wrap` makes a message
/// of what it answers.
pub(super) fn answer<Q, A, R, W>(
    requests: Streaming<Q>,
    wrap: fn(A) -> R,
    work: impl FnOnce(Dialogue<Q, A>) -> W,
) -> Answers<R>
where
    A: Send + 'static,
    R: Send + 'static,
    W: Future<Output = Result<(), Fault>> + Send + 'static,
{
    // Two answers under way at most: the controller reads each before it sends on.
    let (answers, received) = mpsc::channel(2);
    let work = work(Dialogue { requests, answers });
    let work = stream::once(async move { work.await.err().map(refuse) });
    let failures = work.filter_map(|failure| async { failure.map(Err) });
    let answers = stream::unfold(received, move |mut received| async move {
        let answer = received.recv().await?;
        Some((Ok(wrap(answer)), received))
    });
    stream::select(answers, failures).boxed()
}

impl<Q, A> Dialogue<Q, A> {
    /// What the controller sends next.
    pub(super) async fn next(&mut self) -> Result<Q, Fault> {
        let broken = |what: &str| Fault::new(FaultKind::InvalidRequest, what);
        tokio::time::timeout(SILENCE, self.requests.message())
            .await
            .map_err(|_| broken("the controller stopped sending"))?
            .map_err(|status: Status| broken(status.message()))?
            .ok_or_else(|| broken("the controller ended the call early"))
    }

    /// Answers.
    pub(super) async fn send(&self, answer: A) -> Result<(), Fault> {
        let gone = |_| Fault::new(FaultKind::InvalidRequest, "the controller has gone");
        self.answers.send(answer).await.map_err(gone)
    }
}
