//! Brings a stack to a kept revision: its files, its images by id, its containers. Needs no registry and no workstation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::event::ContainerState;
use proto::fault::{Fault, FaultKind};
use proto::id::{RevisionId, ServiceName};
use tokio::sync::mpsc;

use super::layout::Conflicts;
use super::up::{Recreate, Services, deadline, up};
use super::{Job, Stopped, layout, pull, room};
use crate::deployer::on_disk;
use crate::engine::{Container, EngineError, Pull};
use crate::planner::differing;
use crate::projectdir::ProjectDir;
use crate::resolved::ResolvedService;
use crate::stage::compose_project;
use crate::store::{AsFound, ImagePin, Revision};

/// Fetching an image that has left the host may take this long.
const REFETCH_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// One revision's share of a stack: the services that it made.
struct Part<'a> {
    revision: Revision,
    services: BTreeSet<&'a ServiceName>,
}

impl Part<'_> {
    /// Whether a service runs as this part made it, in containers that the current revision knows. Those are left alone:
    /// Compose before 2.29.3 makes a container anew when it is asked for one service without what that depends on.
    fn runs(
        &self,
        current: &Revision,
        target: &Revision,
        service: &ServiceName,
        containers: &[Container],
        stale: &[String],
    ) -> bool {
        let made_by = |revision: &Revision| *revision.older.get(service).unwrap_or(&revision.id);
        let Some(wanted) = self.revision.resolved.service(service) else {
            return false;
        };
        let pin = self.revision.images.get(&wanted.image);
        let hash = current.config_hashes.get(service);
        let mut mine = containers
            .iter()
            .filter(|one| !one.one_off && one.service == *service)
            .peekable();
        made_by(current) == made_by(target)
            && mine.peek().is_some()
            && mine.all(|one| {
                one.state == ContainerState::Running
                    && Some(&one.config_hash) == hash
                    && pin.is_some_and(|pin| pin.id == one.image_id)
                    && !stale.contains(&one.id)
            })
    }

    /// Whether a service that could not be brought back exactly still runs as it was found.
    fn is_as_found(&self, service: &ServiceName, all: &[Container], stale: &[String]) -> bool {
        let found = self.revision.found.as_ref();
        let hash = self.revision.config_hashes.get(service);
        let own = |one: &&Container| !one.one_off && one.service == *service;
        let mut mine = all.iter().filter(own).peekable();
        found.is_some_and(|found| found.inexact.contains(service))
            && mine.peek().is_some()
            && mine.all(|one| {
                one.state == ContainerState::Running
                    && Some(&one.config_hash) == hash
                    && !stale.contains(&one.id)
            })
    }

    /// What its services run. Images of its other services may be gone, and are not its concern.
    fn images(&self) -> impl Iterator<Item = (&String, &ImagePin)> {
        let used = |name: &String| {
            let mut users = self.revision.resolved.services.iter();
            users.any(|it| it.image == *name && self.services.contains(&it.name))
        };
        let images = self.revision.images.iter();
        images.filter(move |(name, _)| used(name))
    }
}

/// Proves that everything the revision needs is on this host.
pub(super) async fn check(job: &Job, target: &Revision) -> Result<(), Stopped> {
    for part in parts(job, target)? {
        for (name, pin) in part.images() {
            if job.engine.image(&pin.id).await?.is_none() {
                let mut users = part.revision.resolved.services.iter();
                let user = users.find(|service| service.image == *name);
                let platform = user.and_then(|service| service.platform.clone());
                refetch(job, part.revision.id, name, pin, platform).await?;
            }
        }
        for file in &part.revision.spec.files {
            if !job.store.blobs().has(&file.blob) {
                let cause = format!("the content of {} has left the host", file.path);
                return Err(not_restorable(part.revision.id, cause));
            }
        }
    }
    Ok(())
}

