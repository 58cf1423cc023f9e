//! Our side of russh's session: the host's key is judged, weak agreements are refused, and so is whatever a server
//! would like to open here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, Names};

use super::algorithms;
use super::deadline::Deadline;
use super::error::SshError;
use super::host_keys::Judge;

/// Why a session ends from our side.
#[derive(Debug)]
pub(super) enum Stop {
    /// The library's reason.
    Library(russh::Error),
    /// Ours.
    Own(Box<SshError>),
}

impl From<russh::Error> for Stop {
    fn from(error: russh::Error) -> Self {
        Self::Library(error)
    }
}

/// What is known about a session by those who use it.
#[derive(Default)]
pub(super) struct Life(Mutex<Told>);

#[derive(Default)]
struct Told {
    end: Option<String>,
    /// The host ended it, and said why.
    by_host: bool,
    notes: Vec<String>,
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it ended.
    pub(super) fn end(&self) -> String {
        let end = self.lock().end.clone();
        end.unwrap_or_else(|| "the host closed the connection".to_owned())
    }

    /// What the host said when it ended the session, if it did.
    pub(super) fn last_words(&self) -> Option<String> {
        let told = self.lock();
        told.end.clone().filter(|_| told.by_host)
    }

    /// What went wrong beside it, and did not stop it.
    pub(super) fn notes(&self) -> Vec<String> {
        self.lock().notes.clone()
    }
}

/// The handler of one session.
pub(super) struct Client {
    pub(super) judge: Judge,
    pub(super) life: Arc<Life>,
    pub(super) deadline: Arc<Deadline>,
}

impl Handler for Client {
    type Error = Stop;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Stop> {
        // A person who compares fingerprints is not a host that is slow.
        let pause = self.deadline.pause();
        let verdict = self.judge.judge(shown).await;
        drop(pause);
        let note = verdict.map_err(|error| Stop::Own(Box::new(error)))?;
        self.life.lock().notes.extend(note);
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        _: &mut Session,
    ) -> Result<(), Stop> {
        if algorithms::is_safe(names) {
            return Ok(());
        }
        Err(Stop::Own(Box::new(SshError::Algorithms {
            host: self.judge.host.clone(),
            what: "cipher",
            theirs: vec![format!(
                "{} without strict key exchange",
                names.cipher.as_ref()
            )],
        })))
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Stop>) -> Result<(), Stop> {
        let (end, result) = match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.life.lock().by_host = true;
                (format!("the host says: {}", info.message), Ok(()))
            }
            DisconnectReason::Error(Stop::Library(russh::Error::KeepaliveTimeout)) => {
                ("the host does not answer any more".to_owned(), Ok(()))
            }
            DisconnectReason::Error(Stop::Library(error)) => (error.to_string(), Err(error.into())),
            DisconnectReason::Error(Stop::Own(error)) => (error.to_string(), Err(Stop::Own(error))),
        };
        self.life.lock().end.get_or_insert(end);
        result
    }

    // A reply that is dropped says no.
    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }
}
