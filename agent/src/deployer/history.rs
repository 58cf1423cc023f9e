//! What has been done to a stack, told from the deploys' folders and the revisions that are kept.

use std::collections::{BTreeMap, BTreeSet};

use proto::event::{EventKind, Outcome, State};
use proto::fault::Fault;
use proto::history::{Deed, Ending, HistoryEntry};
use proto::id::{DeployId, RevisionId, StackName};
use proto::registry::registry_of;

use super::{Deployer, Request, unknown_stack};
use crate::files::FileError;
use crate::journal;
use crate::store::Revision;

/// What is on the host, to tell of each revision whether it is.
struct Kept {
    current: Option<RevisionId>,
    /// Each kept revision, with where its images come from.
    registries: BTreeMap<RevisionId, Vec<String>>,
}

impl Deployer {
    /// The last deploys of a stack, `limit` at most, the newest first. A folder that cannot be read is left out, and
    /// a revision whose deploy is forgotten is told of at the end.
    ///
    /// # Errors
    /// When the stack was never deployed here, or nothing at all can be read.
    pub fn history(&self, stack: &StackName, limit: usize) -> Result<Vec<HistoryEntry>, Fault> {
        let revisions = self.store.revisions(stack)?;
        let current = readable(self.store.current(stack)).flatten();
        let kept = Kept {
            current: current.map(|revision| revision.id),
            registries: revisions.iter().map(|it| (it.id, registries(it))).collect(),
        };
        let mut asked = self.asked(stack)?;
        let forgotten = |revision: &&Revision| {
            let mut known = asked.iter();
            !known.any(|(deploy, _)| *deploy == revision.deploy)
        };
        let forgotten: Vec<HistoryEntry> = revisions
            .iter()
            .filter(forgotten)
            .map(|revision| kept.remembered(revision))
            .collect();
        if asked.is_empty() && forgotten.is_empty() {
            return Err(unknown_stack(stack));
        }
        asked.sort_by_key(|(id, it)| std::cmp::Reverse((it.number, it.since_millis, *id)));
        asked.truncate(limit);
        let told = asked.into_iter().map(|(id, it)| self.told(id, it, &kept));
        Ok(told.chain(forgotten).take(limit).collect())
    }

    /// What was asked for, with when and by whom from the first event where the request does not say.
    fn asked(&self, stack: &StackName) -> Result<Vec<(DeployId, Request)>, Fault> {
        let mut asked = Vec::new();
        for deploy in self.store.deploys()? {
            let request = readable(Request::load(&self.store, &deploy)).flatten();
            let Some(mut request) = request.filter(|request| request.stack == *stack) else {
                continue;
            };
            if request.operator.is_none() {
                let folder = self.store.deploy_folder(&deploy);
                let events = readable(journal::read_events(&folder)).unwrap_or_default();
                if let Some(first) = events.into_iter().next() {
                    request.since_millis = first.at_millis;
                    if let EventKind::Received { operator, .. } = first.kind {
                        request.operator = Some(operator);
                    }
                }
            }
            asked.push((deploy, request));
        }
        Ok(asked)
    }

    fn told(&self, deploy: DeployId, request: Request, kept: &Kept) -> HistoryEntry {
        // Before its journal is read: whoever is free of the stack has told its end.
        let runs = self.running(&request.stack) == Some(deploy);
        let last = readable(journal::last_event(&self.store.deploy_folder(&deploy))).flatten();
        let (ending, revision) = match last.map(|event| event.kind) {
            Some(EventKind::Finished {
                outcome,
                state,
                revision,
                ..
            }) => (Some(Ending { outcome, state }), revision),
            _ if runs => (None, None),
            // Its journal is damaged.
            _ => (Some(INTERRUPTED), None),
        };
        HistoryEntry {
            deploy,
            deed: request.deed(),
            operator: request.operator,
            began_at_millis: request.since_millis,
            number: request.number,
            ending,
            revision,
            current: kept.is_current(revision),
            kept: revision.is_some_and(|id| kept.registries.contains_key(&id)),
            changes: request.changes,
            registries: revision
                .and_then(|id| kept.registries.get(&id).cloned())
                .unwrap_or_default(),
        }
    }
}

const INTERRUPTED: Ending = Ending {
    outcome: Outcome::Interrupted,
    state: State::Failed,
};

impl Kept {
    fn is_current(&self, revision: Option<RevisionId>) -> bool {
        revision.is_some() && revision == self.current
    }

    /// A deploy of which nothing but its revision is left.
    fn remembered(&self, revision: &Revision) -> HistoryEntry {
        HistoryEntry {
            deploy: revision.deploy,
            deed: Deed::Deploy,
            operator: Some(revision.operator.clone()),
            began_at_millis: revision.committed_at_millis,
            number: 0,
            ending: Some(Ending {
                outcome: Outcome::Succeeded,
                state: State::Committed,
            }),
            revision: Some(revision.id),
            current: self.is_current(Some(revision.id)),
            kept: true,
            changes: found(revision).into_iter().collect(),
            registries: registries(revision),
        }
    }
}

fn registries(revision: &Revision) -> Vec<String> {
    let names = revision.images.keys().map(|name| registry_of(name));
    let names: BTreeSet<&str> = names.collect();
    names.into_iter().map(str::to_owned).collect()
}

/// What longshore did not make.
fn found(revision: &Revision) -> Option<String> {
    revision.found.as_ref()?;
    let from = revision.directory.display();
    Some(format!("as found, started by hand from {from}"))
}

/// One damaged file must not hide the rest.
fn readable<T>(read: Result<T, FileError>) -> Option<T> {
    read.inspect_err(|error| tracing::warn!(%error, "left out of a history"))
        .ok()
}
