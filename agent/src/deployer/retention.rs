//! What may go: sets in, sets out. Nothing that can be reached from what must stay is ever among it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::id::{BlobId, RevisionId, StackName, StageId};

/// Revisions of one stack that stay beside those that something needs.
pub(super) const REVISIONS: usize = 10;
/// A cut upload, and a plan that nobody deployed, may be taken up again for so long.
pub(super) const UNUSED: Duration = Duration::from_secs(24 * 60 * 60);

/// What is on the host.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) stacks: BTreeMap<StackName, FoundStack>,
    pub(super) stages: BTreeMap<StageId, FoundStage>,
    /// How long nobody has used each.
    pub(super) blobs: BTreeMap<BlobId, Duration>,
    /// What unfinished deploys and live plans go by.
    pub(super) named: Named,
}

/// What must stay whatever its age.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) revisions: BTreeSet<RevisionId>,
    pub(super) stages: BTreeSet<StageId>,
}

#[derive(Debug, Default)]
pub(super) struct FoundStack {
    /// The last committed first.
    pub(super) revisions: Vec<FoundRevision>,
    pub(super) current: Option<FoundRevision>,
    /// What is laid out in the project directory.
    pub(super) applied: BTreeSet<BlobId>,
}

#[derive(Debug, Clone)]
pub(super) struct FoundRevision {
    pub(super) id: RevisionId,
    /// Those that it needs to be restored.
    pub(super) older: BTreeSet<RevisionId>,
    pub(super) blobs: BTreeSet<BlobId>,
}

#[derive(Debug)]
pub(super) struct FoundStage {
    pub(super) unused_for: Duration,
    pub(super) blobs: BTreeSet<BlobId>,
}

/// What nothing needs any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Waste {
    pub(super) revisions: BTreeSet<(StackName, RevisionId)>,
    pub(super) stages: BTreeSet<StageId>,
    pub(super) blobs: BTreeSet<BlobId>,
}

/// What may go.
pub(super) fn waste(found: &Found) -> Waste {
    let mut waste = Waste::default();
    let mut needed: BTreeSet<BlobId> = BTreeSet::new();
    for (name, stack) in &found.stacks {
        let kept = kept(stack, &found.named.revisions);
        needed.extend(&stack.applied);
        for revision in stack.current.iter().chain(&stack.revisions) {
            if kept.contains(&revision.id) {
                needed.extend(&revision.blobs);
            } else {
                waste.revisions.insert((name.clone(), revision.id));
            }
        }
    }
    for (id, stage) in &found.stages {
        if stage.unused_for < UNUSED || found.named.stages.contains(id) {
            needed.extend(&stage.blobs);
        } else {
            waste.stages.insert(*id);
        }
    }
    let old = found.blobs.iter().filter(|(_, unused)| **unused >= UNUSED);
    let old = old.map(|(id, _)| *id);
    waste.blobs = old.filter(|id| !needed.contains(id)).collect();
    waste
}

