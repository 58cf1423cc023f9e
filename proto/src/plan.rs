//! What a deploy would do to one stack on one host, and why.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::hook::When;
use crate::id::{PlanId, ProjectName, RevisionId, ServiceName, StackName};
use crate::path::RelPath;

mod compare;
mod overwrite;

pub use overwrite::Overwrite;

/// How much of a stack a plan is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    #[default]
    Whole,
    /// Some services, and what they depend on.
    WithDependencies(BTreeSet<ServiceName>),
    /// Some services and nothing else.
    Alone(BTreeSet<ServiceName>),
}

/// The services that a deploy of part of a stack is about; it leaves the others alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// As asked for.
    pub named: BTreeSet<ServiceName>,
    /// What those depend on, near and far.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needed: BTreeSet<ServiceName>,
}

impl Part {
    /// Whether a service belongs to it.
    #[must_use]
    pub fn covers(&self, service: &ServiceName) -> bool {
        self.named.contains(service) || self.needed.contains(service)
    }

    /// Every service of it, by name.
    #[must_use]
    pub fn services(&self) -> BTreeSet<&ServiceName> {
        self.named.union(&self.needed).collect()
    }
}

/// What would happen to a service's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// There are none yet.
    Create,
    /// Stopped, removed and made anew.
    Recreate,
    /// Exists unchanged, but does not run.
    Start,
    /// Nothing.
    Keep,
    /// No longer part of the stack.
    Remove,
}

/// One service of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// Which.
    pub service: ServiceName,
    /// What would happen.
    pub action: Action,
    /// Why, beside the settings; empty for [`Action::Keep`].
    pub reasons: Vec<String>,
    /// Containers wanted.
    pub replicas: u32,
    /// Settings that differ from what runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// How long it would be away; `None` when it would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downtime: Option<Downtime>,
}

/// How long a service is away while its containers are replaced, from what its last start was measured to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downtime {
    /// Milliseconds; `None` when nothing was measured yet.
    pub millis: Option<u64>,
    /// Whether the time that its containers take to stop was measured too.
    pub with_stop: bool,
}

impl ServicePlan {
    /// Everything that is a reason, settings first and each once, in short words and without their values.
    #[must_use]
    pub fn why(&self) -> Vec<String> {
        let mut why: Vec<String> = Vec::new();
        let all = self.fields.iter().map(FieldChange::in_short);
        for reason in all.chain(self.reasons.iter().cloned()) {
            if !why.contains(&reason) {
                why.push(reason);
            }
        }
        why
    }
}

/// A setting of a service that differs from what runs. Lists have one for each item that comes or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Which: `ports`, `healthcheck interval`, `environment DB_URL`.
    pub name: String,
    /// What happens to it.
    pub change: Change,
    /// How it is now: as text where that may be shown, else a short keyed digest (`k:1f3a9c`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// How it would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl FieldChange {
    fn in_short(&self) -> String {
        match (self.name.as_str(), self.change, &self.before, &self.after) {
            ("image", _, Some(before), Some(after)) => format!("image {before} -> {after}"),
            (name, Change::Added, ..) => format!("{name} added"),
            (name, Change::Changed, ..) => format!("{name} changed"),
            (name, Change::Removed, ..) => format!("{name} removed"),
        }
    }
}

/// One image of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlan {
    /// As the Compose file names it.
    pub reference: String,
    /// What that name means in its registry now: `sha256:…`; `None` when the registry did not say.
    pub digest: Option<String>,
    /// Whether its content must be fetched.
    pub pull: bool,
    /// Who uses it.
    pub services: Vec<ServiceName>,
    /// What they run now: a digest, or an id where no digest is known; `None` when they do not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Compressed bytes that the pull fetches at most; `None` when there is no pull or the registry did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The platform that the files ask for, such as `linux/386`; `None`: the host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Why its registry was not asked, such as `pull_policy never`; `None` where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<String>,
}

/// What would happen to a shipped file or a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Not there before.
    Added,
    /// Other content or mode.
    Changed,
    /// No longer part of the stack; deleted if nobody changed it since.
    Removed,
}

/// What has become of a file on the host since it was laid out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostFile {
    /// Nothing.
    #[default]
    AsLaidOut,
    /// Somebody has written it, or put something else in its place.
    Changed,
    /// It is not there any more.
    Gone,
}

impl HostFile {
    fn is_as_laid_out(&self) -> bool {
        *self == Self::AsLaidOut
    }
}

/// One file of a plan; unchanged files are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePlan {
    /// Which.
    pub path: RelPath,
    /// What would happen.
    pub change: Change,
    /// What has become of it on the host.
    #[serde(default, skip_serializing_if = "HostFile::is_as_laid_out")]
    pub host: HostFile,
}

impl FilePlan {
    /// Whether both the host and the stack have changed it: a deploy replaces it only where an operator says so.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.host == HostFile::Changed && self.change != Change::Removed
    }
}

/// A container of ours whose service is no longer in the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanPlan {
    /// Container name.
    pub container: String,
    /// The service it was.
    pub service: ServiceName,
    /// What it holds that services of the stack need, as `port 8080/tcp of proxy`. One that is in the way is removed,
    /// whether or not orphans are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_the_way: Vec<String>,
}

/// Room for images on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Where the engine keeps them.
    pub path: String,
    /// Bytes that are free there.
    pub free: u64,
}

/// One hook of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookPlan {
    /// On which side of the deploy.
    pub when: When,
    /// Where it runs.
    pub service: ServiceName,
    /// What is run, on one line.
    pub command: String,
    /// Whether it may refuse the deploy.
    pub gate: bool,
    /// Whether it gets a container of its own.
    pub one_off: bool,
    /// Where what it prints is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save: Option<String>,
    /// Whether that is on the host.
    pub on_host: bool,
}

/// A project that somebody started by hand and that a deploy would take over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// Where it was started from.
    pub directory: String,
    /// Services that going back may make differently than they were found: how they were started is not all known.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub inexact: BTreeSet<ServiceName>,
}

/// The whole plan of one stack on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What a deploy names.
    pub id: PlanId,
    /// Which stack.
    pub stack: StackName,
    /// Its Compose project.
    pub project: ProjectName,
    /// The revision it was made against.
    pub base: Option<RevisionId>,
    /// What it is about; `None` is the whole stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Seconds it stays usable.
    pub expires_in: u32,
    /// Every service, in the stack's order.
    pub services: Vec<ServicePlan>,
    /// Every image.
    pub images: Vec<ImagePlan>,
    /// Files that differ.
    pub files: Vec<FilePlan>,
    /// Files that the host has changed and the stack has not: they stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept_files: Vec<RelPath>,
    /// Containers that are ours and no longer wanted.
    pub orphans: Vec<OrphanPlan>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// What is good to know, and needs nothing done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where the project lives on the host.
    pub project_directory: String,
    /// Room for what is to be pulled; `None` when nothing is, or it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// What is run before and after, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookPlan>,
    /// What it would take over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,
}

impl Plan {
    /// Whether a deploy would look after a service, rather than leave it alone.
    #[must_use]
    pub fn covers(&self, service: &ServiceName) -> bool {
        self.part.as_ref().is_none_or(|part| part.covers(service))
    }

    /// Whether a deploy would do anything at all. Orphans go only when asked for, so they do not count.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.adoption.is_some()
            || !self.files.is_empty()
            || self.images.iter().any(|image| image.pull)
            || self
                .services
                .iter()
                .any(|service| service.action != Action::Keep)
    }
}
