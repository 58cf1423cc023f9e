//! What `host upgrade` tells of each host.

use proto::fault::Fault;
use proto::id::HostName;
use serde::Serialize;

use crate::exit::Exit;

/// How it ended on one host.
#[derive(Debug, Serialize)]
pub(crate) struct Upgraded {
    pub(crate) host: HostName,
    /// Which version was asked for.
    pub(crate) version: String,
    /// How long it took.
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What became of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(crate) enum What {
    /// A new agent runs, and stays.
    Upgraded { from: String, to: String },
    /// It ran already.
    Current { build: String },
    /// The new one could not be worked with; the old one runs again.
    WentBack {
        from: String,
        to: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<Fault>,
    },
    /// Nothing was changed, or nothing is known.
    Failed { fault: Fault },
    /// Another host had not gone well before.
    Skipped,
}

impl What {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Upgraded { .. } | Self::Current { .. } => Exit::Done,
            Self::WentBack { .. } => Exit::RolledBack,
            Self::Failed { fault } => fault.kind.into(),
            Self::Skipped => Exit::Failed,
        }
    }
}

/// One host in words.
pub(crate) fn line(upgraded: &Upgraded) -> String {
    let Upgraded { host, seconds, .. } = upgraded;
    match &upgraded.what {
        What::Upgraded { from, to } => {
            format!("{host}: agent {from} is now {to} ({seconds:.1} s)")
        }
        What::Current { build } => format!("{host}: agent {build} runs already"),
        What::WentBack { from, to, why } => {
            let why = why.as_ref().map(reasons).unwrap_or_else(|| {
                "it did not answer in its tries; journalctl -u longshore-agent on the host tells what it said".to_owned()
            });
            format!("{host}: went back to agent {from}, {to} could not be worked with: {why}")
        }
        What::Failed { fault } => format!("{host}: not upgraded: {}", reasons(fault)),
        What::Skipped => format!("{host}: not tried, because another host did not go well"),
    }
}

fn reasons(fault: &Fault) -> String {
    let parts = std::iter::once(&fault.what).chain(&fault.causes);
    let mut text = parts.map(String::as_str).collect::<Vec<_>>().join(": ");
    for hint in &fault.hints {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}
