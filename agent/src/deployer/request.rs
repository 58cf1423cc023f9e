//! What was asked for, kept beside the events: a resent request is recognised by it, and a history is told from it.

use proto::history::Deed;
use proto::id::{DeployId, OperatorName, StackName};
use serde::{Deserialize, Serialize};

use crate::deploy::Work;
use crate::files::FileError;
use crate::record;
use crate::store::Store;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) stack: StackName,
    pub(super) what: String,
    // What follows was not kept by the first agents.
    #[serde(default)]
    pub(super) operator: Option<OperatorName>,
    #[serde(default)]
    pub(super) since_millis: u64,
    /// Counts what is done to the stack: order is by this, never by the clock.
    #[serde(default)]
    pub(super) number: u64,
    #[serde(default)]
    pub(super) deed: Option<Deed>,
    /// Names, never values.
    #[serde(default)]
    pub(super) changes: Vec<String>,
}

impl Request {
    pub(super) fn load(store: &Store, deploy: &DeployId) -> Result<Option<Self>, FileError> {
        record::read(&store.deploy_folder(deploy).join("request.json"))
    }

    pub(super) fn save(&self, store: &Store, deploy: &DeployId) -> Result<(), FileError> {
        record::write(&store.deploy_folder(deploy).join("request.json"), self)
    }

    /// What it was for; the first agents told it by the words they kept.
    pub(super) fn deed(&self) -> Deed {
        self.deed
            .unwrap_or_else(|| match self.what.split(' ').next() {
                Some("down") => Deed::Down,
                Some("roll") => Deed::Rollback,
                _ => Deed::Deploy,
            })
    }
}

/// What a work is for.
pub(super) fn deed(work: &Work) -> Deed {
    match work {
        Work::Deploy { .. } => Deed::Deploy,
        Work::Rollback { .. } => Deed::Rollback,
        Work::Down { .. } => Deed::Down,
    }
}

/// The number of the next request for a stack. What cannot be read holds up no deploy.
pub(super) fn next_number(store: &Store, stack: &StackName) -> u64 {
    let number = |deploy: DeployId| {
        let request = Request::load(store, &deploy).ok().flatten();
        request.filter(|it| it.stack == *stack).map(|it| it.number)
    };
    let latest = store.latest_deploy(stack).ok().flatten();
    let all = || store.deploys().unwrap_or_default();
    let newest = latest
        .and_then(number)
        .or_else(|| all().into_iter().filter_map(number).max());
    newest.unwrap_or(0) + 1
}
