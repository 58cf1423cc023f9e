//! What a deploy is to do, and what it goes forward to.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::{ProjectName, RevisionId, ServiceName, StackName, StageId};
use proto::plan::{Overwrite, Plan};
use proto::registry::RegistryAuth;
use serde::{Deserialize, Serialize};

use super::{Job, Stopped, point};
use crate::files::{self, FileError};
use crate::record;
use crate::store::{Revision, Stage};

/// What a deploy is to do. Kept on disk until its end, without the logins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "snake_case")]
pub enum Work {
    /// Bring the host to a staged stack.
    Deploy {
        /// What is wanted.
        stage: StageId,
        /// What the operator agreed to.
        plan: Box<Plan>,
        /// Services to be recreated in whose containers Compose sees no change.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        forced: BTreeSet<ServiceName>,
        /// Logins for the pulls; a restarted agent has none.
        #[serde(skip)]
        auths: Vec<RegistryAuth>,
        /// Whether the plan's orphans go.
        remove_orphans: bool,
        /// Files whose host's version is given up.
        #[serde(default, skip_serializing_if = "Overwrite::is_nothing")]
        overwrite: Overwrite,
        /// Whether gates that refuse are passed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
        /// How long an operator has to confirm what it brought; `None` when nobody has to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm_within: Option<Duration>,
        /// What is taken over, to be committed before anything is changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<Box<Revision>>,
    },
    /// Bring a stack back to a kept revision.
    Rollback {
        /// Which stack.
        stack: StackName,
        /// Which revision.
        to: RevisionId,
        /// Logins for images that have left the host; a restarted agent has none.
        #[serde(skip)]
        auths: Vec<RegistryAuth>,
    },
    /// Take a stack down.
    Down {
        /// Which stack.
        stack: StackName,
        /// Its named volumes too: their data is lost.
        volumes: bool,
    },
}

impl Work {
    /// The work of a deploy that has not ended.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn load(folder: &Path) -> Result<Option<Self>, FileError> {
        record::read(&folder.join("work.json"))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save(&self, folder: &Path) -> Result<(), FileError> {
        files::private_dir(folder)?;
        record::write(&folder.join("work.json"), self)
    }

    /// Logins that came with it.
    #[must_use]
    pub fn auths(&self) -> &[RegistryAuth] {
        match self {
            Self::Deploy { auths, .. } | Self::Rollback { auths, .. } => auths,
            Self::Down { .. } => &[],
        }
    }

    /// Which stack it is about.
    #[must_use]
    pub fn stack(&self) -> &StackName {
        match self {
            Self::Deploy { plan, .. } => &plan.stack,
            Self::Rollback { stack, .. } | Self::Down { stack, .. } => stack,
        }
    }
}

/// What a deploy goes forward to.
pub(super) enum Goal {
    Stage {
        stage: Box<Stage>,
        plan: Box<Plan>,
        forced: BTreeSet<ServiceName>,
        overwrite: Overwrite,
        remove_orphans: bool,
        confirm_within: Option<Duration>,
    },
    Revision(Box<Revision>),
}

impl Goal {
    /// The Compose project that it is about.
    pub(super) fn project(&self) -> &ProjectName {
        match self {
            Self::Stage { stage, .. } => &stage.spec.project,
            Self::Revision(revision) => &revision.spec.project,
        }
    }
}

impl Job {
    /// Where a deploy or a rollback goes; the records of both are kept until it ends.
    pub(super) fn goal(&self, work: &Work) -> Result<Goal, Stopped> {
        Ok(match work {
            Work::Deploy {
                stage,
                plan,
                forced,
                overwrite,
                remove_orphans,
                confirm_within,
                ..
            } => {
                let stage = self.store.stage(stage)?;
                Goal::Stage {
                    stage: Box::new(stage.ok_or_else(|| point::unknown(no_such("staged stack")))?),
                    plan: plan.clone(),
                    forced: forced.clone(),
                    overwrite: overwrite.clone(),
                    remove_orphans: *remove_orphans,
                    confirm_within: *confirm_within,
                }
            }
            Work::Rollback { stack, to, .. } => {
                let revision = self.store.revision(stack, to)?;
                let revision = revision.ok_or_else(|| point::unknown(no_such("revision")))?;
                Goal::Revision(Box::new(revision))
            }
            Work::Down { .. } => return Err(point::unknown(no_such("goal"))),
        })
    }
}

/// A record that should be there.
pub(super) fn no_such(what: &str) -> Fault {
    Fault::new(
        FaultKind::Internal,
        format!("the {what} of this deploy is gone"),
    )
}