/// The newest, the current one, those that are named, and all that these need in turn.
fn kept(stack: &FoundStack, named: &BTreeSet<RevisionId>) -> BTreeSet<RevisionId> {
    let newest = stack.revisions.iter().take(REVISIONS);
    let mut ahead: Vec<RevisionId> = newest
        .chain(&stack.current)
        .map(|revision| revision.id)
        .chain(named.iter().copied())
        .collect();
    let mut kept = BTreeSet::new();
    while let Some(id) = ahead.pop() {
        if kept.insert(id) {
            let same = stack.current.iter().chain(&stack.revisions);
            let same = same.filter(|revision| revision.id == id);
            ahead.extend(same.flat_map(|revision| &revision.older));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn revision_id(number: u8) -> RevisionId {
        RevisionId::from_bytes([number; 32])
    }

    fn any_blobs() -> impl Strategy<Value = BTreeSet<BlobId>> {
        prop::collection::btree_set((0..24_u8).prop_map(|n| BlobId::from_bytes([n; 32])), 0..4)
    }

    fn any_age() -> impl Strategy<Value = Duration> {
        prop::sample::select(vec![0, DAY - 1, DAY, 9 * DAY]).prop_map(Duration::from_secs)
    }

    fn any_revision() -> impl Strategy<Value = FoundRevision> {
        let older = prop::collection::btree_set((0..30_u8).prop_map(revision_id), 0..2);
        (0..30_u8, older, any_blobs()).prop_map(|(id, older, blobs)| FoundRevision {
            id: revision_id(id),
            older,
            blobs,
        })
    }

    fn any_stack() -> impl Strategy<Value = FoundStack> {
        let revisions = prop::collection::vec(any_revision(), 0..20);
        let current = prop::option::of(any_revision());
        (revisions, current, any_blobs()).prop_map(|(mut revisions, current, applied)| {
            let mut seen = BTreeSet::new();
            revisions.retain(|revision| seen.insert(revision.id));
            FoundStack {
                revisions,
                current,
                applied,
            }
        })
    }

    fn any_found() -> impl Strategy<Value = Found> {
        let stage_id = || (0..8_u8).prop_map(|n| StageId::from_bytes([n; 32]));
        let stage = (any_age(), any_blobs());
        let stage = stage.prop_map(|(unused_for, blobs)| FoundStage { unused_for, blobs });
        let blob = (0..24_u8).prop_map(|n| BlobId::from_bytes([n; 32]));
        let stack = "[ab]".prop_map(|name| name.parse::<StackName>().unwrap());
        let named = (
            prop::collection::btree_set((0..30_u8).prop_map(revision_id), 0..3),
            prop::collection::btree_set(stage_id(), 0..3),
        );
        (
            prop::collection::btree_map(stack, any_stack(), 0..3),
            prop::collection::btree_map(stage_id(), stage, 0..6),
            prop::collection::btree_map(blob, any_age(), 0..24),
            named.prop_map(|(revisions, stages)| Named { revisions, stages }),
        )
            .prop_map(|(stacks, stages, blobs, named)| Found {
                stacks,
                stages,
                blobs,
                named,
            })
    }

    proptest! {
        #[test]
        fn what_can_be_reached_stays(found in any_found()) {
            let waste = waste(&found);
            let mut reached: BTreeSet<BlobId> = BTreeSet::new();
            for (name, stack) in &found.stacks {
                reached.extend(&stack.applied);
                for (place, revision) in stack.revisions.iter().enumerate() {
                    let gone = waste.revisions.contains(&(name.clone(), revision.id));
                    let current = stack.current.as_ref().map(|it| it.id) == Some(revision.id);
                    let named = found.named.revisions.contains(&revision.id);
                    prop_assert!(!(gone && (place < REVISIONS || current || named)));
                    if !gone {
                        reached.extend(&revision.blobs);
                        for older in &revision.older {
                            prop_assert!(!waste.revisions.contains(&(name.clone(), *older)));
                        }
                    }
                }
                reached.extend(stack.current.iter().flat_map(|it| &it.blobs));
            }
            for (id, stage) in &found.stages {
                if waste.stages.contains(id) {
                    prop_assert!(stage.unused_for >= UNUSED && !found.named.stages.contains(id));
                } else {
                    reached.extend(&stage.blobs);
                }
            }
            for (blob, unused_for) in &found.blobs {
                let gone = waste.blobs.contains(blob);
                let old = *unused_for >= UNUSED;
                prop_assert_eq!(gone, old && !reached.contains(blob));
            }
        }
    }

    #[test]
    fn the_eleventh_revision_goes_unless_something_needs_it() {
        let revision = |number: u8| FoundRevision {
            id: revision_id(number),
            older: BTreeSet::new(),
            blobs: BTreeSet::new(),
        };
        let with = |change: fn(&mut FoundStack, &mut Named)| {
            let mut stack = FoundStack {
                revisions: (0..12).map(revision).collect(),
                ..FoundStack::default()
            };
            let mut named = Named::default();
            change(&mut stack, &mut named);
            let stacks = BTreeMap::from([("opq".parse().unwrap(), stack)]);
            let found = Found {
                stacks,
                named,
                ..Found::default()
            };
            let gone = waste(&found).revisions.into_iter();
            gone.map(|(_, id)| id.as_bytes()[0]).collect::<Vec<_>>()
        };
        assert_eq!(with(|_, _| {}), [10, 11]);
        assert_eq!(with(|stack, _| stack.current = stack.revisions.pop()), [10]);
        let older = |stack: &mut FoundStack, _: &mut Named| {
            stack.revisions[2].older.insert(revision_id(11));
        };
        assert_eq!(with(older), [10]);
        let named = |_: &mut FoundStack, named: &mut Named| {
            named.revisions.insert(revision_id(10));
        };
        assert_eq!(with(named), [11]);
    }
}
