//! Gathers what a plan or a status is made from: records, containers, images here and in their registries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use proto::fault::{Fault, FaultKind};
use proto::id::{PlanId, ServiceName, StackName};
use proto::limits::RESOLVE_TIMEOUT;
use proto::path::RelPath;
use proto::plan::{Disk, Scope};
use proto::registry::{RegistryAuth, registry_of};
use proto::stack::ShippedFile;
use proto::status::{ContainerStatus, StackStatus};

use super::found::{self, Found};
use super::surroundings;
use crate::deploy::known;
use crate::engine::{Container, Engine, LocalImage};
use crate::planner::{self, HostFiles, ImageFacts, Inputs, Planned, Remote};
use crate::projectdir::{Known, OnHost, ProjectDir};
use crate::resolved::PullPolicy;
use crate::store::{Applied, Revision, Stage, Store};

/// What a registry that limits how often it is asked is left alone for, within the time that a plan has.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

/// What a stack wants of an image.
struct Wanted<'a> {
    policy: PullPolicy,
    /// Another one that lies on the host does not count; `None`: whatever lies there does.
    platform: Option<&'a str>,
}

/// What a plan is made with.
pub(super) struct Facts<'a> {
    pub(super) store: &'a Store,
    pub(super) engine: &'a dyn Engine,
    pub(super) stage: &'a Stage,
    /// Whether the last deploy left a stack that is neither its revision nor the one before.
    pub(super) neither: bool,
}

impl Facts<'_> {
    /// A plan, and what it takes over.
    pub(super) async fn plan(
        &self,
        scope: &Scope,
        auths: &[RegistryAuth],
        adopt: bool,
    ) -> Result<(Planned, Option<Revision>), Fault> {
        let Self {
            store,
            engine,
            stage,
            neither,
        } = *self;
        let stack = &stage.spec.stack;
        let base = store.current(stack)?;
        let applied = store.applied(stack)?;
        let moved = base.as_ref();
        let moved = moved.filter(|it| it.spec.project != stage.spec.project);
        if let Some(base) = moved {
            return Err(self.moved_project(base).await?);
        }
        let part = planner::part(scope, stage, base.as_ref())?;
        let covered = |name: &ServiceName| part.as_ref().is_none_or(|part| part.covers(name));
        let names = stage.resolved.images_of(covered);
        let facts = engine.facts().await?;
        let platform = format!("{}/{}", facts.os, facts.architecture);
        let mut wanted = BTreeMap::new();
        for (name, services) in &names {
            let policy = stage.resolved.pull_policy_of(services);
            let other = stage.resolved.platform_of(name, services, &platform)?;
            // What somebody has put there for emulation is used where nothing is to be pulled.
            let own = (policy == PullPolicy::Newest).then_some(platform.as_str());
            let platform = other.or(own);
            wanted.insert(*name, Wanted { policy, platform });
        }
        let images = wanted.iter();
        let images = join_all(images.map(|(name, it)| image_facts(engine, name, it, auths)));
        let (containers, images) = tokio::join!(engine.containers(&stage.spec.project), images);
        let containers = containers?;
        let mut images = images
            .into_iter()
            .collect::<Result<BTreeMap<_, _>, Fault>>()?;
        let room = room(engine, &mut images, base.as_ref(), &platform, auths).await;
        let found = if adopt && base.is_none() {
            self.found(&containers).await?
        } else {
            planner::check_owner(applied.is_some(), stage, &containers)?;
            None
        };
        let (on_disk, host) = match &found {
            Some(found) => {
                let on_disk = found.revision.spec.files.clone();
                let host = host_files(stage, &on_disk, &BTreeMap::new())?;
                (on_disk, host)
            }
            None => self.files(applied)?,
        };
        let planned = planner::plan(&Inputs {
            id: new_plan_id()?,
            stage,
            base: base.as_ref(),
            part: part.as_ref(),
            on_disk: &on_disk,
            host: &host,
            containers: &containers,
            images: &images,
            platform: &platform,
            disk: room.disk,
            layers_here: &room.layers_here,
            adopted: found.as_ref().map(Found::adopted).as_ref(),
            neither,
        })?;
        let found = found.map(|found| found.revision);
        if !planned.plan.has_changes() {
            return Ok((planned, found));
        }
        let around = surroundings::look(store, engine, stage, &planned.plan).await?;
        let base = base.as_ref().or(found.as_ref());
        let plan = planner::settle(planned.plan, stage, base, &containers, &around)?;
        Ok((Planned { plan, ..planned }, found))
    }

    /// What was laid out, and what lies there: a deploy that lays out its files meanwhile must not pass for somebody who
    /// has changed them.
    fn files(&self, mut applied: Option<Applied>) -> Result<(Vec<ShippedFile>, HostFiles), Fault> {
        let mut looks = 1;
        loop {
            let laid = on_disk(applied.as_ref());
            let host = host_files(self.stage, &laid, &known(applied.as_ref()))?;
            let now = self.store.applied(&self.stage.spec.stack)?;
            // Whatever is seen of a stack that never rests, no deploy will be taken by it.
            if now == applied || looks == LOOKS {
                return Ok((laid, host));
            }
            applied = now;
            looks += 1;
        }
    }

    /// A stack whose project has another name now would run twice, the second time on empty volumes.
    async fn moved_project(&self, base: &Revision) -> Result<Fault, Fault> {
        let (old, new) = (&base.spec.project, &self.stage.spec.project);
        let stack = &base.spec.stack;
        let (containers, left) =
            tokio::try_join!(self.engine.containers(old), self.engine.belongings(old))?;
        let containers: BTreeSet<String> = containers.into_iter().map(|it| it.name).collect();
        let what = format!("stack {stack} runs here as project {old}, not as {new}");
        let mut fault = Fault::new(FaultKind::Refused, what);
        for (kind, names) in [
            ("containers", containers),
            ("networks", left.networks),
            ("volumes", left.volumes),
        ] {
            if !names.is_empty() {
                let names: Vec<String> = names.into_iter().collect();
                fault = fault.cause(format!("{kind} would be left: {}", names.join(", ")));
            }
        }
        Ok(fault
            .hint(format!(
                "keep the name: project_name = \"{old}\" in [stacks.{stack}] of fleet.toml"
            ))
            .hint(
                "or take it down first, which keeps its volumes under the old name: controller down",
            ))
    }

    /// What somebody else started, if anything runs at all.
    async fn found(&self, containers: &[Container]) -> Result<Option<Found>, Fault> {
        if containers.iter().all(|container| container.one_off) {
            return Ok(None);
        }
        let found = found::look(self.store, self.engine, self.stage, containers).await?;
        Ok(Some(found))
    }
}