/// An image that somebody has removed from the host is asked of its registry once more, by the digest it had.
async fn refetch(
    job: &Job,
    revision: RevisionId,
    name: &str,
    pin: &ImagePin,
    platform: Option<String>,
) -> Result<(), Stopped> {
    let cause = format!("image {name} has left the host");
    let Some(digest) = &pin.digest else {
        return Err(not_restorable(revision, cause));
    };
    let facts = job.engine.facts().await?;
    let pull = Pull {
        reference: name.to_owned(),
        digest: Some(digest.clone()),
        platform: platform.unwrap_or_else(|| format!("{}/{}", facts.os, facts.architecture)),
        auth: pull::login(job, name),
    };
    job.warn(format!("{cause}; it is fetched again as {digest}"));
    // Nobody looks at its progress: it is dropped.
    let (progress, _) = mpsc::channel(1);
    let fetch = pull::patiently(job, &pull, progress);
    let why = match tokio::time::timeout(REFETCH_DEADLINE, fetch).await {
        Ok(Ok(image)) if image.id == pin.id => return Ok(()),
        Ok(Ok(_)) => "its registry has another image under that digest".to_owned(),
        Ok(Err(EngineError::Cancelled)) => return Err(EngineError::Cancelled.into()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it was not fetched within {} s", REFETCH_DEADLINE.as_secs()),
    };
    let mut stopped = not_restorable(revision, cause);
    stopped.fault.causes.push(why);
    Err(stopped)
}

fn not_restorable(revision: RevisionId, cause: String) -> Stopped {
    Fault::new(
        FaultKind::Failed,
        format!("revision {} cannot be restored", revision.short()),
    )
    .cause(cause)
    .hint("deploy the files of that version again")
    .into()
}

/// Containers that have to be replaced though Compose would leave them: their mounted files, or what their configs and
/// secrets hold, differ in the target, or they are failing, so that whoever waits for them would wait in vain.
pub(super) fn stale(
    job: &Job,
    target: &Revision,
    containers: &[Container],
) -> Result<Vec<String>, Stopped> {
    let there = on_disk(job.store.applied(&target.spec.stack)?.as_ref());
    let changed = differing(&there, &target.spec.files);
    let current = job.store.current(&target.spec.stack)?;
    let holds_other = |service: &ResolvedService| {
        let current = current.as_ref();
        let now = current.and_then(|current| current.resolved.service(&service.name));
        now.is_some_and(|now| now.contents != service.contents)
    };
    let stale = containers.iter().filter(|container| {
        let service = target.resolved.service(&container.service);
        let sees = |service: &ResolvedService| changed.iter().any(|file| service.sees(&file.path));
        service.is_some_and(|it| sees(it) || holds_other(it)) || container.is_failing()
    });
    Ok(stale.map(|container| container.id.clone()).collect())
}

/// Makes the host what the revision says. The containers that `old` names are replaced, whatever Compose thinks of them.
pub(super) async fn bring(
    job: &Job,
    target: &Revision,
    old: &[String],
    conflicts: Conflicts<'_>,
) -> Result<(), Stopped> {
    let containers = job.engine.containers(&target.spec.project).await?;
    let parts = parts(job, target)?;
    let whole = parts.len() == 1;
    let current = job.store.current(&target.spec.stack)?;
    for part in parts {
        let there = |service: &&ServiceName| {
            let current = current.as_ref();
            part.is_as_found(service, &containers, old)
                || !whole
                    && current.is_some_and(|it| part.runs(it, target, service, &containers, old))
        };
        let left: BTreeSet<&ServiceName> = part.services.iter().copied().filter(there).collect();
        let services = part.services.difference(&left).copied().cloned().collect();
        // Files of an older revision lie there only until the target's own come.
        let own = part.revision.id == target.id;
        let conflicts = if own { conflicts } else { Conflicts::Stay };
        layout::lay_out(
            job,
            &part.revision.spec,
            &part.revision.directory,
            conflicts,
        )?;
        apply(job, &part, whole, services, old, &containers).await?;
    }
    Ok(())
}

/// Services that have to be recreated though Compose sees no change in them: their containers are what the revision
/// says, but for what Compose does not look at. Whoever joins a namespace of one of them, or of one that is only
/// started again, comes along.
fn unseen(
    revision: &Revision,
    services: &BTreeSet<ServiceName>,
    old: &[String],
    containers: &[Container],
) -> BTreeSet<ServiceName> {
    let own = || containers.iter().filter(|container| !container.one_off);
    let same = |container: &&Container| {
        let service = revision.resolved.service(&container.service);
        let pin = service.and_then(|service| revision.images.get(&service.image));
        let hash = revision.config_hashes.get(&container.service);
        hash == Some(&container.config_hash) && pin.is_some_and(|it| it.id == container.image_id)
    };
    let unseen = own().filter(|it| old.contains(&it.id) && same(it));
    let mut unseen: BTreeSet<ServiceName> = unseen.map(|it| it.service.clone()).collect();
    let down = own().filter(|it| !it.is_up());
    let mut moved: BTreeSet<ServiceName> = down.map(|it| it.service.clone()).collect();
    moved.extend(unseen.iter().cloned());
    loop {
        let mut all = revision.resolved.services.iter();
        let joins = |service: &ResolvedService| {
            !unseen.contains(&service.name)
                && own().any(|it| it.service == service.name && it.is_up())
                && service.joins.iter().any(|other| moved.contains(other))
        };
        let Some(next) = all.find(|service| joins(service)) else {
            break;
        };
        moved.insert(next.name.clone());
        unseen.insert(next.name.clone());
    }
    unseen.retain(|name| services.contains(name));
    unseen
}

/// The target itself comes last: the files that stay in the directory are its own.
fn parts<'a>(job: &Job, target: &'a Revision) -> Result<Vec<Part<'a>>, Stopped> {
    let mut older: BTreeMap<RevisionId, BTreeSet<&ServiceName>> = BTreeMap::new();
    for (service, revision) in &target.older {
        older.entry(*revision).or_default().insert(service);
    }
    let mut parts = Vec::new();
    for (id, services) in older {
        let revision = job.store.revision(&target.spec.stack, &id)?;
        let gone = || not_restorable(target.id, format!("revision {} is gone", id.short()));
        parts.push(Part {
            revision: revision.ok_or_else(gone)?,
            services,
        });
    }
    let own = target.resolved.services.iter().map(|service| &service.name);
    parts.push(Part {
        revision: target.clone(),
        services: own
            .filter(|name| !target.older.contains_key(name))
            .collect(),
    });
    Ok(parts)
}

