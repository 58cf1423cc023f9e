//! SSH: sessions with hosts, for enrolment and for fleets whose agents have no open port. The only place that knows russh.
//!
//! Host keys are judged as OpenSSH judges them, `~/.ssh/config` is followed as far as [`config`] says, and nothing
//! weaker than what OpenSSH calls safe today is spoken. russh's own tasks end when the session and its streams are
//! dropped; the tasks here (one for each stream, one for each stream that is being opened) belong to the session.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use proto::fault::Fault;
use russh::client::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure, Disconnect};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use zeroize::Zeroizing;

mod algorithms;
mod ask;
mod auth;
mod client;
pub mod config;
mod deadline;
mod error;
mod exec;
mod guarded;
mod host_keys;
pub mod known_hosts;
mod pattern;
mod reach;
mod tunnel;

pub use ask::AtTerminal;
pub use config::Surroundings;
pub use error::{KeyRefusal, SshError};
pub use exec::{Exit, Input, KEPT, Kept, Output};
pub use tunnel::Tunnel;

use crate::fleet::address::SshTarget;
use client::{Client, Life};

/// How long a host may take to open a stream.
const OPEN: Duration = Duration::from_secs(15);
const CLOSE: Duration = Duration::from_secs(2);
/// How long a server may take to clear up after a command.
const CLEARED_UP: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(50);

/// How hosts are reached.
#[derive(Debug, Clone)]
pub struct Options {
    /// Home folder, user and variables of the operator.
    pub around: Surroundings,
    /// The key that the host must have; it may then be unknown.
    pub host_key: Option<Fingerprint>,
    /// Whether somebody is asked for passwords.
    pub passwords: Passwords,
    /// New session keys after so many bytes in one direction; 1 GiB if absent, and at most.
    pub rekey: Option<usize>,
}

/// Whether whoever runs a command is asked for passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passwords {
    /// They want to be.
    Asked,
    /// They can say so with `--ask-password`.
    IfWanted,
    /// Nobody asks: there are connections to make while other work goes on.
    Never,
}

impl Options {
    /// Nothing but what the surroundings say.
    #[must_use]
    pub fn new(around: Surroundings) -> Self {
        Self {
            around,
            host_key: None,
            passwords: Passwords::Never,
            rekey: None,
        }
    }
}

/// A key's fingerprint, `SHA256:` and 43 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

/// Text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fingerprint as ssh-keygen -l prints it (SHA256:…)")]
pub struct InvalidFingerprint(String);

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;
    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let digest = text
            .strip_prefix("SHA256:")
            .map(|text| text.trim_end_matches('='));
        let is_digest = |text: &&str| {
            STANDARD_NO_PAD
                .decode(text)
                .is_ok_and(|digest| digest.len() == 32)
        };
        match digest.filter(is_digest) {
            Some(digest) => Ok(Self(format!("SHA256:{digest}"))),
            None => Err(InvalidFingerprint(text.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host's key that nobody has said yes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// `emilia.example.org:22`.
    pub host: String,
    /// `ssh-ed25519`.
    pub algorithm: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

/// What only a person can answer. Called on a thread that may wait.
pub trait Ask: Send + Sync {
    /// Whether the key is the host's; false without a terminal.
    fn host_key(&self, key: &UnknownKey) -> bool;

    /// A passphrase or a password.
    ///
    /// # Errors
    /// Without a terminal, with what to do instead.
    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, Fault>;
}

/// The name or address that a target leads to, as the configuration has it.
///
/// # Errors
/// When the configuration cannot be followed.
pub fn host_name(target: &SshTarget, around: &Surroundings) -> Result<String, SshError> {
    Ok(config::settings(target, around)?.host)
}

/// Opens a session with a host.
///
/// # Errors
/// What stood in the way, told apart: the configuration, the network, the host's key, or who we are.
pub async fn connect(
    target: &SshTarget,
    options: &Options,
    ask: Arc<dyn Ask>,
) -> Result<Session, SshError> {
    let way = reach::Way {
        options: options.clone(),
        ask,
        jumps: 0,
    };
    // In a task of its own: a library that panics over what a host sends ends this connection and nothing else.
    let work = AbortOnDropHandle::new(tokio::spawn(reach::reach(target.clone(), None, way)));
    work.await.unwrap_or_else(|_| {
        Err(SshError::Defect {
            host: target.to_string(),
        })
    })
}

/// A session with one host. It ends when it and all its streams are dropped.
pub struct Session {
    handle: Arc<Handle<Client>>,
    life: Arc<Life>,
    host: String,
    user: String,
    notes: Vec<String>,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stops: DropGuard,
    jump: Option<Box<Session>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}@{})", self.user, self.host)
    }
}

