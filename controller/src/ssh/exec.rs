//! One command on a host: what goes in is sent as fast as it is taken, what comes out is kept up to a limit.

use std::io;
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::error::SshError;

/// So much of each output is kept; the rest is counted.
pub const KEPT: usize = 1024 * 1024;
/// How long output is still waited for after the command has ended: a child may hold it open for ever.
const AFTER: Duration = Duration::from_secs(5);
const PIECE: usize = 32 * 1024;

/// What a command reads.
pub enum Input<'a> {
    /// Nothing.
    Nothing,
    /// These bytes.
    Bytes(&'a [u8]),
    /// A stream, read as the command takes it.
    Stream(&'a mut (dyn AsyncRead + Unpin + Send)),
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

/// What a command wrote, up to [`KEPT`] bytes of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its beginning.
    pub bytes: Vec<u8>,
    /// How many bytes came after it.
    pub dropped: u64,
}

impl Kept {
    fn add(&mut self, data: &[u8]) {
        let room = KEPT.saturating_sub(self.bytes.len());
        let (now, rest) = data.split_at(room.min(data.len()));
        self.bytes.extend_from_slice(now);
        self.dropped += rest.len() as u64;
    }

    /// As text; what is no text is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(u32),
    /// By a signal, `TERM`.
    Signal(String),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Kept,
    /// Standard error.
    pub stderr: Kept,
    /// How it ended.
    pub exit: Exit,
}

impl Output {
    /// Whether it ended with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit == Exit::Code(0)
    }
}

/// Ends the command and its channel when nobody waits for it any more.
struct Ends {
    write: Option<ChannelWriteHalf<Msg>>,
    tasks: TaskTracker,
    running: bool,
}

impl Drop for Ends {
    fn drop(&mut self) {
        let running = self.running;
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(write), Ok(runtime)) = (self.write.take(), runtime) {
            let end = async move {
                if running {
                    // Without a terminal, closing alone would let it run on.
                    write.signal(Sig::TERM).await.ok();
                }
                write.close().await.ok();
            };
            self.tasks.spawn_on(end, &runtime);
        }
    }
}

/// Runs `line` in the login shell behind `channel`.
pub(super) async fn run(
    channel: Channel<Msg>,
    tasks: &TaskTracker,
    host: &str,
    line: &str,
    input: Input<'_>,
) -> Result<Output, SshError> {
    let (mut read, write) = channel.split();
    let writer = write.make_writer();
    let asked = write.exec(true, line).await;
    let mut ends = Ends {
        write: Some(write),
        tasks: tasks.clone(),
        running: false,
    };
    let lost = || SshError::Lost {
        host: host.to_owned(),
        why: "it ended while a command ran".to_owned(),
    };
    asked.map_err(|_| lost())?;
    accepted(&mut read, host).await?;
    ends.running = true;
    let fed = feed(input, writer);
    tokio::pin!(fed);
    let mut feeding = true;
    let mut heard = Heard::default();
    loop {
        tokio::select! {
            result = &mut fed, if feeding => {
                feeding = false;
                result.map_err(|source| SshError::Input { host: host.to_owned(), source })?;
            }
            message = next(&mut read, heard.exit.is_some()) => {
                if let Some(message) = message && heard.takes(message) {
                    continue;
                }
                ends.running = heard.exit.is_none();
                return heard.output().ok_or_else(lost);
            }
        }
    }
}

/// What has come so far.
#[derive(Default)]
struct Heard {
    stdout: Kept,
    stderr: Kept,
    exit: Option<Exit>,
}

impl Heard {
    /// Takes in a message; false if it is the last.
    fn takes(&mut self, message: ChannelMsg) -> bool {
        match message {
            ChannelMsg::Data { data } => self.stdout.add(&data),
            ChannelMsg::ExtendedData { data, ext: 1 } => self.stderr.add(&data),
            ChannelMsg::ExitStatus { exit_status } => self.exit = Some(Exit::Code(exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.exit = Some(Exit::Signal(name(signal_name)));
            }
            ChannelMsg::Close => return false,
            _ => {}
        }
        true
    }

    fn output(self) -> Option<Output> {
        let Self {
            stdout,
            stderr,
            exit,
        } = self;
        exit.map(|exit| Output {
            stdout,
            stderr,
            exit,
        })
    }
}

fn name(signal: Sig) -> String {
    match signal {
        Sig::Custom(name) => name,
        known => format!("{known:?}"),
    }
}

/// The next message; none at the end, or when an ended command stays silent.
async fn next(read: &mut ChannelReadHalf, ended: bool) -> Option<ChannelMsg> {
    if ended {
        timeout(AFTER, read.wait()).await.unwrap_or(None)
    } else {
        read.wait().await
    }
}

async fn accepted(read: &mut ChannelReadHalf, host: &str) -> Result<(), SshError> {
    loop {
        match read.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure | ChannelMsg::Close) | None => {
                return Err(SshError::Refused {
                    host: host.to_owned(),
                    what: "runs no commands for this user".to_owned(),
                    hint: "has the user a login shell there?",
                });
            }
            Some(_) => {}
        }
    }
}

/// Sends all of the input and its end. A command that does not want it is no error.
async fn feed(input: Input<'_>, writer: impl tokio::io::AsyncWrite) -> io::Result<()> {
    tokio::pin!(writer);
    match input {
        Input::Nothing => {}
        Input::Bytes([]) => {}
        Input::Bytes(bytes) => {
            if writer.write_all(bytes).await.is_err() {
                return Ok(());
            }
        }
        Input::Stream(stream) => {
            let mut piece = vec![0; PIECE];
            loop {
                let count = stream.read(&mut piece).await?;
                let piece = piece.get(..count).unwrap_or_default();
                if piece.is_empty() {
                    break;
                }
                if writer.write_all(piece).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    writer.shutdown().await.ok();
    Ok(())
}
