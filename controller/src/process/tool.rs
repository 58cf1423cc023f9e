//! Runs a program on the operator's behalf: it may ask on the terminal, and is asked to end before it is made to.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::family::Family;
use super::{GRACE, Group, ProcessError, read};

/// Between TERM and KILL.
const PATIENCE: Duration = Duration::from_secs(2);
/// What is kept of standard error: its end.
const COMPLAINT: usize = 16 * 1024;

/// What to run. The environment is that of this process, as for anything started from the shell.
pub(crate) struct Tool<'a> {
    /// The program, a name on the search path or a path, and its arguments.
    pub(crate) argv: &'a [String],
    /// Where it runs, and where a relative path of the program starts.
    pub(crate) directory: &'a Path,
    /// It shares the terminal, and may ask there; without one it reads nothing.
    pub(crate) terminal: bool,
    /// How long it may take.
    pub(crate) deadline: Duration,
    /// How much it may print.
    pub(crate) output_limit: usize,
}

/// A program that is over.
pub(crate) struct Told {
    /// How it ended, or why it was ended.
    pub(crate) ended: Result<ExitStatus, ProcessError>,
    /// What it printed; wiped when dropped, because it may be a secret.
    pub(crate) stdout: Zeroizing<Vec<u8>>,
    /// The last of what it complained about.
    pub(crate) stderr: Zeroizing<Vec<u8>>,
}

/// Runs `tool` to its end. It and its children get TERM when the deadline passes, when it prints too much or when
/// `stop` is over, and KILL 2 s later.
pub(crate) async fn run_tool(tool: &Tool<'_>, stop: impl Future<Output = ()>) -> Told {
    let mut told = Told {
        ended: Err(ProcessError::NotFound),
        stdout: Zeroizing::default(),
        stderr: Zeroizing::default(),
    };
    let mut child = match start(tool) {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return told,
        Err(error) => {
            told.ended = Err(error.into());
            return told;
        }
    };
    let mut crew = Crew::of(&child, tool);
    let look = Look::of(tool);
    told.ended = tokio::select! {
        ended = attend(&mut child, tool.output_limit, &mut told.stdout, &mut told.stderr) => ended,
        () = tokio::time::sleep(tool.deadline) => Err(ProcessError::Deadline(tool.deadline)),
        () = stop => Err(ProcessError::Left),
    };
    if told.ended.is_ok() {
        // What it left running on purpose, an agent that keeps passwords for example, is not ours to end.
        crew.release();
    } else {
        crew.end(&mut child).await;
        look.restore();
    }
    told
}

fn start(tool: &Tool<'_>) -> io::Result<Child> {
    let (name, args) = tool.argv.split_first().ok_or(io::ErrorKind::NotFound)?;
    // Which of the two folders a relative program is looked for in would be up to the system.
    let name = if name.contains('/') {
        tool.directory.join(name).into_os_string()
    } else {
        OsString::from(name)
    };
    let mut command = Command::new(name);
    command
        .args(args)
        .current_dir(tool.directory)
        .stdin(if tool.terminal {
            Stdio::inherit()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if !tool.terminal {
        command.process_group(0);
    }
    command.spawn()
}

async fn attend(
    child: &mut Child,
    limit: usize,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> Result<ExitStatus, ProcessError> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut pipes =
        pin!(async { tokio::try_join!(read(out, stdout, limit), read_end(err, stderr)) });
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
    Ok(status)
}

/// Reads to the end and keeps the last [`COMPLAINT`] bytes, or up to twice as many.
async fn read_end(
    pipe: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
) -> Result<(), ProcessError> {
    let Some(mut pipe) = pipe else {
        return Ok(());
    };
    while pipe.read_buf(into).await? > 0 {
        if into.len() > 2 * COMPLAINT {
            into.drain(..into.len() - COMPLAINT);
        }
    }
    Ok(())
}

/// The program and its children.
enum Crew {
    /// In a process group of their own.
    Group(Group),
    /// In ours: only the terminal's own group may read from it, and Ctrl-C reaches them as it reaches us.
    Family(Family),
}

impl Crew {
    fn of(child: &Child, tool: &Tool<'_>) -> Self {
        if tool.terminal {
            Self::Family(Family::default())
        } else {
            Self::Group(Group::of(child))
        }
    }

    fn release(&mut self) {
        if let Self::Group(group) = self {
            group.release();
        }
    }

    async fn end(&mut self, child: &mut Child) {
        self.signal(child, Signal::TERM);
        timeout(PATIENCE, child.wait()).await.ok();
        // Its children may have more patience than it had.
        self.signal(child, Signal::KILL);
        timeout(GRACE, child.wait()).await.ok();
        self.release();
    }

    fn signal(&mut self, child: &Child, signal: Signal) {
        match self {
            Self::Group(group) => group.signal(signal),
            Self::Family(family) => family.signal(child, signal),
        }
    }
}

/// How the terminal was set up before a program had it.
struct Look(Option<Termios>);

impl Look {
    fn of(tool: &Tool<'_>) -> Self {
        Self(tool.terminal.then(|| tcgetattr(io::stdin()).ok()).flatten())
    }

    /// Ended in the middle of a question, a program leaves a terminal that shows nothing of what is typed.
    fn restore(self) {
        if let Some(look) = self.0 {
            tcsetattr(io::stdin(), OptionalActions::Now, &look).ok();
        }
    }
}
