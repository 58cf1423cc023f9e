//! The point of no return, on disk: from here on a deploy ends forward or all the way back, never where it is.

use std::collections::BTreeMap;
use std::path::Path;

use proto::event::Outcome;
use proto::fault::{Fault, FaultKind, FaultReason};
use serde::{Deserialize, Serialize};

use super::Stopped;
use crate::engine::Container;
use crate::files::FileError;
use crate::record;
use crate::store::ImagePin;

/// What going on or going back needs to know of the moment before anything was changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Point {
    /// What each image name stands for in this deploy.
    pub images: BTreeMap<String, ImagePin>,
    /// The containers that were there.
    pub before: Vec<Container>,
    /// Of those, by id, which must be made anew though Compose will see no change in them.
    pub stale: Vec<String>,
    /// Of those, by id, which leave the stack: stopped before anything starts, removed once the new state is good.
    #[serde(default)]
    pub leaving: Vec<String>,
}

impl Point {
    /// The point of a deploy; `None` when it has changed nothing yet.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn load(folder: &Path) -> Result<Option<Self>, FileError> {
        record::read(&folder.join("point.json"))
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), FileError> {
        record::write(&folder.join("point.json"), self)
    }
}

/// Why a deploy is going back, once it is.
pub(super) fn reason(folder: &Path) -> Result<Option<Stopped>, FileError> {
    record::read(&folder.join("back.json"))
}

/// Records why, so that another agent goes on going back and does not try forward again.
pub(super) fn save_reason(folder: &Path, stopped: &Stopped) -> Result<(), FileError> {
    record::write(&folder.join("back.json"), stopped)
}

/// What is said when the records do not tell how far a deploy came: nothing is touched then.
pub(super) fn unknown(cause: Fault) -> Stopped {
    let what = "how far this deploy came is unknown; nothing more was touched";
    let mut fault = Fault::new(FaultKind::Failed, what)
        .reason(FaultReason::ProgressUnknown)
        .cause(cause.to_string());
    fault.causes.extend(cause.causes);
    let fault = fault.hint("what is wrong and what mends it: controller doctor");
    Stopped::new(Outcome::Interrupted, fault)
}
