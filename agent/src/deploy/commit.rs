//! Makes a judged state the stack's revision.

use std::collections::{BTreeMap, BTreeSet};

use proto::event::ContainerState;
use proto::fault::{Fault, FaultKind};
use proto::id::{RevisionId, ServiceName, StackName};
use proto::plan::{Part, Plan};
use proto::stack::StackSpec;

use super::{Job, Stopped, pace};
use crate::clock;
use crate::engine::Container;
use crate::journal::read_events;
use crate::resolved::ResolvedStack;
use crate::store::{ImagePin, Revision, Stage, Took};

/// What is known of the stack's services, all of them or some.
struct State {
    resolved: ResolvedStack,
    images: BTreeMap<String, ImagePin>,
    config_hashes: BTreeMap<ServiceName, String>,
    older: BTreeMap<ServiceName, RevisionId>,
    ended: Option<BTreeSet<ServiceName>>,
}

/// The revision that a stage has become; `containers` are those that the plan is about.
pub(super) async fn of_stage(
    job: &Job,
    stage: &Stage,
    plan: &Plan,
    images: &BTreeMap<String, ImagePin>,
    containers: &[Container],
) -> Result<Revision, Stopped> {
    let engine_version = job.engine.facts().await?.version;
    let mut spec = stage.spec.clone();
    let mut state = State {
        resolved: stage.resolved.clone(),
        images: images.clone(),
        config_hashes: config_hashes(containers),
        older: BTreeMap::new(),
        ended: Some(ended(containers)),
    };
    let base = job.store.current(&stage.spec.stack)?;
    let base = base.filter(|base| Some(base.id) == plan.base);
    if let Some(part) = &plan.part {
        let base = base.as_ref().ok_or_else(moved_on)?;
        keep_judged_by(&mut spec, part, base);
        state = state.over(part, base);
    }
    let parts = (
        &spec,
        &state.images,
        &state.older,
        &stage.compose_version,
        &engine_version,
    );
    let id = RevisionId::from_bytes(job.store.key().id("revision", &parts));
    Ok(Revision {
        id,
        spec,
        resolved: state.resolved,
        images: state.images,
        config_hashes: state.config_hashes,
        older: state.older,
        ended: state.ended,
        took: took(job, base.as_ref(), containers),
        compose_version: stage.compose_version.clone(),
        engine_version,
        directory: stage.directory.clone(),
        deploy: job.deploy,
        operator: job.operator.clone(),
        committed_at_millis: clock::unix_millis(),
        number: next_number(job, &stage.spec.stack)?,
        found: None,
    })
}

/// A revision that is the stack's once more.
pub(super) fn of_revision(
    job: &Job,
    revision: &Revision,
    containers: &[Container],
) -> Result<Revision, Stopped> {
    Ok(Revision {
        number: next_number(job, &revision.spec.stack)?,
        config_hashes: config_hashes(containers),
        ended: Some(ended(containers)),
        took: took(job, Some(revision), containers),
        deploy: job.deploy,
        operator: job.operator.clone(),
        committed_at_millis: clock::unix_millis(),
        ..revision.clone()
    })
}

/// What was measured now over what was measured before. Good to know, and no reason to fail.
fn took(
    job: &Job,
    base: Option<&Revision>,
    containers: &[Container],
) -> BTreeMap<ServiceName, Took> {
    let events = read_events(&job.store.deploy_folder(&job.deploy)).unwrap_or_default();
    let mut took = base.map(|base| base.took.clone()).unwrap_or_default();
    for (service, mut now) in pace::measured(&events, containers) {
        // A first start tells nothing new of the stop.
        let before = took.get(&service).and_then(|took| took.stop_millis);
        now.stop_millis = now.stop_millis.or(before);
        took.insert(service, now);
    }
    took
}

pub(super) fn next_number(job: &Job, stack: &StackName) -> Result<u64, Stopped> {
    let newest = job.store.revisions(stack)?.into_iter().next();
    Ok(newest.map_or(0, |revision| revision.number) + 1)
}

/// As the containers are labelled.
pub(super) fn config_hashes(containers: &[Container]) -> BTreeMap<ServiceName, String> {
    let containers = containers.iter().filter(|container| !container.one_off);
    containers
        .map(|container| (container.service.clone(), container.config_hash.clone()))
        .collect()
}

/// The services all of whose containers have ended.
pub(super) fn ended(containers: &[Container]) -> BTreeSet<ServiceName> {
    let own = || containers.iter().filter(|container| !container.one_off);
    let runs = own().filter(|it| it.state != ContainerState::Exited);
    let runs: BTreeSet<&ServiceName> = runs.map(|it| &it.service).collect();
    let all = own().map(|it| &it.service);
    all.filter(|name| !runs.contains(name)).cloned().collect()
}

/// Cannot happen while a stack has one deploy at a time; nothing is committed then.
fn moved_on() -> Fault {
    Fault::new(
        FaultKind::Stale,
        "another revision was committed in the middle of this deploy",
    )
    .hint("look at what runs, then deploy again: controller status")
}

/// What a deploy left alone is judged as before when the stack comes back to it.
fn keep_judged_by(spec: &mut StackSpec, part: &Part, base: &Revision) {
    spec.probes.retain(|probe| part.covers(&probe.service));
    let kept = base.spec.probes.iter();
    let kept = kept.filter(|probe| !part.covers(&probe.service));
    spec.probes.extend(kept.cloned());
    spec.deadlines.retain(|service, _| part.covers(service));
    let kept = base.spec.deadlines.iter();
    let kept = kept.filter(|(service, _)| !part.covers(service));
    spec.deadlines
        .extend(kept.map(|(service, time)| (service.clone(), *time)));
}

impl State {
    /// The part from here, all other services as the committed revision has them.
    fn over(self, part: &Part, base: &Revision) -> Self {
        let others = || {
            let services = base.resolved.services.iter();
            services.filter(|service| !part.covers(&service.name))
        };
        // One tag may stand for two images now: the new one here, the old one in the revision under `older`.
        let mut images: BTreeMap<String, ImagePin> = others()
            .filter_map(|service| base.images.get_key_value(&service.image))
            .map(|(name, pin)| (name.clone(), pin.clone()))
            .collect();
        images.extend(self.images);
        let hashes = base.config_hashes.iter();
        let mut config_hashes: BTreeMap<_, _> = hashes
            .filter(|(name, _)| !part.covers(name))
            .map(|(name, hash)| (name.clone(), hash.clone()))
            .collect();
        config_hashes.extend(self.config_hashes);
        let made_by = |name: &ServiceName| base.older.get(name).copied().unwrap_or(base.id);
        let older = others()
            .map(|service| (service.name.clone(), made_by(&service.name)))
            .collect();
        let mut services = self.resolved.services;
        services.retain(|service| part.covers(&service.name));
        services.extend(others().cloned());
        services.sort_by(|a, b| a.name.cmp(&b.name));
        // What was not noted of the others is not known of all.
        let ended = self.ended.zip(base.ended.as_ref());
        let ended = ended.map(|(mut ended, kept)| {
            let kept = kept.iter().filter(|name| !part.covers(name));
            ended.extend(kept.cloned());
            ended
        });
        Self {
            resolved: ResolvedStack {
                services,
                definitions: self.resolved.definitions,
                outside: self.resolved.outside,
                inactive: self.resolved.inactive,
            },
            images,
            config_hashes,
            older,
            ended,
        }
    }
}