impl Session {
    fn new(
        handle: Handle<Client>,
        life: Arc<Life>,
        host: String,
        user: String,
        notes: Vec<String>,
        jump: Option<Box<Session>>,
    ) -> Self {
        let stop = CancellationToken::new();
        Self {
            handle: Arc::new(handle),
            life,
            host,
            user,
            notes,
            tasks: TaskTracker::new(),
            _stops: stop.clone().drop_guard(),
            stop,
            jump,
        }
    }

    /// Whom we are there.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Name and port, for messages.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What was left out or could not be done while connecting, one line each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Whether the host answers within `limit`.
    pub async fn is_alive(&self, limit: Duration) -> bool {
        let asked = timeout(limit, self.handle.send_ping()).await;
        matches!(asked, Ok(Ok(()))) && !self.is_closed()
    }

    /// Runs one command line in the user's login shell. Dropping the future, or the end of `limit`, ends the command
    /// if the host's server passes signals on; OpenSSH does for everybody but root.
    ///
    /// # Errors
    /// When it cannot be started, the connection is lost or `limit` has passed; not when the command fails.
    pub async fn exec(
        &self,
        line: &str,
        input: Input<'_>,
        limit: Duration,
    ) -> Result<Output, SshError> {
        let work = async {
            let channel = self.command_channel().await?;
            exec::run(channel, &self.tasks, &self.host, line, input).await
        };
        match timeout(limit, work).await {
            Ok(Err(SshError::Lost { .. })) => Err(self.lost()),
            Ok(result) => result,
            Err(_) => Err(SshError::TimedOut {
                host: self.host.clone(),
                after: limit,
            }),
        }
    }

    /// A server that allows few of them at a time (`MaxSessions`) counts the last command until it has cleared up after it.
    async fn command_channel(&self) -> Result<Channel<Msg>, SshError> {
        let patience = Instant::now() + CLEARED_UP;
        loop {
            let handle = Arc::clone(&self.handle);
            let opening = async move { handle.channel_open_session().await };
            match self.open(opening).await? {
                Ok(channel) => return Ok(channel),
                Err(_) if Instant::now() < patience => sleep(AGAIN).await,
                Err(_) => {
                    return Err(SshError::Refused {
                        host: self.host.clone(),
                        what: "opens no session for commands".to_owned(),
                        hint: "MaxSessions in its sshd_config says how many there may be",
                    });
                }
            }
        }
    }

    /// A stream to `port` of `to`, as the host sees them.
    ///
    /// # Errors
    /// When the host refuses, cannot connect there, or does not answer in time.
    pub async fn forward(&self, to: &str, port: u16) -> Result<Tunnel, SshError> {
        let handle = Arc::clone(&self.handle);
        let name = to.to_owned();
        let opening = async move {
            let port = u32::from(port);
            handle
                .channel_open_direct_tcpip(name, port, "127.0.0.1", 0)
                .await
        };
        let target = SshTarget {
            user: None,
            host: to.to_owned(),
            port: Some(port),
        };
        let refused = |what: &str, hint| SshError::Refused {
            host: self.host.clone(),
            what: format!("{what} {target}"),
            hint,
        };
        let runs = "does the service there run?";
        let Ok(opened) = timeout(OPEN, self.open(opening)).await else {
            let what = format!("needs more than {} s to connect to", OPEN.as_secs());
            return Err(refused(&what, runs));
        };
        match opened? {
            Ok(channel) => Ok(Tunnel::over(channel, &self.tasks)),
            Err(ChannelOpenFailure::AdministrativelyProhibited) => Err(refused(
                "does not allow streams to",
                "AllowTcpForwarding and PermitOpen in its sshd_config decide that",
            )),
            Err(_) => Err(refused("cannot connect to", runs)),
        }
    }

    /// Ends the session and all its streams.
    pub async fn close(self) {
        let ending = self.handle.disconnect(Disconnect::ByApplication, "", "");
        // A host that does not listen any more will find out by itself.
        timeout(CLOSE, ending).await.ok();
        self.stop.cancel();
        self.tasks.close();
        timeout(CLOSE, self.tasks.wait()).await.ok();
        if let Some(jump) = self.jump {
            Box::pin(jump.close()).await;
        }
    }

    /// Opens a channel in a task, which closes it again if nobody waits for it any more.
    async fn open(
        &self,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>> + Send + 'static,
    ) -> Result<Result<Channel<Msg>, ChannelOpenFailure>, SshError> {
        let (done, opened) = oneshot::channel();
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let result = tokio::select! {
                result = opening => result,
                () = stop.cancelled() => return,
            };
            if let Err(Ok(unwanted)) = done.send(result) {
                unwanted.close().await.ok();
            }
        });
        match opened.await {
            Ok(Ok(channel)) => Ok(Ok(channel)),
            Ok(Err(russh::Error::ChannelOpenFailure(why))) => Ok(Err(why)),
            Ok(Err(_)) | Err(_) => Err(self.lost()),
        }
    }

    fn lost(&self) -> SshError {
        SshError::Lost {
            host: self.host.clone(),
            why: self.life.end(),
        }
    }
}
