//! Revisions: one complete state of a stack each; a rename makes one current.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proto::id::{DeployId, OperatorName, RevisionId, ServiceName, StackName};
use proto::path::RelPath;
use proto::stack::{ShippedFile, StackSpec};
use serde::{Deserialize, Serialize};

use super::Store;
use crate::files::{self, FileError};
use crate::projectdir::Known;
use crate::record;
use crate::resolved::ResolvedStack;

/// What an image name stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePin {
    /// `sha256:…` of the image's configuration.
    pub id: String,
    /// `sha256:…` in its registry; `None` when it never came from one.
    pub digest: Option<String>,
}

/// How long a service took when it was last replaced or started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Took {
    /// Milliseconds from its container's start until it was healthy.
    pub start_millis: u64,
    /// Milliseconds from when its old container was to go until the new one started; `None` when there was no old one.
    pub stop_millis: Option<u64>,
}

/// One complete, judged state of a stack on this host. Holds secret values, so its file is private.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revision {
    /// Keyed digest of the state.
    pub id: RevisionId,
    /// Files, values and how Compose reads them.
    pub spec: StackSpec,
    /// What Compose made of it.
    pub resolved: ResolvedStack,
    /// By name, as the Compose files spell it.
    pub images: BTreeMap<String, ImagePin>,
    /// Compose's config hash of each service's containers, as seen when it was judged.
    pub config_hashes: BTreeMap<ServiceName, String>,
    /// Services that a deploy of others left as they were, by the revision that made them. Going back to this one
    /// needs that one's files and values for them; the rest is its own.
    #[serde(default)]
    pub older: BTreeMap<ServiceName, RevisionId>,
    /// Services whose containers had ended when it was judged; `None` in records of agents that did not note it.
    #[serde(default)]
    pub ended: Option<BTreeSet<ServiceName>>,
    /// How long each service took when it last started, where that was measured.
    #[serde(default)]
    pub took: BTreeMap<ServiceName, Took>,
    /// The Compose that ran.
    pub compose_version: String,
    /// The engine that ran.
    pub engine_version: String,
    /// Where its project lives.
    pub directory: PathBuf,
    /// Which deploy committed it.
    pub deploy: DeployId,
    /// Who asked.
    pub operator: OperatorName,
    /// Unix milliseconds.
    pub committed_at_millis: u64,
    /// Counts the commits of this stack here; order is by this, never by the clock.
    #[serde(default)]
    pub number: u64,
    /// Only when longshore did not make it, but found it running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<AsFound>,
}

impl Revision {
    /// Whether all containers of a service had ended when this was judged; `None` where it had none, or that was not
    /// noted.
    #[must_use]
    pub fn had_ended(&self, service: &ServiceName) -> Option<bool> {
        let ended = self.ended.as_ref()?;
        let had_containers = self.config_hashes.contains_key(service);
        had_containers.then(|| ended.contains(service))
    }
}

/// What is not known, or not as it should be, of a state that somebody else had made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsFound {
    /// Services that were started with files or values that are not known: as long as their containers are those
    /// that were found, going back leaves them alone.
    pub inexact: BTreeSet<ServiceName>,
    /// Services that were not well: going back asks no more of them.
    pub unwell: BTreeSet<ServiceName>,
    /// What it was started from beside the files that the stack ships. Nobody touches it; it comes back if it is lost.
    pub beside: Vec<ShippedFile>,
}

/// What was last laid out in the project directory, committed or not: written before the first file is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// By which deploy.
    pub deploy: DeployId,
    /// How Compose reads it; `down` needs it when no revision was ever committed.
    pub spec: StackSpec,
    /// Files that were there before and may still be, when the deploy was cut short.
    pub before: Vec<ShippedFile>,
    /// What was seen of each file once all lay there; a file that is not listed has to be read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub known: BTreeMap<RelPath, Known>,
}

impl Store {
    fn current_path(&self, stack: &StackName) -> PathBuf {
        self.stack_folder(stack).join("current.json")
    }

    fn applied_path(&self, stack: &StackName) -> PathBuf {
        self.stack_folder(stack).join("applied.json")
    }

    pub(super) fn revision_path(&self, stack: &StackName, id: &RevisionId) -> PathBuf {
        self.stack_folder(stack)
            .join("revisions")
            .join(format!("{id}.json"))
    }

