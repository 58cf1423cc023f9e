//! Everything a screen may know: what agents report, and what the controller itself noticed, by place.
//!
//! With `-o jsonl` each event is one object on a line: `host`, `stack`, and either `agent` with what an agent
//! reported ([`proto::event`]) or `controller` with what was noticed here ([`Own`]). Both have the kind in `event`.

use std::fmt;

use proto::event::Event;
use proto::fault::Fault;
use proto::id::{DeployId, HostName, OperatorName, StackName};
use proto::plan::Plan;
use serde::{Deserialize, Serialize};

/// One stack on one host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Where.
    pub host: HostName,
    /// Which.
    pub stack: StackName,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.stack)
    }
}

/// Something that happened at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetEvent {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
}

/// Who noticed what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// An agent reported it.
    #[serde(rename = "agent")]
    Agent(Event),
    /// The controller noticed it.
    #[serde(rename = "controller")]
    Own(Own),
}

/// What the controller noticed by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Own {
    /// The host answered.
    Connected {
        /// The agent's version.
        agent: String,
    },
    /// Files are on their way. Progress: dropped when the screen is slow.
    Uploading {
        /// Bytes so far.
        sent: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The host has told what a deploy would do.
    Planned {
        /// Whether it would do anything.
        changes: bool,
        /// What it would do.
        plan: Box<Plan>,
    },
    /// Another deploy holds the stack; this one waits for its end.
    Waiting {
        /// The other one.
        deploy: DeployId,
        /// Whose it is.
        operator: OperatorName,
    },
    /// The host has taken the deploy over.
    Submitted {
        /// Its id, for `attach` and `cancel`.
        deploy: DeployId,
    },
    /// The connection broke; the deploy goes on, and so do attempts to reach it.
    LinkLost {
        /// Why.
        why: String,
    },
    /// The connection is back; nothing was missed.
    LinkRestored,
    /// What a hook has printed lies on this workstation.
    Fetched {
        /// Which, counted from 0.
        hook: u32,
        /// Bytes.
        size: u64,
        /// Where.
        file: String,
        /// It lay there before.
        before: bool,
    },
    /// What a hook has printed is on the host alone.
    NotFetched {
        /// Which, counted from 0.
        hook: u32,
        /// Why.
        fault: Fault,
    },
    /// Nothing had to be done.
    Unchanged,
    /// The controller was asked not to follow; the deploy goes on.
    Detached {
        /// Its id.
        deploy: DeployId,
    },
    /// The controller left; the deploy goes on.
    Left {
        /// Its id, where there is one yet.
        deploy: Option<DeployId>,
    },
    /// It ended without an agent's verdict.
    Broke {
        /// Why.
        fault: Fault,
    },
}

impl FleetEvent {
    /// Something that the controller noticed.
    #[must_use]
    pub fn own(place: &Place, own: Own) -> Self {
        Self {
            place: place.clone(),
            fact: Fact::Own(own),
        }
    }

    /// Something that an agent reported.
    #[must_use]
    pub fn agent(place: &Place, event: Event) -> Self {
        Self {
            place: place.clone(),
            fact: Fact::Agent(event),
        }
    }

    /// Whether a slow screen may miss it.
    #[must_use]
    pub fn is_progress(&self) -> bool {
        match &self.fact {
            Fact::Agent(event) => !event.kind.is_durable(),
            Fact::Own(own) => matches!(own, Own::Uploading { .. }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::event::{EventKind, State};

    #[test]
    fn an_event_reads_back_from_its_json() {
        let place = Place {
            host: "emilia".parse().unwrap(),
            stack: "opq".parse().unwrap(),
        };
        let event = Event {
            seq: 3,
            at_millis: u64::MAX,
            kind: EventKind::StateEntered {
                state: State::Applying,
            },
        };
        let agent = FleetEvent::agent(&place, event);
        let own = FleetEvent::own(&place, Own::LinkRestored);
        let text = serde_json::to_string(&agent).unwrap();
        assert_eq!(
            text,
            r#"{"host":"emilia","stack":"opq","agent":{"seq":3,"at_millis":18446744073709551615,"event":"state_entered","state":"applying"}}"#
        );
        assert_eq!(serde_json::from_str::<FleetEvent>(&text).unwrap(), agent);
        let text = serde_json::to_string(&own).unwrap();
        assert_eq!(
            text,
            r#"{"host":"emilia","stack":"opq","controller":{"event":"link_restored"}}"#
        );
        assert_eq!(serde_json::from_str::<FleetEvent>(&text).unwrap(), own);
    }
}
