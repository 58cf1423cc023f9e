//! Several places at once: so many at a time, one state for each, and one that is dead holds up no other.
//!
//! Jobs live in one set that is joined or aborted before the call returns. What they report goes through one
//! bounded queue to the screen. Full: progress is dropped, everything else waits for the screen.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::event::Event;
use proto::fault::{Fault, FaultKind};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};

use crate::event::{FleetEvent, Own, Place};
use crate::render::Screen;

const QUEUE: usize = 256;
const TICK: Duration = Duration::from_millis(120);

/// A job's way to the screen.
#[derive(Clone)]
pub struct Reporter {
    place: Place,
    events: mpsc::Sender<FleetEvent>,
}

impl Reporter {
    /// The place it reports from.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Reports what was noticed here.
    pub async fn own(&self, own: Own) {
        self.send(FleetEvent::own(&self.place, own)).await;
    }

    /// Reports what an agent told.
    pub async fn agent(&self, event: Event) {
        self.send(FleetEvent::agent(&self.place, event)).await;
    }

    /// Reports how far something is, unless the screen is busy.
    pub fn progress(&self, own: Own) {
        self.events.try_send(FleetEvent::own(&self.place, own)).ok();
    }

    async fn send(&self, event: FleetEvent) {
        // A closed queue means that nobody looks any more: the screen has been left.
        if event.is_progress() {
            self.events.try_send(event).ok();
        } else {
            self.events.send(event).await.ok();
        }
    }
}

/// Runs a job in every place and shows what they report. `None` for a job that was cut short by `abort`.
pub async fn run<T, R, F>(
    jobs: Vec<(Place, T)>,
    width: usize,
    screen: &mut Screen,
    abort: impl Future<Output = ()>,
    work: impl Fn(T, Reporter) -> F,
) -> Vec<Option<R>>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let (events, mut inbox) = mpsc::channel(QUEUE);
    let places: Vec<Place> = jobs.iter().map(|(place, _)| place.clone()).collect();
    let mut running = start(
        jobs.into_iter().map(|(place, job)| {
            let events = events.clone();
            work(job, Reporter { place, events })
        }),
        width,
    );
    drop(events);
    let mut results = Results::new(places.len());
    let mut tick = tokio::time::interval(TICK);
    let mut aborted = false;
    tokio::pin!(abort);
    loop {
        tokio::select! {
            Some(event) = inbox.recv() => screen.show(&event),
            joined = running.join_next() => match joined {
                Some(joined) => results.take(joined),
                None => break,
            },
            _ = tick.tick() => screen.tick(),
            () = &mut abort, if !aborted => {
                aborted = true;
                running.abort_all();
            }
        }
    }
    while let Ok(event) = inbox.try_recv() {
        screen.show(&event);
    }
    settle(results.done(), &places, screen)
}

/// Runs a job for every item and gives back what came out, in order.
pub async fn each<T, R, F>(
    items: Vec<T>,
    width: usize,
    work: impl Fn(T) -> F,
) -> Vec<Result<R, Fault>>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Fault>> + Send + 'static,
{
    let count = items.len();
    let mut running = start(items.into_iter().map(work), width);
    let mut results = Results::new(count);
    while let Some(joined) = running.join_next().await {
        results.take(joined);
    }
    let flat = |result: Outcome<Result<R, Fault>>| match result {
        Outcome::Done(result) => result,
        Outcome::Aborted => Err(broke_off()),
        Outcome::Broke(fault) => Err(fault),
    };
    results.done().into_iter().map(flat).collect()
}

enum Outcome<R> {
    Done(R),
    Aborted,
    Broke(Fault),
}

fn broke_off() -> Fault {
    Fault::new(FaultKind::Internal, "a job was cut short")
}

fn start<R, F>(jobs: impl Iterator<Item = F>, width: usize) -> JoinSet<(usize, R)>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(width.max(1)));
    let mut running = JoinSet::new();
    for (index, job) in jobs.enumerate() {
        let permits = Arc::clone(&permits);
        running.spawn(async move {
            // The semaphore is never closed; were it, an unbounded width beats a job that is lost.
            let _permit = permits.acquire().await.ok();
            (index, job.await)
        });
    }
    running
}

