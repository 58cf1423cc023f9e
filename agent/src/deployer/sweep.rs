//! Clears up after each deploy and at start: old deploys, revisions beyond the last ones, and what nothing needs.
//!
//! Why it takes nothing away from anybody: files go under the lock that submissions are taken under, so what a
//! submission finds is still there when its work is on disk, and a work names what it needs. A stage session holds no
//! lock; what it finds already here counts as used at that moment, and stays for a day. A plan lives for an hour.
//! Names of images go while no deploy works: one that starts meanwhile waits.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::fault::Fault;
use proto::id::{BlobId, DeployId, StackName};
use proto::limits::PLAN_LIFE;
use proto::stack::ShippedFile;
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::retention::{Found, FoundRevision, FoundStack, FoundStage, Named, UNUSED, waste};
use crate::clock;
use crate::deploy::{Point, Work, keep};
use crate::engine::{Engine, EngineError};
use crate::store::{ImagePin, PulledName, Revision, Store};

/// A deploy's id is remembered for so long after its end.
const DEPLOYS: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A deploy that starts waits no longer than this for names to go.
const NAMES: Duration = Duration::from_secs(30);

/// Clears up.
#[derive(Clone)]
pub(super) struct Sweeper {
    pub(super) store: Arc<Store>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) inner: Arc<Mutex<Inner>>,
    /// Held shared by whoever deploys.
    pub(super) working: Arc<RwLock<()>>,
    pub(super) stop: CancellationToken,
}

