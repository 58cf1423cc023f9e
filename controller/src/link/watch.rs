//! Follows one deploy across lost links: resumes behind the last event seen, and never tells one twice.

use proto::event::{Event, EventKind};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, StackName};
use proto::wire::v1 as wire;
use tonic::Streaming;

use super::backoff::Backoff;
use super::{Link, Patience, SHORT, fault};

/// Which deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// This one.
    Deploy(DeployId),
    /// The newest of a stack.
    Newest(StackName),
}

impl Subject {
    pub(super) fn to_wire(&self) -> (String, String) {
        match self {
            Self::Deploy(deploy) => (deploy.to_string(), String::new()),
            Self::Newest(stack) => (String::new(), stack.to_string()),
        }
    }
}

/// What a watch yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The agent reported something new.
    Event(Event),
    /// The link broke, for this reason; attempts go on.
    Lost(String),
    /// The link is back.
    Restored,
}

/// A deploy being followed.
pub struct Watch {
    link: Link,
    subject: Subject,
    after: u64,
    stream: Option<Streaming<wire::Event>>,
    backoff: Backoff,
    /// A loss was told and its end was not yet.
    lost: bool,
    ended: bool,
}

impl Watch {
    pub(super) fn new(link: Link, subject: Subject, after: u64, patience: Patience) -> Self {
        Self {
            link,
            subject,
            after,
            stream: None,
            backoff: patience.start(),
            lost: false,
            ended: false,
        }
    }

    /// What happens next; `None` behind the deploy's last event, or behind an error.
    pub async fn next(&mut self) -> Option<Result<Seen, Fault>> {
        while !self.ended {
            let step = match self.stream.take() {
                Some(stream) => self.read(stream).await,
                None => self.open().await,
            };
            match step {
                Ok(None) => {}
                Ok(Some(seen)) => return Some(Ok(seen)),
                Err(fault) if fault.kind == FaultKind::Unreachable => {
                    if !self.lost {
                        self.lost = true;
                        let why = fault.causes.last().unwrap_or(&fault.what);
                        return Some(Ok(Seen::Lost(why.clone())));
                    }
                }
                Err(fault) => {
                    self.ended = true;
                    return Some(Err(fault));
                }
            }
        }
        None
    }

    async fn read(&mut self, mut stream: Streaming<wire::Event>) -> Result<Option<Seen>, Fault> {
        // No deadline of its own: the keepalive ends a dead connection, and the agent bounds every step.
        let message = stream.message().await;
        let message =
            message.map_err(|status| fault::from_status(&self.link.host, "watch", &status))?;
        let Some(message) = message else {
            let what = "the agent ended the stream before the deploy had ended";
            return Err(Fault::new(FaultKind::Unreachable, what));
        };
        let event = self.link.event(message)?;
        self.stream = Some(stream);
        self.backoff.reset();
        if event.kind.is_durable() {
            if event.seq <= self.after {
                return Ok(None);
            }
            self.after = event.seq;
        }
        if let EventKind::Received { deploy, .. } = &event.kind {
            // From here on it is this one, even if a newer one starts while the link is down.
            self.subject = Subject::Deploy(*deploy);
        }
        self.ended = event.kind.is_last();
        Ok(Some(Seen::Event(event)))
    }

    async fn open(&mut self) -> Result<Option<Seen>, Fault> {
        if self.lost {
            if !self.backoff.wait().await {
                return Err(self.gave_up());
            }
            self.link = self.link.reconnect().await?;
        }
        let (deploy, stack) = self.subject.to_wire();
        let request = wire::WatchRequest {
            deploy,
            stack,
            after: self.after,
        };
        let mut client = self.link.client.clone();
        let stream = self
            .link
            .call("watch", SHORT, client.watch(request))
            .await?;
        self.stream = Some(stream);
        Ok(std::mem::take(&mut self.lost).then_some(Seen::Restored))
    }

    fn gave_up(&self) -> Fault {
        let minutes = self.backoff.total().as_secs() / 60;
        let what = format!(
            "{} could not be reached again within {minutes} min",
            self.link.host
        );
        // Not `Unreachable`: that would be tried again.
        Fault::new(FaultKind::Failed, what).cause("the deploy goes on there, or has ended")
    }
}
