//! Events, gathered into nudges: what happened does not matter, only that something did.

use std::time::Duration;

use futures_util::future;
use futures_util::stream::{Stream, StreamExt as _, unfold};
use tokio::time::{Instant, timeout_at};

use crate::engine::Nudge;

/// Between two nudges at least. The first event after a quiet time is told at once; what follows on its heels (the
/// engine's memory at the beginning, a crash loop, a project coming up) would only make the reader look again and
/// again at the same change.
const PAUSE: Duration = Duration::from_millis(25);

/// Ends when the events end or break.
pub(super) fn gather<T, E>(
    events: impl Stream<Item = Result<T, E>> + Send + Unpin,
) -> impl Stream<Item = Nudge> + Send
where
    T: Send,
    E: Send,
{
    let events = events
        .take_while(|event| future::ready(event.is_ok()))
        .fuse();
    unfold((events, None), |(mut events, last)| async move {
        events.next().await?.ok()?;
        // Reading on, rather than only waiting: the connection hands over one event for each that is taken.
        let pause = last.map_or_else(Instant::now, |last| last + PAUSE);
        let more = async { while events.next().await.is_some() {} };
        timeout_at(pause, more).await.ok();
        Some((Nudge, (events, Some(Instant::now()))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use tokio::time::timeout;
    use tokio_stream::wrappers::ReceiverStream;

    #[tokio::test]
    async fn a_burst_is_few_nudges_and_a_late_event_is_told_at_once() {
        let (sender, receiver) = mpsc::channel::<Result<(), ()>>(300);
        let mut nudges = std::pin::pin!(gather(ReceiverStream::new(receiver)));
        for _ in 0..250 {
            sender.send(Ok(())).await.unwrap();
        }
        let mut count = 0;
        while timeout(PAUSE * 4, nudges.next()).await.is_ok() {
            count += 1;
        }
        assert!((1..=4).contains(&count), "{count}");
        sender.send(Ok(())).await.unwrap();
        let soon = timeout(PAUSE, nudges.next()).await;
        assert_eq!(soon, Ok(Some(Nudge)));
    }

    #[tokio::test]
    async fn nothing_follows_an_error() {
        let (sender, receiver) = mpsc::channel(3);
        for event in [Ok(()), Err(()), Ok(())] {
            sender.send(event).await.unwrap();
        }
        let nudges = gather(ReceiverStream::new(receiver));
        let all = timeout(PAUSE * 40, nudges.collect::<Vec<_>>()).await;
        assert_eq!(all, Ok(vec![Nudge]));
    }
}