#[derive(Default)]
struct Room {
    disk: Option<Disk>,
    layers_here: BTreeSet<String>,
}

/// How much is to be fetched, and what room there is for it. Costs nothing where all images are here.
async fn room(
    engine: &dyn Engine,
    images: &mut BTreeMap<String, ImageFacts>,
    base: Option<&Revision>,
    platform: &str,
    auths: &[RegistryAuth],
) -> Room {
    let wanted = images
        .iter()
        .filter_map(|(name, facts)| Some((name.clone(), facts.wanted()?.digest.clone())));
    let wanted: Vec<(String, String)> = wanted.collect();
    if wanted.is_empty() {
        return Room::default();
    }
    let layers = join_all(
        wanted
            .iter()
            .map(|(name, digest)| engine.layers(name, digest, platform, auth_of(name, auths))),
    );
    let (disk, layers) = tokio::join!(engine.disk(), layers);
    for ((name, _), layers) in wanted.iter().zip(layers) {
        if let Some(facts) = images.get_mut(name) {
            facts.layers = layers;
        }
    }
    let Ok(disk) = disk else {
        return Room::default();
    };
    let all = images.values().filter_map(|facts| facts.layers.as_deref());
    // What runs now and what comes share most of their layers as a rule; asked for only where it decides.
    let layers_here = if planner::missing_bytes(all, &BTreeSet::new()) > disk.free {
        layers_here(engine, base, platform, auths).await
    } else {
        BTreeSet::new()
    };
    Room {
        disk: Some(disk),
        layers_here,
    }
}

async fn layers_here(
    engine: &dyn Engine,
    base: Option<&Revision>,
    platform: &str,
    auths: &[RegistryAuth],
) -> BTreeSet<String> {
    let pins = base.into_iter().flat_map(|base| &base.images);
    let known = pins.filter_map(|(name, pin)| Some((name, pin.digest.as_ref()?)));
    let layers =
        known.map(|(name, digest)| engine.layers(name, digest, platform, auth_of(name, auths)));
    let layers = join_all(layers).await.into_iter().flatten().flatten();
    layers.map(|layer| layer.digest).collect()
}

fn auth_of<'a>(name: &str, auths: &'a [RegistryAuth]) -> Option<&'a RegistryAuth> {
    let registry = registry_of(name);
    auths.iter().find(|auth| auth.registry == registry)
}

/// What may lie in the project directory: what was laid out last, and what it was replacing if it was cut short. A path
/// may have both.
pub(crate) fn on_disk(applied: Option<&Applied>) -> Vec<ShippedFile> {
    let Some(applied) = applied else {
        return Vec::new();
    };
    let before = applied.before.iter();
    let before = before.filter(|file| !applied.spec.files.contains(file));
    applied.spec.files.iter().chain(before).cloned().collect()
}