impl Sweeper {
    /// Clears up what can be; the rest has to wait for the next time.
    pub(super) async fn sweep(&self) {
        let files = self.files();
        if let Err(error) = self.store.reserve().fill() {
            // The next deploy is refused for it, if it is so then.
            tracing::warn!(%error, "no room is kept for emergencies");
        }
        if let Err(error) = files {
            // What cannot be read may need anything.
            tracing::warn!(%error, "nothing is cleared up");
            return;
        }
        // A deploy that works now clears up at its own end.
        let Ok(_alone) = self.working.try_write() else {
            return;
        };
        let names = tokio::time::timeout(NAMES, self.names());
        let done = tokio::select! {
            done = names => done,
            () = self.stop.cancelled() => return,
        };
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "names of images stay"),
            Err(_) => tracing::warn!("names of images stay: the engine is slow"),
        }
    }

    fn files(&self) -> Result<(), Fault> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        self.old_deploys(&inner)?;
        let found = self.look(&inner)?;
        let waste = waste(&found);
        for (stack, revision) in &waste.revisions {
            tracing::info!(%stack, %revision, "a revision is forgotten");
            self.store.remove_revision(stack, revision)?;
        }
        for stage in &waste.stages {
            self.store.remove_stage_unused_for(stage, UNUSED)?;
        }
        for blob in &waste.blobs {
            self.store.blobs().remove_unused_for(blob, UNUSED)?;
        }
        self.store.remove_paths_unused_for(UNUSED)?;
        Ok(())
    }

    fn old_deploys(&self, inner: &Inner) -> Result<(), Fault> {
        let mut stay: BTreeSet<DeployId> = self.store.works()?.into_iter().collect();
        stay.extend(inner.active.values().map(|active| active.deploy));
        for stack in self.store.stacks()? {
            // What is damaged is written anew by the next deploy.
            stay.extend(self.store.latest_deploy(&stack).ok().flatten());
        }
        for deploy in self.store.deploys()? {
            if stay.contains(&deploy) {
                continue;
            }
            let unused_for = self.store.deploy_unused_for(&deploy)?;
            if unused_for >= DEPLOYS {
                tracing::info!(%deploy, "a deploy is forgotten");
                self.store.remove_deploy(&deploy)?;
            } else if unused_for >= UNUSED {
                // A stack's newest deploy keeps them until there is a newer one.
                self.store.remove_saved(&deploy)?;
            }
        }
        Ok(())
    }

    fn look(&self, inner: &Inner) -> Result<Found, Fault> {
        let mut named = Named::default();
        let plans = inner.plans.iter();
        let alive = plans.filter(|prepared| prepared.made.elapsed() < PLAN_LIFE);
        named.stages.extend(alive.map(|prepared| prepared.stage));
        for deploy in self.store.works()? {
            let owned = inner.active.values().any(|active| active.deploy == deploy);
            match Work::load(&self.store.work_folder(&deploy)) {
                Ok(Some(Work::Deploy { stage, plan, .. })) => {
                    named.stages.insert(stage);
                    named.revisions.extend(plan.base);
                }
                Ok(Some(Work::Rollback { to, .. })) => drop(named.revisions.insert(to)),
                Ok(Some(Work::Down { .. }) | None) => {}
                // Nobody goes on with what is lost.
                Err(error) if !owned => tracing::warn!(%deploy, %error, "its work is lost"),
                Err(error) => return Err(error.into()),
            }
        }
        let mut found = Found {
            blobs: self.store.blobs().ages()?,
            named,
            ..Found::default()
        };
        for stack in self.store.stacks()? {
            let seen = self.look_at(&stack)?;
            found.stacks.insert(stack, seen);
        }
        for (id, unused_for) in self.store.stages()? {
            let wanted = unused_for < UNUSED || found.named.stages.contains(&id);
            // Those that go need not be read.
            let stage = if wanted { self.store.stage(&id)? } else { None };
            let blobs = stage.map(|stage| blobs(&stage.spec.files));
            let blobs = blobs.unwrap_or_default();
            found.stages.insert(id, FoundStage { unused_for, blobs });
        }
        Ok(found)
    }

    fn look_at(&self, stack: &StackName) -> Result<FoundStack, Fault> {
        let revisions = self.store.revisions(stack)?;
        let current = self.store.current(stack)?;
        let applied = self.store.applied(stack)?;
        let applied = applied.map(|applied| {
            let mut all = blobs(&applied.spec.files);
            all.extend(blobs(&applied.before));
            all
        });
        Ok(FoundStack {
            revisions: revisions.iter().map(seen).collect(),
            current: current.as_ref().map(seen),
            applied: applied.unwrap_or_default(),
        })
    }

    /// Our names of images that neither a revision nor an unfinished deploy goes by, and those under which they were
    /// pulled.
    async fn names(&self) -> Result<(), Fault> {
        let names = self
            .engine
            .names(keep::REPOSITORY)
            .await
            .map_err(to_fault)?;
        let pinned = self.pinned()?;
        let kept: BTreeSet<String> = pinned.iter().map(|(_, id)| keep::name(id)).collect();
        for name in names.iter().filter(|name| !kept.contains(*name)) {
            tracing::info!(%name, "an image is not kept any more");
            self.engine.untag(name).await.map_err(to_fault)?;
        }
        self.pulled_names(&pinned).await
    }

    /// An image that was pulled goes with the last revision that has it, or a day after a deploy that failed. One that a
    /// container uses and that has no other name keeps this one, whoever's container it is.
    async fn pulled_names(&self, pinned: &BTreeSet<(String, String)>) -> Result<(), Fault> {
        let pulled = self.store.pulled();
        pulled.change(|names| {
            for (name, images) in names {
                for (id, known) in images {
                    known.committed |= pinned.contains(&(name.clone(), id.clone()));
                }
            }
        })?;
        let now = clock::unix_millis();
        let unused = |known: &PulledName| {
            let age = Duration::from_millis(now.saturating_sub(known.at_millis));
            known.committed || age >= UNUSED
        };
        for (name, images) in pulled.all()? {
            for (id, known) in images {
                let pin = (name.clone(), id.clone());
                if pinned.contains(&pin) || !unused(&known) {
                    continue;
                }
                let there = self.engine.image(&name).await.map_err(to_fault)?;
                if there.is_some_and(|there| there.id == id) {
                    tracing::info!(%name, "an image is not needed any more");
                    self.engine.untag(&name).await.map_err(to_fault)?;
                    let left = self.engine.image(&name).await.map_err(to_fault)?;
                    if left.is_some_and(|left| left.id == id) {
                        continue;
                    }
                }
                pulled.change(|names| {
                    if let Some(images) = names.get_mut(&name) {
                        images.remove(&id);
                    }
                })?;
            }
        }
        Ok(())
    }

    /// The images that revisions and unfinished deploys go by: the name of each, and its id.
    fn pinned(&self) -> Result<BTreeSet<(String, String)>, Fault> {
        let mut pinned = BTreeSet::new();
        for stack in self.store.stacks()? {
            let kept = self.store.revisions(&stack)?.into_iter();
            for revision in kept.chain(self.store.current(&stack)?) {
                pinned.extend(revision.images.into_iter().map(as_named));
            }
        }
        for deploy in self.store.works()? {
            // A deploy whose point is damaged touches nothing more.
            let point = Point::load(&self.store.work_folder(&deploy)).ok().flatten();
            let images = point.into_iter().flat_map(|point| point.images);
            pinned.extend(images.map(as_named));
        }
        Ok(pinned)
    }
}

fn as_named((name, pin): (String, ImagePin)) -> (String, String) {
    (name, pin.id)
}

fn to_fault(error: EngineError) -> Fault {
    error.into()
}

fn seen(revision: &Revision) -> FoundRevision {
    let beside = revision.found.iter().map(|found| blobs(&found.beside));
    let mut all = blobs(&revision.spec.files);
    all.extend(beside.flatten());
    FoundRevision {
        id: revision.id,
        older: revision.older.values().copied().collect(),
        blobs: all,
    }
}

fn blobs(files: &[ShippedFile]) -> BTreeSet<BlobId> {
    files.iter().map(|file| file.blob).collect()
}