/// Names a part's images; those of its services that `services` names are Compose's business.
async fn apply(
    job: &Job,
    part: &Part<'_>,
    whole: bool,
    services: BTreeSet<ServiceName>,
    old: &[String],
    containers: &[Container],
) -> Result<(), Stopped> {
    let revision = &part.revision;
    for (name, pin) in part.images() {
        name_image(job, name, &pin.id).await?;
    }
    // The files may know of services that nobody had started.
    let whole = whole && revision.found.is_none();
    if let Some(found) = &revision.found {
        put_back(job, revision, found)?;
    }
    if !whole && services.is_empty() {
        return Ok(());
    }
    let project = compose_project(&revision.spec, &revision.directory);
    let recreate = Recreate {
        first: unseen(revision, &services, old, containers),
        old: old.iter().map(String::as_str).collect(),
        of: services.clone(),
    };
    let services = if whole {
        Services::all()
    } else {
        Services::only(services, &revision.resolved)
    };
    let replaced = containers.iter().filter(|it| old.contains(&it.id));
    let replaced = replaced.map(|it| it.service.clone());
    let replaced = replaced.chain(recreate.first.iter().cloned()).collect();
    room::stop_joined(job, &project.name, &revision.resolved, &replaced).await?;
    let deadline = deadline(&revision.spec);
    up(job, &project, &services, &recreate, deadline).await
}

/// Files that were found and are not shipped lie there still, unless something took them.
fn put_back(job: &Job, revision: &Revision, found: &AsFound) -> Result<(), Stopped> {
    let folder = ProjectDir::open(&revision.directory)?;
    for file in found.beside.iter().filter(|file| !folder.holds(file)) {
        folder.write(file, job.store.blobs())?;
    }
    Ok(())
}

/// Lets a name mean the image again that it meant in the revision.
async fn name_image(job: &Job, name: &str, id: &str) -> Result<(), Stopped> {
    let means = job.engine.image(name).await?;
    if means.is_some_and(|image| image.id == id) {
        return Ok(());
    }
    Ok(job.engine.tag(id, name).await?)
}
