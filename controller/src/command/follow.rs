//! Follows deploys to their end: until it is judged, the time is up, or somebody leaves it running.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::hook::HOOKS;
use proto::id::DeployId;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::fetch::{self, Notice, Ready};
use super::lock::Lock;
use super::{Context, Fleet, Leave};
use crate::board::{Board, End};
use crate::event::{Own, Place};
use crate::exit::Exit;
use crate::fleet_run::{self, Reporter};
use crate::link::{Link, Patience, Seen, Subject, Watch};
use crate::render::Screen;
use crate::terminal::{Line, Terminal, Tone};

/// What one follower needs.
#[derive(Clone)]
pub(super) struct Follow {
    leave: Leave,
    until: Option<(Instant, Duration)>,
    patience: Patience,
    detach: bool,
    lock: Lock,
    fleet: Arc<dyn Fleet>,
}

/// Which time something is submitted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    First,
    /// Another deploy held the stack in between, and may have changed it.
    AfterAnother,
}

impl Follow {
    pub(super) fn new(
        context: &Context,
        timeout: Option<Duration>,
        detach: bool,
        lock: Lock,
    ) -> Self {
        Self {
            lock,
            leave: context.leave.clone(),
            until: timeout.map(|limit| (Instant::now() + limit, limit)),
            patience: context.patience,
            detach,
            fleet: Arc::clone(&context.fleet),
        }
    }

    /// Submits, as often as another deploy holds the stack and may be waited for; then follows, and reports how it
    /// ended.
    pub(super) async fn submit<F>(
        &self,
        link: &Link,
        deploy: DeployId,
        reporter: &Reporter,
        submit: impl Fn(Turn) -> F,
    ) where
        F: Future<Output = Result<(), Fault>>,
    {
        let mut turn = Turn::First;
        loop {
            if self.leave.is_pressed() {
                return reporter.own(Own::Left { deploy: None }).await;
            }
            // The first Ctrl-C does not cut this short: whoever leaves wants to know whether it runs.
            let Err(fault) = submit(turn).await else {
                break;
            };
            if fault.kind != FaultKind::Busy || !self.lock.waits() {
                return reporter.own(Own::Broke { fault }).await;
            }
            tokio::select! {
                () = self.leave.first() => {}
                freed = self.lock.free(link, reporter) => if let Err(fault) = freed {
                    return reporter.own(Own::Broke { fault }).await;
                },
            }
            turn = Turn::AfterAnother;
        }
        reporter.own(Own::Submitted { deploy }).await;
        if self.detach {
            return reporter.own(Own::Detached { deploy }).await;
        }
        self.follow(link, Subject::Deploy(deploy), reporter).await;
    }

    /// Follows, and reports how it ended.
    pub(super) async fn follow(&self, link: &Link, subject: Subject, reporter: &Reporter) {
        let mut deploy = match &subject {
            Subject::Deploy(deploy) => Some(*deploy),
            Subject::Newest(_) => None,
        };
        let mut watch = link.watch(subject, 0, self.patience);
        tokio::select! {
            () = self.relay(link, &mut watch, reporter, &mut deploy) => {}
            () = self.leave.first() => {}
            () = self.time_up() => {
                let fault = self.gave_up(reporter.place());
                return reporter.own(Own::Broke { fault }).await;
            }
        }
        if self.leave.is_pressed() {
            // Without effect on a deploy that has just ended.
            reporter.own(Own::Left { deploy }).await;
        }
    }

    /// Passes on what happens, and brings here what hooks have printed. Returns once both are done.
    async fn relay(
        &self,
        link: &Link,
        watch: &mut Watch,
        reporter: &Reporter,
        deploy: &mut Option<DeployId>,
    ) {
        let shelf = self.fleet.shelf(reporter.place());
        let (ready, fetches) = mpsc::channel(HOOKS);
        tokio::join!(
            relay(watch, reporter, deploy, ready),
            fetch::all(fetches, link, &shelf, self.patience, reporter),
        );
    }

    async fn time_up(&self) {
        match self.until {
            Some((until, _)) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }

    fn gave_up(&self, place: &Place) -> Fault {
        let seconds = self.until.map_or(0, |(_, limit)| limit.as_secs());
        Fault::new(
            FaultKind::Failed,
            format!("not judged within {seconds} s; the deploy goes on"),
        )
        .hint(format!("controller attach {place} follows it"))
        .hint(format!("controller cancel {place} stops it"))
    }
}

async fn relay(
    watch: &mut Watch,
    reporter: &Reporter,
    deploy: &mut Option<DeployId>,
    ready: mpsc::Sender<Ready>,
) {
    let mut notice = Notice::default();
    while let Some(seen) = watch.next().await {
        match seen {
            Ok(Seen::Event(event)) => {
                if let proto::event::EventKind::Received { deploy: id, .. } = &event.kind {
                    *deploy = Some(*id);
                }
                let output = notice.take(&event.kind);
                reporter.agent(event).await;
                if let Some(output) = output {
                    // The receiver lives as long as this.
                    ready.send(output).await.ok();
                }
            }
            Ok(Seen::Lost(why)) => reporter.own(Own::LinkLost { why }).await,
            Ok(Seen::Restored) => reporter.own(Own::LinkRestored).await,
            Err(fault) => {
                let fault = fault.hint(format!(
                    "controller attach {} follows it again",
                    reporter.place()
                ));
                reporter.own(Own::Broke { fault }).await;
            }
        }
    }
}

/// Runs a follower in every place; a second Ctrl-C ends them where they are.
pub(super) async fn all<T, F>(
    jobs: Vec<(Place, T)>,
    width: u16,
    context: &Context,
    mut screen: Screen,
    work: impl Fn(T, Reporter) -> F,
) -> Exit
where
    F: Future<Output = ()> + Send + 'static,
{
    let leave = context.leave.clone();
    let abort = async move { leave.second().await };
    fleet_run::run(jobs, width.into(), &mut screen, abort, work).await;
    let board = screen.finish();
    tell_left(&board, &context.terminal);
    board.exit()
}

/// How to come back to what was left running.
fn tell_left(board: &Board, terminal: &Terminal) {
    let mut running = Vec::new();
    let mut unsure = Vec::new();
    for site in board.sites() {
        match (&site.end, site.deploy) {
            (Some(End::Left | End::Detached), Some(_)) => running.push(site.place.to_string()),
            (Some(_), _) => {}
            (None, _) => unsure.push(site.place.to_string()),
        }
    }
    let how = |places: &[String]| {
        let places = places.join(" ");
        terminal.note(
            Line::from("  follow it:  ").toned(Tone::Strong, format!("controller attach {places}")),
        );
        terminal.note(
            Line::from("  cancel it:  ").toned(Tone::Strong, format!("controller cancel {places}")),
        );
    };
    if !running.is_empty() {
        terminal.note("the deploy goes on without this command");
        how(&running);
    }
    if !unsure.is_empty() {
        terminal.note("left before the answer: the deploy may run or may not have begun");
        how(&unsure);
    }
}
