//! How a child comes to its end: by itself, at its deadline, or because somebody asked.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::ExitStatus;

use futures_util::future::FusedFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

use super::{GRACE, How, Limits};

/// A child's process group; dies with this value.
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group that the child leads.
    pub(super) fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The only failure of interest, nobody being left, is what we are after.
            kill_process_group(group, signal).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Waits for the child, pumping its output, and ends its group when it must be over.
pub(super) async fn wait(
    child: &mut Child,
    group: &Group,
    mut pump: Pin<&mut impl FusedFuture<Output = ()>>,
    limits: &Limits,
) -> io::Result<How> {
    let cut = tokio::select! {
        status = child.wait() => return status.map(how),
        () = tokio::time::sleep(limits.deadline) => How::TimedOut,
        () = limits.stop.cancelled() => How::Cancelled,
        never = on_and_on(pump.as_mut()) => match never {},
    };
    group.signal(Signal::TERM);
    tokio::select! {
        status = child.wait() => return status.map(|_| cut),
        () = tokio::time::sleep(GRACE) => {}
        never = on_and_on(pump) => match never {},
    }
    group.signal(Signal::KILL);
    child.wait().await.map(|_| cut)
}

/// The same work, never complete: the end of its output is not the end of a child.
async fn on_and_on(work: Pin<&mut impl FusedFuture<Output = ()>>) -> Infallible {
    if !work.is_terminated() {
        work.await;
    }
    pending().await
}

fn how(status: ExitStatus) -> How {
    match status.code() {
        Some(code) => How::Exited(code),
        None => How::Signalled(status.signal().unwrap_or_default()),
    }
}