    /// The committed revision of a stack.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn current(&self, stack: &StackName) -> Result<Option<Revision>, FileError> {
        match record::read(&self.current_path(stack)) {
            Err(error) if error.is_damaged() => {
                // The same revision, if nothing was committed in between; the next plan compares it with what runs.
                let newest = self.revisions(stack)?.into_iter().next();
                tracing::error!(%stack, %error, "taking the last kept revision instead");
                newest.map_or(Err(error), |revision| Ok(Some(revision)))
            }
            read => read,
        }
    }

    /// A kept revision.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn revision(
        &self,
        stack: &StackName,
        id: &RevisionId,
    ) -> Result<Option<Revision>, FileError> {
        record::read(&self.revision_path(stack, id))
    }

    /// Every kept revision of a stack that is undamaged, the last committed first.
    ///
    /// # Errors
    /// When the folder or one of its files cannot be read.
    pub fn revisions(&self, stack: &StackName) -> Result<Vec<Revision>, FileError> {
        let folder = self.stack_folder(stack).join("revisions");
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut revisions = Vec::new();
        for name in super::list(&folder)? {
            let id = name.strip_suffix(".json").and_then(|id| id.parse().ok());
            match id.map(|id| self.revision(stack, &id)) {
                Some(Ok(revision)) => revisions.extend(revision),
                Some(Err(error)) if error.is_damaged() => {
                    tracing::error!(%stack, %error, "a revision is lost");
                }
                // It may be whole, and must not be taken for one that never was.
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
        revisions.sort_by_key(|revision: &Revision| std::cmp::Reverse(revision.number));
        Ok(revisions)
    }

    /// Makes a revision the stack's: kept under its id first, then one rename.
    ///
    /// # Errors
    /// When the file system refuses; the old revision then stays current.
    pub fn commit(&self, revision: &Revision) -> Result<(), FileError> {
        let stack = &revision.spec.stack;
        files::private_dir(&self.stack_folder(stack).join("revisions"))?;
        record::write(&self.revision_path(stack, &revision.id), revision)?;
        record::write(&self.current_path(stack), revision)
    }

    /// Forgets what is current, after the stack was taken down.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn forget_current(&self, stack: &StackName) -> Result<(), FileError> {
        files::remove_for_good(&self.current_path(stack))
    }

    /// What was last laid out, committed or not.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn applied(&self, stack: &StackName) -> Result<Option<Applied>, FileError> {
        let of = |current: Revision| Applied {
            deploy: current.deploy,
            spec: current.spec,
            before: Vec::new(),
            known: BTreeMap::new(),
        };
        match record::read(&self.applied_path(stack)) {
            Err(error) if error.is_damaged() => {
                let Some(current) = self.current(stack)? else {
                    return Err(error);
                };
                tracing::error!(%stack, %error, "taking the committed revision instead");
                Ok(Some(of(current)))
            }
            // Taken over a moment ago: nothing was laid out yet.
            Ok(None) => Ok(self.current(stack)?.map(of)),
            read => read,
        }
    }

    /// Records what is about to be laid out.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save_applied(&self, applied: &Applied) -> Result<(), FileError> {
        files::private_dir(&self.stack_folder(&applied.spec.stack))?;
        record::write(&self.applied_path(&applied.spec.stack), applied)
    }

    /// Where a copy is kept of a file of the host that a deploy has replaced: as long as the deploy itself is remembered.
    #[must_use]
    pub fn copy_of_replaced(&self, deploy: &DeployId, path: &RelPath) -> PathBuf {
        path.under(&self.deploy_folder(deploy).join("replaced"))
    }

    /// The newest deploy of a stack.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn latest_deploy(&self, stack: &StackName) -> Result<Option<DeployId>, FileError> {
        record::read(&self.stack_folder(stack).join("latest.json"))
    }

    /// Remembers the newest deploy of a stack.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save_latest_deploy(
        &self,
        stack: &StackName,
        deploy: &DeployId,
    ) -> Result<(), FileError> {
        files::private_dir(&self.stack_folder(stack))?;
        record::write(&self.stack_folder(stack).join("latest.json"), deploy)
    }

    /// The stack that owns a Compose project name here, committed or laid out.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn owner_of(
        &self,
        project: &proto::id::ProjectName,
    ) -> Result<Option<StackName>, FileError> {
        for stack in self.stacks()? {
            let current = self.current(&stack).map(|it| it.map(|it| it.spec.project));
            let applied = self.applied(&stack).map(|it| it.map(|it| it.spec.project));
            // A stack whose records are lost must not hold up the others; its containers still tell whose they are.
            let known = [current.ok().flatten(), applied.ok().flatten()];
            if known.into_iter().flatten().any(|name| name == *project) {
                return Ok(Some(stack));
            }
        }
        Ok(None)
    }
}
