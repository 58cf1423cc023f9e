//! Child processes: the one place that starts them, and none outlives its deadline.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{FusedFuture as _, join};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) use self::left::end_all_in;
pub(crate) use self::session::end_session;

use self::end::Group;
use self::lines::Tail;

mod end;
mod left;
mod lines;
mod session;
#[cfg(test)]
mod tests;

/// Between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long output may still arrive after the group is dead: only what the pipes hold.
const DRAIN: Duration = Duration::from_secs(2);
/// Bytes of standard error that a capture keeps: some ten thousand warnings.
const STDERR: usize = 4 * 1024 * 1024;

/// A piece of what a program prints, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Printed {
    /// To its standard output.
    Out(Vec<u8>),
    /// To its standard error.
    Err(Vec<u8>),
}

/// What to start. There is no shell anywhere: arguments arrive as they are.
pub(crate) struct Program {
    /// The binary, absolute.
    pub(crate) path: PathBuf,
    /// Without the program's own name.
    pub(crate) args: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub(crate) environment: Vec<(String, String)>,
    /// Where it runs.
    pub(crate) directory: PathBuf,
}

/// How long a child may run and who may end it.
pub(crate) struct Limits {
    /// TERM to its group at this point, KILL 5 s later.
    pub(crate) deadline: Duration,
    /// The same when this fires.
    pub(crate) stop: CancellationToken,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// By itself.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// Ended by us at its deadline.
    TimedOut,
    /// Ended by us because somebody asked.
    Cancelled,
}

/// A child that is gone.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How it ended.
    pub(crate) how: How,
    /// The last 100 lines of both outputs.
    pub(crate) tail: Vec<String>,
}

/// A child that is gone, with what it wrote.
#[derive(Debug)]
pub(crate) struct Captured {
    /// How it ended.
    pub(crate) how: How,
    /// Standard output, as bytes.
    pub(crate) stdout: Vec<u8>,
    /// Standard output was larger than the cap, and is cut.
    pub(crate) cut: bool,
    /// The lines of standard error, 4 MiB at most.
    pub(crate) stderr: Vec<String>,
}

/// Why a child could not be run at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// It did not start.
    #[error("cannot start {}", path.display())]
    Start {
        /// The binary.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It started and its end could not be read.
    #[error("lost sight of {}", path.display())]
    Wait {
        /// The binary.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs a child and sends each line of both outputs to `lines`; while that queue is full the child waits,
/// and its deadline still counts. A queue that nobody reads any more is no reason to stop.
pub(crate) async fn run(
    program: &Program,
    lines: mpsc::Sender<String>,
    limits: &Limits,
) -> Result<Finished, ProcessError> {
    let mut child = start(program)?;
    let tail = Tail::default();
    let pump = {
        let stdout = lines::pump(child.stdout.take(), &tail, &lines);
        let stderr = lines::pump(child.stderr.take(), &tail, &lines);
        join(stdout, stderr).map(drop)
    };
    let how = drive(program, child, pump, limits).await?;
    Ok(Finished {
        how,
        tail: tail.into_lines(),
    })
}

/// Runs a child and sends what it prints to `output` as it comes; while that queue is full the child waits, and its
/// deadline still counts.
pub(crate) async fn pour(
    program: &Program,
    output: &mpsc::Sender<Printed>,
    limits: &Limits,
) -> Result<How, ProcessError> {
    let mut child = start(program)?;
    let pump = {
        let stdout = lines::pour(child.stdout.take(), output, Printed::Out);
        let stderr = lines::pour(child.stderr.take(), output, Printed::Err);
        join(stdout, stderr).map(drop)
    };
    drive(program, child, pump, limits).await
}

/// Runs a child and keeps what it writes to standard output, `cap` bytes at most. The rest is read and dropped,
/// so that the child ends by itself.
pub(crate) async fn capture(
    program: &Program,
    cap: usize,
    limits: &Limits,
) -> Result<Captured, ProcessError> {
    let mut child = start(program)?;
    let mut kept = lines::Collected::new(cap);
    let mut words = lines::Collected::new(STDERR);
    let pump = {
        let stdout = lines::collect(child.stdout.take(), &mut kept);
        let stderr = lines::collect(child.stderr.take(), &mut words);
        join(stdout, stderr).map(drop)
    };
    let how = drive(program, child, pump, limits).await?;
    Ok(Captured {
        how,
        stdout: kept.bytes,
        cut: kept.cut,
        stderr: words.into_lines(),
    })
}

fn start(program: &Program) -> Result<Child, ProcessError> {
    Command::new(&program.path)
        .args(&program.args)
        .env_clear()
        .envs(
            program
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .current_dir(&program.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| ProcessError::Start {
            path: program.path.clone(),
            source,
        })
}

/// Pumps output until the child is gone, its whole group dead and its pipes empty.
async fn drive(
    program: &Program,
    mut child: Child,
    pump: impl Future<Output = ()>,
    limits: &Limits,
) -> Result<How, ProcessError> {
    // Dropping this, on every way out, also when this future itself is dropped, kills what is left of the group.
    let group = Group::of(&child);
    let mut pump = std::pin::pin!(pump.fuse());
    let ended = end::wait(&mut child, &group, pump.as_mut(), limits).await;
    drop(group);
    if !pump.is_terminated() {
        // Somebody who left the group may hold a pipe open for ever.
        tokio::time::timeout(DRAIN, pump).await.ok();
    }
    ended.map_err(|source| ProcessError::Wait {
        path: program.path.clone(),
        source,
    })
}