/// A deploy lays out its files in two or three steps; each is waited out.
const LOOKS: usize = 20;
/// The most files of a folder that is in a file's way that are looked at: one that is not ours is enough.
const INSIDE: usize = 1000;

/// Looks at every path of what was laid out and of what is wanted.
fn host_files(
    stage: &Stage,
    laid: &[ShippedFile],
    known: &BTreeMap<RelPath, Known>,
) -> Result<HostFiles, Fault> {
    let mut host = HostFiles::default();
    // Looking must not make it.
    if !stage.directory.is_dir() {
        return Ok(host);
    }
    let directory = ProjectDir::open(&stage.directory)?;
    for file in stage.spec.files.iter().chain(laid) {
        let path = &file.path;
        if host.found.contains_key(path) {
            continue;
        }
        let found = directory.look(path, known.get(path))?;
        match found {
            OnHost::Folder => {
                let inside = directory.files_below(path, INSIDE)?;
                host.inside.insert(path.clone(), inside);
            }
            OnHost::BelowFile => {
                for above in planner::above(path) {
                    let found = directory.look(&above, None)?;
                    host.found.insert(above, found);
                }
            }
            _ => {}
        }
        host.found.insert(path.clone(), found);
    }
    Ok(host)
}

/// What is here under a name, and what its registry says.
async fn image_facts(
    engine: &dyn Engine,
    name: &str,
    wanted: &Wanted<'_>,
    auths: &[RegistryAuth],
) -> Result<(String, ImageFacts), Fault> {
    let local = engine.image(name).await?;
    let local = local.filter(|local| wanted.platform.is_none_or(|platform| local.is_of(platform)));
    let remote = match (wanted.policy, &local) {
        (PullPolicy::Build | PullPolicy::Never, _) | (PullPolicy::Missing, Some(_)) => {
            Remote::Unasked
        }
        (PullPolicy::Missing | PullPolicy::Newest, _) => {
            remote_image(engine, name, local.as_ref(), auths).await
        }
    };
    let facts = ImageFacts {
        local,
        remote,
        layers: None,
    };
    Ok((name.to_owned(), facts))
}

async fn remote_image(
    engine: &dyn Engine,
    name: &str,
    here: Option<&LocalImage>,
    auths: &[RegistryAuth],
) -> Remote {
    let registry = registry_of(name);
    let auth = auth_of(name, auths);
    let mut limited = None;
    let asked = async {
        for pause in PAUSES {
            match engine.remote_image(name, here, auth).await {
                Err(error) if error.is_limited() => limited = Some(error),
                other => return other,
            }
            tokio::time::sleep(pause).await;
        }
        engine.remote_image(name, here, auth).await
    };
    let answer = tokio::time::timeout(RESOLVE_TIMEOUT, asked).await;
    match (answer, limited) {
        (Ok(Ok(remote)), _) => Remote::Said(remote),
        (Ok(Err(error)), _) | (Err(_), Some(error)) if !error.is_slow() => {
            Remote::Failed(error.into())
        }
        _ => Remote::Slow {
            registry: registry.to_owned(),
        },
    }
}

fn new_plan_id() -> Result<PlanId, Fault> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Fault::new(FaultKind::Internal, "no random numbers").cause(error.to_string())
    })?;
    Ok(PlanId::from_bytes(bytes))
}

pub(super) async fn status(
    store: &Store,
    engine: &dyn Engine,
    stack: &StackName,
) -> Result<Option<StackStatus>, Fault> {
    let Some(applied) = store.applied(stack)? else {
        return Ok(None);
    };
    let current = store.current(stack)?;
    let containers = engine.containers(&applied.spec.project).await?;
    let foreign = |revision: &Revision| planner::foreigners(revision, &containers).next().is_some();
    Ok(Some(StackStatus {
        needs_reconcile: current.as_ref().is_some_and(foreign),
        stack: stack.clone(),
        project: applied.spec.project,
        revision: current.as_ref().map(|revision| revision.id),
        committed_at_millis: current
            .as_ref()
            .map_or(0, |revision| revision.committed_at_millis),
        committed_by: current
            .map(|revision| revision.operator.to_string())
            .unwrap_or_default(),
        containers: containers
            .into_iter()
            .filter(|c| !c.one_off)
            .map(container_status)
            .collect(),
        deploy: None,
        confirm_within: None,
    }))
}

fn container_status(container: Container) -> ContainerStatus {
    ContainerStatus {
        id: container.id,
        name: container.name,
        service: container.service,
        state: container.state,
        health: container.health,
        health_at_millis: container.health_at_millis,
        image: container.image,
        exit_code: container.exit_code,
        started_at_millis: container.started_at_millis,
        ports: container.ports,
    }
}
