//! Many log streams into one, by the lines' own time as far as that is known in time.
//!
//! Each stream has a bounded queue of its own. Full: its reader waits, and with it the agent, which then counts
//! what it must drop. A stream that has nothing ready delays the others' lines for a moment only.

use std::sync::Arc;
use std::time::Duration;

use proto::fault::Fault;
use proto::log::LogRecord;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::link::LogSeen;

/// Lines of one stream that wait to be written.
const QUEUE: usize = 256;

/// What a reader hands over.
#[derive(Debug)]
pub(super) enum Item {
    Seen(LogSeen),
    /// The stream's end, when it is not a good one.
    Failed(Fault),
}

impl Item {
    /// A line's time; everything else goes first.
    fn at(&self) -> i64 {
        match self {
            Self::Seen(LogSeen::Record(LogRecord::Line { at_nanos, .. })) => *at_nanos,
            _ => i64::MIN,
        }
    }
}

/// A reader's end.
pub(super) struct Feed {
    queue: Option<mpsc::Sender<(Instant, Item)>>,
    arrived: Arc<Notify>,
}

impl Feed {
    /// Hands an item over; `false` when nobody takes any more.
    pub(super) async fn put(&self, item: Item) -> bool {
        let Some(queue) = &self.queue else {
            return false;
        };
        let taken = queue.send((Instant::now(), item)).await.is_ok();
        self.arrived.notify_one();
        taken
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // First the end itself, then the word of it.
        self.queue = None;
        self.arrived.notify_one();
    }
}

struct Source {
    queue: mpsc::Receiver<(Instant, Item)>,
    head: Option<(Instant, Item)>,
    ended: bool,
}

impl Source {
    fn fill(&mut self) {
        if self.head.is_some() || self.ended {
            return;
        }
        match self.queue.try_recv() {
            Ok(item) => self.head = Some(item),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => self.ended = true,
        }
    }
}

/// The writer's end.
pub(super) struct Merge {
    sources: Vec<Source>,
    arrived: Arc<Notify>,
    patience: Duration,
}

/// What can be had now.
pub(super) enum Ready {
    /// This, from that stream.
    Item(usize, Item),
    /// Nothing, until something arrives or, at the latest, then.
    Wait(Option<Instant>),
    /// Every stream has ended.
    End,
}

impl Merge {
    /// Streams and their feeds; a line waits for earlier ones of other streams no longer than `patience`.
    pub(super) fn new(streams: usize, patience: Duration) -> (Self, Vec<Feed>) {
        let arrived = Arc::new(Notify::new());
        let stream = || {
            let (sender, queue) = mpsc::channel(QUEUE);
            let feed = Feed {
                queue: Some(sender),
                arrived: Arc::clone(&arrived),
            };
            let source = Source {
                queue,
                head: None,
                ended: false,
            };
            (source, feed)
        };
        let (sources, feeds) = (0..streams).map(|_| stream()).unzip();
        let merge = Self {
            sources,
            arrived,
            patience,
        };
        (merge, feeds)
    }

    /// The next item without waiting for it.
    pub(super) fn ready(&mut self) -> Ready {
        self.sources.iter_mut().for_each(Source::fill);
        let live = self
            .sources
            .iter()
            .filter(|source| !source.ended || source.head.is_some());
        let silent = live.clone().any(|source| source.head.is_none());
        let oldest = live
            .filter_map(|source| source.head.as_ref())
            .map(|(since, _)| *since)
            .min();
        let heads = self.sources.iter().enumerate();
        let heads = heads.filter_map(|(index, source)| Some((index, source.head.as_ref()?.1.at())));
        let Some((first, at)) = heads.min_by_key(|(_, at)| *at) else {
            return if silent {
                Ready::Wait(None)
            } else {
                Ready::End
            };
        };
        let due = oldest.map(|oldest| oldest + self.patience);
        if silent && at != i64::MIN && due.is_some_and(|due| due > Instant::now()) {
            return Ready::Wait(due);
        }
        match self
            .sources
            .get_mut(first)
            .and_then(|source| source.head.take())
        {
            Some((_, item)) => Ready::Item(first, item),
            None => Ready::End,
        }
    }

    /// Waits until it is worth asking again.
    pub(super) async fn wait(&self, until: Option<Instant>) {
        match until {
            None => self.arrived.notified().await,
            Some(until) => tokio::select! {
                () = self.arrived.notified() => {}
                () = sleep_until(until) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::log::Stream;

    fn line(at: i64) -> Item {
        Item::Seen(LogSeen::Record(LogRecord::Line {
            service: "web".parse().unwrap(),
            container: "web-1".to_owned(),
            stream: Stream::Stdout,
            at_nanos: at,
            text: Vec::new(),
        }))
    }

    async fn next(merge: &mut Merge) -> Option<(usize, i64)> {
        loop {
            match merge.ready() {
                Ready::Item(index, item) => return Some((index, item.at())),
                Ready::Wait(until) => merge.wait(until).await,
                Ready::End => return None,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_come_in_the_order_of_their_time() {
        let (mut merge, mut feeds) = Merge::new(2, Duration::from_secs(1));
        let (b, a) = (feeds.pop().unwrap(), feeds.pop().unwrap());
        for at in [1, 4, 5] {
            assert!(a.put(line(at)).await);
        }
        drop(a);
        for at in [2, 3, 6] {
            assert!(b.put(line(at)).await);
        }
        drop(b);
        let mut all = Vec::new();
        while let Some(item) = next(&mut merge).await {
            all.push(item);
        }
        assert_eq!(all, [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5), (1, 6)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_delays_the_others_for_a_moment_only() {
        let (mut merge, feeds) = Merge::new(2, Duration::from_millis(100));
        let began = Instant::now();
        for at in [7, 8, 9] {
            feeds[0].put(line(at)).await;
        }
        for at in [7, 8, 9] {
            assert_eq!(next(&mut merge).await, Some((0, at)));
        }
        assert_eq!(began.elapsed(), Duration::from_millis(100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_is_slow_stops_its_readers_and_loses_nothing() {
        let (mut merge, mut feeds) = Merge::new(1, Duration::ZERO);
        let feed = feeds.pop().unwrap();
        let mut readers = tokio::task::JoinSet::new();
        readers.spawn(async move {
            for at in 0..3000 {
                assert!(feed.put(line(at)).await);
            }
        });
        // The runtime takes a task off after a while; the reader needs several turns to fill the queue.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(merge.sources[0].queue.len(), QUEUE);
        for at in 0..3000 {
            assert_eq!(next(&mut merge).await, Some((0, at)));
        }
        assert_eq!(next(&mut merge).await, None);
    }
}
