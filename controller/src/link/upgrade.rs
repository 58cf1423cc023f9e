//! Brings a new agent onto a host, and waits until one answers there again.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::limits::CHUNK_BYTES;
use proto::wire::v1 as wire;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use wire::upgrade_request::Body as Request;
use wire::upgrade_response::Body as Answer;

use super::{Link, VERSION, fault};
use crate::agents::Agent;

/// The agent verifies it, and lets it say its version.
const STEP: Duration = Duration::from_secs(60);
/// Chunks on their way. Full: reading waits until the network has taken what is there.
const IN_FLIGHT: usize = 4;
/// From one look at a host that is being upgraded to the next.
const LOOK: Duration = Duration::from_millis(200);

/// What an agent made of another that was offered in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is that one.
    Running,
    /// It ends now, and the other one is started.
    Starting,
}

/// Who answers on a host after an upgrade.
pub enum Came {
    /// The new agent, and it stays.
    New,
    /// The one that was there before, and why, as far as it is known here.
    Old(Option<Fault>),
}

impl Link {
    /// Offers an agent in place of the one that answers, and sends what that lacks of it.
    ///
    /// # Errors
    /// When the agent refuses, stops answering, or the file cannot be read.
    pub async fn upgrade(&self, agent: &Agent) -> Result<Taken, Fault> {
        let (requests, outbox) = mpsc::channel(IN_FLIGHT);
        let offer = Offer {
            link: self,
            agent,
            requests,
        };
        // The outbox has room for this one before anybody reads it.
        let described = offer.send(Request::Agent(agent.offered().into())).await;
        let mut client = self.bulk().await?;
        let outbox = ReceiverStream::new(outbox);
        let answers = self.call("upgrade", STEP, client.upgrade(outbox)).await;
        let answers = answers.map_err(|fault| self.too_old(fault))?;
        described?;
        offer.converse(answers).await
    }

    /// Agents before this call was made are replaced by hand, once.
    fn too_old(&self, mut fault: Fault) -> Fault {
        if fault.kind == FaultKind::Unsupported {
            fault.causes = vec![format!(
                "it is agent {}, and agents are replaced over their connection from {VERSION} on",
                self.facts.agent_version
            )];
            fault.hints = vec![format!(
                "run install.sh of {VERSION} on {}, this once",
                self.host
            )];
        }
        fault
    }

    /// Waits until another agent than this link's answers, and makes a new one stay.
    ///
    /// # Errors
    /// When none has answered in time.
    pub async fn upgraded(&self, agent: &Agent, patience: Duration) -> Result<Came, Fault> {
        let end = Instant::now() + patience;
        let mut why = None;
        loop {
            match self.look(agent, &mut why).await {
                Ok(Some(came)) => return Ok(came),
                Ok(None) => {}
                Err(fault) if fault.kind == FaultKind::Unreachable && why.is_some() => {}
                Err(fault) => why = Some(fault),
            }
            if Instant::now() >= end {
                let what = format!("{} did not come back after the upgrade", self.host);
                let mut fault = Fault::new(FaultKind::Unreachable, what);
                if let Some(last) = why {
                    fault = fault.cause(last.what);
                    fault.causes.extend(last.causes);
                }
                return Err(fault.hint(format!(
                    "on {}: journalctl -u longshore-agent tells what its agents said",
                    self.host
                )));
            }
            sleep(LOOK).await;
        }
    }

    /// One look; `None` while there is nothing to tell yet.
    async fn look(&self, agent: &Agent, why: &mut Option<Fault>) -> Result<Option<Came>, Fault> {
        let now = self.reconnect().await?;
        if now.facts.instance == self.facts.instance {
            return Ok(None);
        }
        if now.facts.build != agent.build() {
            let reached = |fault: &Fault| fault.kind != FaultKind::Unreachable;
            return Ok(Some(Came::Old(why.take().filter(reached))));
        }
        // It has shown that it can be talked with; by this it learns that it has.
        match now.upgrade(agent).await? {
            Taken::Running => Ok(Some(Came::New)),
            Taken::Starting => Ok(None),
        }
    }
}

struct Offer<'a> {
    link: &'a Link,
    agent: &'a Agent,
    requests: mpsc::Sender<wire::UpgradeRequest>,
}

impl Offer<'_> {
    async fn converse(
        mut self,
        mut answers: Streaming<wire::UpgradeResponse>,
    ) -> Result<Taken, Fault> {
        loop {
            match self.next(&mut answers).await? {
                Answer::Running(wire::Running {}) => return Ok(Taken::Running),
                Answer::Starting(wire::Starting {}) => return Ok(Taken::Starting),
                Answer::Rest(wire::Rest { offset }) => {
                    if let Err(fault) = self.upload(offset).await {
                        // The agent hangs up before it has read everything when something is wrong; its reason counts.
                        return match self.next(&mut answers).await {
                            Err(reason) if reason.kind != FaultKind::Unreachable => Err(reason),
                            _ => Err(fault),
                        };
                    }
                }
            }
        }
    }

    async fn next(&self, answers: &mut Streaming<wire::UpgradeResponse>) -> Result<Answer, Fault> {
        let message = match timeout(STEP, answers.message()).await {
            Err(_) => return Err(fault::silent("upgrade", STEP)),
            Ok(Err(status)) => {
                return Err(fault::from_status(&self.link.host, "upgrade", &status));
            }
            Ok(Ok(message)) => message,
        };
        let body = message.and_then(|message| message.body);
        let ended = "the agent ended the call before it had said what becomes of it";
        body.ok_or_else(|| Fault::new(FaultKind::Unreachable, ended))
    }

    async fn upload(&mut self, mut offset: u64) -> Result<(), Fault> {
        let unreadable = |error: std::io::Error| {
            let what = format!("cannot read {}", self.agent.path.display());
            Fault::new(FaultKind::Failed, what).because(&error)
        };
        let mut file = File::open(&self.agent.path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        while offset < self.agent.size {
            let read = tokio::task::spawn_blocking(move || {
                let mut data = Vec::with_capacity(CHUNK_BYTES);
                let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut data);
                (file, read.map(|_| data))
            });
            let broke =
                |error| Fault::new(FaultKind::Internal, "reading broke off").because(&error);
            let (back, data) = read.await.map_err(broke)?;
            file = back;
            let data = data.map_err(unreadable)?;
            if data.is_empty() {
                let what = format!("{} has become shorter", self.agent.path.display());
                return Err(Fault::new(FaultKind::Failed, what));
            }
            let length = data.len() as u64;
            let blob = self.agent.sha256.as_bytes().to_vec();
            self.send(Request::Chunk(wire::Chunk { blob, offset, data }))
                .await?;
            offset += length;
        }
        Ok(())
    }

    async fn send(&self, body: Request) -> Result<(), Fault> {
        let request = wire::UpgradeRequest { body: Some(body) };
        match timeout(STEP, self.requests.send(request)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => {
                let what = format!("{} stopped taking the new agent", self.link.host);
                Err(Fault::new(FaultKind::Unreachable, what))
            }
            Err(_) => Err(fault::silent("upgrade", STEP)),
        }
    }
}
