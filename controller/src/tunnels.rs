//! The SSH sessions behind `transport = "ssh"`: one for each login, opened when it is first needed, and again when it is
//! lost. Every connection to an agent is a stream of its own in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::fault::Fault;

use crate::fleet::address::SshTarget;
use crate::ssh::{self, AtTerminal, Options, Session, SshError, Surroundings, Tunnel};
use crate::terminal::Terminal;

/// A session that needs longer to answer is replaced: a network that swallows everything gives no other sign.
const ALIVE: Duration = Duration::from_secs(5);
/// Where an agent is, as its host sees it.
const HERE: &str = "127.0.0.1";

/// The ways to a fleet's hosts.
pub(crate) struct Tunnels {
    options: Options,
    terminal: Terminal,
    ways: Mutex<HashMap<SshTarget, Arc<Way>>>,
}

impl Tunnels {
    pub(crate) fn new(around: Surroundings, terminal: &Terminal) -> Self {
        Self {
            options: Options::new(around),
            terminal: terminal.clone(),
            ways: Mutex::default(),
        }
    }

    /// The way to one host, the same for everybody who asks.
    pub(crate) fn to(&self, target: &SshTarget) -> Arc<Way> {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let way = ways.entry(target.clone()).or_insert_with(|| {
            Arc::new(Way {
                target: target.clone(),
                options: self.options.clone(),
                terminal: self.terminal.clone(),
                session: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(way)
    }
}

/// The way to one host.
pub(crate) struct Way {
    target: SshTarget,
    options: Options,
    terminal: Terminal,
    // Held while a session is opened: whoever comes then shares it.
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

impl Way {
    /// How long it may take to be there, with time for a person to type a passphrase. Every step has a deadline of its own.
    pub(crate) const LONGEST: Duration = Duration::from_secs(300);

    /// A stream to a port of the host's own.
    pub(crate) async fn open(&self, port: u16) -> Result<Tunnel, Fault> {
        let (session, fresh) = self.session().await?;
        let tunnel = match session.forward(HERE, port).await {
            Err(SshError::Lost { .. }) if !fresh => {
                let (session, _) = self.session().await?;
                session.forward(HERE, port).await
            }
            result => result,
        };
        tunnel.map_err(Fault::from)
    }

    /// The session there is, if it answers, else a new one; and whether it is new.
    async fn session(&self) -> Result<(Arc<Session>, bool), SshError> {
        let mut held = self.session.lock().await;
        if let Some(session) = &*held
            && session.is_alive(ALIVE).await
        {
            return Ok((Arc::clone(session), false));
        }
        *held = None;
        let ask = Arc::new(AtTerminal::new(&self.terminal));
        let session = Arc::new(ssh::connect(&self.target, &self.options, ask).await?);
        for note in session.notes() {
            self.terminal.note(note.as_str());
        }
        *held = Some(Arc::clone(&session));
        Ok((session, true))
    }
}
