//! Running a command to its end: its words, its input, its deadline and what it said.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::error::{During, LabError, Result};
use super::wait;

/// Long enough for a slow machine's `up`, short enough that a hang fails the test and not the suite.
const DEADLINE: Duration = Duration::from_secs(60);

/// A command to run in a host: words, environment, input, deadline. There is no shell unless it is named.
#[derive(Debug, Clone)]
pub struct Cmd {
    words: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    deadline: Duration,
}

impl Cmd {
    /// The command made of these words.
    pub fn new<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Self {
        let words = words
            .into_iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        Self {
            words,
            env: Vec::new(),
            input: Vec::new(),
            deadline: DEADLINE,
        }
    }

    /// A shell line, with `set -e`.
    #[must_use]
    pub fn shell(line: &str) -> Self {
        Self::new(["/bin/bash", "-ec", line])
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives these bytes as its input; without it the input is empty.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Ends it after this long.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Its words, for messages.
    #[must_use]
    pub fn text(&self) -> String {
        let words: Vec<_> = self
            .words
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }

    /// Its variables as `env` takes them.
    pub(crate) fn assignments(&self) -> impl Iterator<Item = OsString> {
        self.env.iter().map(|(name, value)| {
            [name.as_os_str(), OsStr::new("="), value]
                .into_iter()
                .collect()
        })
    }

    /// The words after `prefix`; the variables are the prefix's business.
    pub(crate) fn prepare(&self, prefix: &[OsString]) -> Command {
        let mut words = prefix.iter().chain(&self.words);
        let mut command = Command::new(words.next().map_or_else(OsString::new, OsString::clone));
        command.args(words);
        command
    }

    /// Runs `command` (made by [`Cmd::prepare`]) to its end, in a process group of its own, so that ending
    /// the group ends what the command started too.
    pub(crate) fn run(&self, mut command: Command) -> Result<Finished> {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .during(|| self.text())?;
        let stdin = child.stdin.take();
        let input = self.input.clone();
        // Its own thread: a command that does not read must not hold up one that only waits.
        std::thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(&input)));
        let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
        let status = self.wait(&mut child);
        let finished = Finished {
            status: None,
            stdout: gather(&stdout),
            stderr: gather(&stderr),
            command: self.text(),
        };
        status.map(|status| Finished {
            status: Some(status),
            ..finished
        })
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let ended = wait::until(&self.text(), self.deadline, || child.try_wait().transpose());
        match ended {
            Ok(status) => status.during(|| self.text()),
            Err(error) => {
                kill_group(child);
                Err(error)
            }
        }
    }
}

/// Kills a child that leads a group, with all that is left of the group, and reaps it.
pub(crate) fn kill_group(child: &mut Child) {
    if let Ok(None) = child.try_wait() {
        let group = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let _gone = group
            .map(|group| rustix::process::kill_process_group(group, rustix::process::Signal::KILL));
    }
    let _reaped = child.wait();
}

/// Runs a tool of this machine that must succeed; gives its output.
pub(crate) fn tool<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Result<String> {
    let cmd = Cmd::new(words);
    cmd.run(cmd.prepare(&[]))?.ok()
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Finished {
    status: Option<ExitStatus>,
    command: String,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Its exit code; none if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Its standard output as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Its output, if it ended with 0.
    ///
    /// # Errors
    /// [`LabError::Command`] with all it said otherwise.
    pub fn ok(self) -> Result<String> {
        if self.code() == Some(0) {
            return Ok(self.out());
        }
        Err(LabError::Command {
            code: self.code(),
            output: format!("{}{}", self.out(), self.err()),
            command: self.command,
        })
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut pipe = pipe?;
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            let bytes = buffer.get(..count).map(<[u8]>::to_vec);
            send.send(bytes.unwrap_or_default()).ok()?;
        }
        Some(())
    });
    receive
}

/// All that came; a process left in the background may hold the pipe open, so the wait for more is short.
fn gather(chunks: &Receiver<Vec<u8>>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(chunk) = chunks.recv_timeout(Duration::from_millis(300)) {
        all.extend(chunk);
    }
    all
}
