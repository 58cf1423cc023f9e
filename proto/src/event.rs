//! Numbered facts about a deploy: the only thing a screen is drawn from.

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::hook::{Saved, When};
use crate::id::{DeployId, OperatorName, RevisionId, ServiceName, StackName};

/// Where a deploy is. States move forward; an agent that was restarted in the middle enters `Applying` once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Journaled; it exists.
    Received,
    /// Files and values are on the host.
    Staged,
    /// Compared with what runs.
    Planned,
    /// What is to be done before it is being done.
    Hooks,
    /// Every image is present and verified.
    Pulled,
    /// Files are being replaced and Compose runs.
    Applying,
    /// Health is being judged.
    Verifying,
    /// Judged good, and kept only if an operator says so in time.
    AwaitingConfirm,
    /// The new revision is the stack's.
    Committed,
    /// Going back to the last good revision.
    RollingBack,
    /// Back at the last good revision.
    RolledBack,
    /// Ended without success.
    Failed,
    /// The stack was taken down.
    Removed,
}

/// How a step or a deploy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Succeeded,
    /// Nothing had to be done.
    Skipped,
    /// Tried, and it did not work.
    Failed,
    /// Its deadline passed.
    TimedOut,
    /// An operator asked to stop.
    Cancelled,
    /// The agent went away in the middle.
    Interrupted,
}

/// What is happening to one layer of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerPhase {
    /// Queued.
    Waiting,
    /// Bytes arrive.
    Downloading,
    /// Bytes are unpacked.
    Extracting,
    /// Present.
    Done,
}

/// What the engine says of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Up.
    Running,
    /// Between a crash and its next start.
    Restarting,
    /// Frozen.
    Paused,
    /// Ended.
    Exited,
    /// The engine could not remove it.
    Dead,
    /// Going away.
    Removing,
}

/// What a container's healthcheck says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// There is no healthcheck.
    None,
    /// Too early to say.
    Starting,
    /// Passing.
    Healthy,
    /// Failing.
    Unhealthy,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The deploy is journaled and will run to its end, whoever watches.
    Received {
        /// Its id.
        deploy: DeployId,
        /// Which stack.
        stack: StackName,
        /// Who asked.
        operator: OperatorName,
    },
    /// The deploy moved on.
    StateEntered {
        /// Where it is now.
        state: State,
    },
    /// The engine was asked for an image.
    PullStarted {
        /// Its name.
        image: String,
    },
    /// Bytes of a layer. Progress: not numbered, not replayed, dropped when a reader is slow.
    LayerProgress {
        /// The image's name.
        image: String,
        /// Short digest.
        layer: String,
        /// What is happening to it.
        phase: LayerPhase,
        /// Bytes so far.
        current: u64,
        /// Bytes in all; 0 when unknown.
        total: u64,
    },
    /// An image is present and verified, or not.
    PullFinished {
        /// Its name.
        image: String,
        /// What it turned out to be.
        digest: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// A line that Compose printed.
    ComposeLine {
        /// Without its newline.
        text: String,
    },
    /// A container changed.
    ServiceState {
        /// Its service.
        service: ServiceName,
        /// Its name.
        container: String,
        /// What the engine says.
        state: ContainerState,
        /// What its healthcheck says.
        health: Health,
        /// Meaningful when exited.
        exit_code: i64,
        /// Judged good.
        settled: bool,
    },
    /// A probe was answered otherwise than before.
    ProbeAnswered {
        /// Whose container.
        service: ServiceName,
        /// The container's name.
        container: String,
        /// What was asked: `http /health on port 8080`.
        probe: String,
        /// Whether that was the answer wanted.
        passed: bool,
        /// What came: `answered 503`.
        answer: String,
    },
    /// A command of the stack's own begins.
    HookStarted {
        /// Counts from 0 over all hooks of the stack.
        hook: u32,
        /// On which side of the deploy.
        when: When,
        /// Where it runs.
        service: ServiceName,
        /// What is run, on one line.
        command: String,
    },
    /// A line that such a command printed.
    HookLine {
        /// Which.
        hook: u32,
        /// Without its newline.
        text: String,
    },
    /// Such a command has ended, or was not run.
    HookFinished {
        /// Which.
        hook: u32,
        /// How.
        outcome: Outcome,
        /// Its exit code, when it ended by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i64>,
        /// The last number it printed, where that counts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<String>,
        /// What it printed, where that is kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saved: Option<Box<Saved>>,
        /// Why it ended so, when there is something to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// Something the operator should know.
    Warning {
        /// A sentence.
        text: String,
    },
    /// The deploy goes back unless an operator confirms it in time.
    ConfirmWanted {
        /// How much time is left, in seconds.
        seconds: u32,
    },
    /// An operator has confirmed it.
    Confirmed {
        /// Who.
        operator: OperatorName,
    },
    /// What the deploy has made anew, told when it is judged: all other containers are those that were there before.
    Renewed {
        /// Their names, in order.
        containers: Vec<String>,
    },
    /// The end; nothing follows.
    Finished {
        /// How it ended.
        outcome: Outcome,
        /// Where it ended.
        state: State,
        /// What is committed now.
        revision: Option<RevisionId>,
        /// Why, when it did not succeed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
}

impl EventKind {
    /// Whether it is journaled, numbered and replayed.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !matches!(self, Self::LayerProgress { .. })
    }

    /// Whether nothing follows it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Finished { .. })
    }
}

/// A fact with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 within a deploy; 0 for progress.
    pub seq: u64,
    /// The host's wall clock in unix milliseconds, for people; order is by `seq`.
    pub at_millis: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}