/// What came out of each job so far.
struct Results<R> {
    slots: Vec<Outcome<R>>,
    broke: Option<Fault>,
}

impl<R> Results<R> {
    fn new(count: usize) -> Self {
        Self {
            slots: (0..count).map(|_| Outcome::Aborted).collect(),
            broke: None,
        }
    }

    fn take(&mut self, joined: Result<(usize, R), JoinError>) {
        match joined {
            Ok((index, result)) => {
                if let Some(slot) = self.slots.get_mut(index) {
                    *slot = Outcome::Done(result);
                }
            }
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                self.broke =
                    Some(Fault::new(FaultKind::Internal, "a job broke off").because(&error));
            }
        }
    }

    /// A panic does not say whose it was; whoever has no result is told of it.
    fn done(mut self) -> Vec<Outcome<R>> {
        if let Some(fault) = self.broke {
            for slot in &mut self.slots {
                if matches!(slot, Outcome::Aborted) {
                    *slot = Outcome::Broke(fault.clone());
                }
            }
        }
        self.slots
    }
}

fn settle<R>(results: Vec<Outcome<R>>, places: &[Place], screen: &mut Screen) -> Vec<Option<R>> {
    let settle = |(result, place): (Outcome<R>, &Place)| match result {
        Outcome::Done(result) => Some(result),
        Outcome::Aborted => None,
        Outcome::Broke(fault) => {
            screen.show(&FleetEvent::own(place, Own::Broke { fault }));
            None
        }
    };
    results.into_iter().zip(places).map(settle).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::exit::Exit;
    use crate::render::Kind;
    use crate::terminal::Look;
    use crate::terminal::capture::Capture;

    /// Nothing here may hang the suite.
    async fn soon<T>(work: impl Future<Output = T>) -> T {
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, work).await.expect("it hangs")
    }

    fn jobs(count: usize) -> Vec<(Place, usize)> {
        let place = |n| Place {
            host: format!("host-{n}").parse().unwrap(),
            stack: "opq".parse().unwrap(),
        };
        (0..count).map(|n| (place(n), n)).collect()
    }

    fn screen(jobs: &[(Place, usize)]) -> Screen {
        let terminal = Capture::new("").terminal(Look::default());
        Screen::new(
            &terminal,
            Kind::Human,
            jobs.iter().map(|(place, _)| place.clone()),
        )
    }

    #[tokio::test]
    async fn no_more_run_at_once_than_asked() {
        let jobs = jobs(9);
        let mut screen = screen(&jobs);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let results = soon(run(jobs, 3, &mut screen, std::future::pending(), |n, _| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                n
            }
        }))
        .await;
        assert_eq!(results, (0..9).map(Some).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 3);
    }

    #[tokio::test]
    async fn a_job_that_never_ends_holds_up_no_other_and_can_be_cut_short() {
        let jobs = jobs(3);
        let mut screen = screen(&jobs);
        let done = Arc::new(tokio::sync::Semaphore::new(0));
        let abort = {
            let done = Arc::clone(&done);
            async move { drop(done.acquire_many(2).await) }
        };
        let results = soon(run(jobs, 3, &mut screen, abort, |n, _| {
            let done = Arc::clone(&done);
            async move {
                if n == 1 {
                    std::future::pending::<()>().await;
                }
                done.add_permits(1);
                n
            }
        }))
        .await;
        assert_eq!(results, [Some(0), None, Some(2)]);
    }

    #[tokio::test]
    async fn a_panic_is_a_defect_of_its_place_alone() {
        let jobs = jobs(2);
        let mut screen = screen(&jobs);
        let results = soon(run(
            jobs,
            2,
            &mut screen,
            std::future::pending(),
            |n, reporter| async move {
                assert!(n != 0, "scripted");
                reporter.own(Own::Unchanged).await;
                n
            },
        ))
        .await;
        assert_eq!(results, [None, Some(1)]);
        let codes: Vec<_> = screen
            .board()
            .sites()
            .iter()
            .map(crate::board::Site::exit)
            .collect();
        assert_eq!(codes, [Some(Exit::Defect), Some(Exit::Done)]);
    }
}
