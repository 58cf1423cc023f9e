//! Runs another program: no shell, a deadline, an output limit, and nothing left behind when it is cut short.

use std::ffi::OsStr;
use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

mod family;
#[cfg(test)]
mod tests;
mod tool;

pub(crate) use tool::{Told, Tool, run_tool};

/// How long pipes may stay open after the program itself has ended, because a child of it holds them.
const GRACE: Duration = Duration::from_millis(500);

/// What to run, and what it may take.
pub(crate) struct Program<'a> {
    /// A name to be found on the search path, or a path.
    pub(crate) name: &'a str,
    /// Its arguments.
    pub(crate) args: &'a [&'a str],
    /// What it reads.
    pub(crate) stdin: &'a [u8],
    /// Where it is looked for; `None` is the search path of this process.
    pub(crate) search_path: Option<&'a OsStr>,
    /// How long it may take.
    pub(crate) deadline: Duration,
    /// How much it may print, on each of its two streams.
    pub(crate) output_limit: usize,
}

/// How a program ended.
pub(crate) struct Finished {
    /// Its own verdict.
    pub(crate) status: ExitStatus,
    /// What it printed; wiped when dropped, because it may be a secret.
    pub(crate) stdout: Zeroizing<Vec<u8>>,
    /// What it complained about.
    pub(crate) stderr: Zeroizing<Vec<u8>>,
}

/// Why a program did not end by itself.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program.
    #[error("there is no program of that name on the search path")]
    NotFound,
    /// It was ended.
    #[error("it did not finish within {0:?} and was ended")]
    Deadline(Duration),
    /// It was ended.
    #[error("it printed more than {0} bytes and was ended")]
    TooMuch(usize),
    /// It was ended.
    #[error("it was ended because the command was left")]
    Left,
    /// It could not be started or listened to.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs `program` to its end. It and its children are ended when the deadline passes, when it prints too
/// much, or when the caller stops waiting.
pub(crate) async fn run(program: &Program<'_>) -> Result<Finished, ProcessError> {
    let mut command = Command::new(program.name);
    command
        .args(program.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        // A group of its own, so that its children can be ended with it.
        .process_group(0);
    if let Some(path) = program.search_path {
        command.env("PATH", path);
    }
    let mut child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ProcessError::NotFound,
        _ => ProcessError::Io(error),
    })?;
    let mut group = Group::of(&child);
    let ended = timeout(program.deadline, attend(&mut child, program)).await;
    let ended = ended.unwrap_or(Err(ProcessError::Deadline(program.deadline)));
    if ended.is_ok() {
        // What it left running on purpose, an agent that keeps passwords for example, is not ours to end.
        group.release();
    } else {
        group.kill();
        timeout(GRACE, child.wait()).await.ok();
    }
    ended
}

async fn attend(child: &mut Child, program: &Program<'_>) -> Result<Finished, ProcessError> {
    let (mut stdout, mut stderr) = (Zeroizing::default(), Zeroizing::default());
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let status = {
        let limit = program.output_limit;
        let mut pipes = pin!(async {
            tokio::try_join!(
                feed(stdin, program.stdin),
                read(out, &mut stdout, limit),
                read(err, &mut stderr, limit),
            )
        });
        let mut closed = false;
        let status = loop {
            tokio::select! {
                // Both ends are watched at once: a full pipe would keep the program from ending.
                read = &mut pipes, if !closed => { read?; closed = true; }
                status = child.wait() => break status?,
            }
        };
        if !closed && let Ok(read) = timeout(GRACE, pipes).await {
            read?;
        }
        status
    };
    Ok(Finished {
        status,
        stdout,
        stderr,
    })
}

async fn feed(
    pipe: Option<impl tokio::io::AsyncWrite + Unpin>,
    bytes: &[u8],
) -> Result<(), ProcessError> {
    let Some(mut pipe) = pipe else {
        return Ok(());
    };
    match pipe.write_all(bytes).await {
        // It has read as much as it wants.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
    limit: usize,
) -> Result<(), ProcessError> {
    let Some(pipe) = pipe else {
        return Ok(());
    };
    pipe.take(limit as u64 + 1).read_to_end(into).await?;
    if into.len() > limit {
        return Err(ProcessError::TooMuch(limit));
    }
    Ok(())
}

/// A running process group; ended when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn release(&mut self) {
        self.0 = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It may have ended in this moment.
            kill_process_group(group, signal).ok();
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.release();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
