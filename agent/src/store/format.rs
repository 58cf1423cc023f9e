//! Which format the state directory has: an agent older than the one that wrote it reads, and changes nothing.

use std::path::Path;

use proto::fault::{Fault, FaultKind};
use serde::{Deserialize, Serialize};

use crate::files::FileError;
use crate::record;

/// What a fresh state directory has, and every agent can read.
const FIRST: u32 = 1;
/// Raised whenever an older agent would lose something of what a newer one writes. A directory gets it with the first
/// stack that needs it, so that an upgrade of an agent can go back until then.
///
/// 2: several env files, a project folder below the stack's, and service names that are Compose's.
const FORMAT: u32 = 2;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// The first agent here that wrote it.
    agent: String,
}

/// The newer agent that a state directory needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newer {
    agent: String,
    format: u32,
}

impl Newer {
    /// Why nothing is changed here.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let own = env!("CARGO_PKG_VERSION");
        let Self { agent, format } = self;
        let what = format!("the state of this host was written by a newer agent, {agent}");
        Fault::new(FaultKind::Refused, what)
            .cause(format!(
                "it has format {format}; this agent is {own} and knows {FORMAT} at most"
            ))
            .hint(format!("install agent {agent} or a newer one on the host"))
    }
}

/// Notes our own format where an older one stands, or none; answers who is needed where it is a newer one.
pub(super) fn settle(root: &Path) -> Result<Option<Newer>, FileError> {
    let path = root.join("format.json");
    match record::read::<Kept>(&path) {
        Ok(Some(Kept { format, agent })) if format > FORMAT => Ok(Some(Newer { agent, format })),
        Ok(Some(kept)) if kept.format >= FIRST => Ok(None),
        Err(error) if !error.is_damaged() => Err(error),
        read => {
            if let Err(error) = read {
                // Every record has a checksum of its own, so nothing is believed for this.
                tracing::error!(%error, "the note of the format is written anew");
            }
            write(&path, FIRST)?;
            Ok(None)
        }
    }
}

/// Keeps agents away that would lose something of what is written from now on.
pub(super) fn raise(root: &Path) -> Result<(), FileError> {
    let path = root.join("format.json");
    match record::read::<Kept>(&path) {
        Ok(Some(kept)) if kept.format >= FORMAT => Ok(()),
        Err(error) if !error.is_damaged() => Err(error),
        _ => write(&path, FORMAT),
    }
}

fn write(path: &Path, format: u32) -> Result<(), FileError> {
    let agent = env!("CARGO_PKG_VERSION").to_owned();
    record::write(path, &Kept { format, agent })
}
