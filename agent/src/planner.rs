//! Compares a staged stack with what runs: pure, no input or output.

use std::collections::{BTreeMap, BTreeSet};

use proto::event::{ContainerState, Health};
use proto::fault::Fault;
use proto::hook::{Hook, SavePlace};
use proto::id::{PlanId, ServiceName};
use proto::limits::PLAN_LIFE;
use proto::path::RelPath;
use proto::plan::{
    Action, Change, Disk, Downtime, FieldChange, FilePlan, HookPlan, ImagePlan, Part, Plan,
    ServicePlan,
};
use proto::stack::ShippedFile;

use crate::engine::{Container, LocalImage, RemoteImage};
use crate::resolved::{ResolvedService, ResolvedStack};
use crate::store::{Revision, Stage};

mod adoption;
mod disk;
mod fields;
mod files;
mod foreign;
mod images;
mod orphans;
mod outside;
mod ripple;
mod room;
mod scope;
mod taken;

pub use adoption::{Adopted, Origin, check_owner, origin};
pub(crate) use disk::missing as missing_bytes;
pub(crate) use files::above;
pub use files::{FileStep, HostFiles, LaidOut, differing, file_step};
pub use foreign::{Foreign, foreign, foreigners, older};
pub use images::{ImageFacts, Remote};
pub use outside::{Surroundings, VolumeFound, settle};
pub use room::{HostResource, InTheWay, in_the_way};
pub use scope::part;
pub use taken::ports_needed;

use ripple::Services;

/// Everything a plan is made from.
pub struct Inputs<'a> {
    /// The plan's id.
    pub id: PlanId,
    /// What is wanted.
    pub stage: &'a Stage,
    /// What is committed.
    pub base: Option<&'a Revision>,
    /// What the deploy is about, from [`part`]; `None` is the whole stack.
    pub part: Option<&'a Part>,
    /// The files that lie in the project directory now.
    pub on_disk: &'a [ShippedFile],
    /// What lies in the project directory, at the paths of `on_disk` and of what is wanted.
    pub host: &'a HostFiles,
    /// What runs.
    pub containers: &'a [Container],
    /// What is known of each image that may change.
    pub images: &'a BTreeMap<String, ImageFacts>,
    /// `os/architecture` of this host.
    pub platform: &'a str,
    /// Room for images; `None` when nothing is to be pulled, or it is not known.
    pub disk: Option<Disk>,
    /// Digests of layers that are here already; looked for only where room is short.
    pub layers_here: &'a BTreeSet<String>,
    /// What is taken over, when nothing is committed yet.
    pub adopted: Option<&'a Adopted<'a>>,
    /// Whether the last deploy left a stack that is neither its revision nor the one before.
    pub neither: bool,
}

/// A plan, and what only the agent that carries it out has to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What an operator sees.
    pub plan: Plan,
    /// Services to be recreated in whose containers Compose sees no change.
    pub forced: BTreeSet<ServiceName>,
}

impl Inputs<'_> {
    fn covers(&self, service: &ServiceName) -> bool {
        self.part.is_none_or(|part| part.covers(service))
    }
}

/// Makes the plan.
///
/// # Errors
/// When an image cannot be had for this host, or a part cannot go without the rest: nothing has been stopped yet.
pub fn plan(inputs: &Inputs<'_>) -> Result<Planned, Fault> {
    let mut warnings = inputs.stage.warnings.clone();
    let images = images::plan(inputs, &mut warnings)?;
    disk::check(inputs, &mut warnings)?;
    let files::Files {
        changes: files,
        kept,
    } = files::plan(inputs)?;
    scope::check_files(inputs, &files)?;
    foreign::check_others(inputs)?;
    let looks_changed = |file: &&FilePlan| {
        let adopted = inputs.adopted;
        adopted.is_none_or(|adopted| adopted.looks_changed(inputs, file))
    };
    let changed = files.iter().filter(looks_changed);
    let changed: Vec<&RelPath> = changed.map(|file| &file.path).collect();
    warnings.extend(inputs.adopted.and_then(Adopted::warning));
    warnings.extend(foreign::warning(inputs));
    warnings.extend(moved(inputs));
    let services = plan_services(inputs, &changed, &images);
    scope::check_joined(inputs, &services.plans)?;
    let orphans = orphans::orphans(inputs, &services.plans);
    let mut notes = inputs.stage.notes.clone();
    if inputs.part.is_none() {
        notes.extend(orphans::inactive(inputs, &orphans));
    }
    let plan = Plan {
        id: inputs.id,
        stack: inputs.stage.spec.stack.clone(),
        project: inputs.stage.spec.project.clone(),
        base: inputs.base.map(|base| base.id),
        part: inputs.part.cloned(),
        expires_in: u32::try_from(PLAN_LIFE.as_secs()).unwrap_or(u32::MAX),
        services: services.plans,
        images,
        files,
        kept_files: kept,
        orphans,
        warnings,
        notes,
        project_directory: inputs.stage.directory.display().to_string(),
        disk: inputs.disk.clone(),
        hooks: inputs.stage.spec.hooks.iter().map(hook).collect(),
        adoption: inputs.adopted.map(Adopted::told),
    };
    Ok(Planned {
        plan,
        forced: services.forced,
    })
}

/// Relative paths of the Compose files start elsewhere than they did.
fn moved(inputs: &Inputs<'_>) -> Option<String> {
    let (from, to) = (&inputs.base?.spec.folder, &inputs.stage.spec.folder);
    let shown = |folder: &Option<RelPath>| match folder {
        Some(folder) => folder.to_string(),
        None => "the stack's folder".to_owned(),
    };
    (from != to).then(|| {
        format!(
            "relative paths of the Compose files start in {} now, as with plain Compose, and started in {} before: what they name there stays where it is",
            shown(to),
            shown(from)
        )
    })
}

fn plan_services<'a>(
    inputs: &'a Inputs<'a>,
    changed_files: &[&RelPath],
    images: &[ImagePlan],
) -> Services<'a> {
    let mut forced = BTreeSet::new();
    let all = inputs.stage.resolved.services.iter();
    let plans = all.map(|service| {
        let (plan, unseen) = plan_service(inputs, service, changed_files, images);
        if unseen {
            forced.insert(service.name.clone());
        }
        plan
    });
    let plans = plans.collect();
    let mut services = Services::new(inputs, plans, forced);
    services.spread();
    services.replace_failing();
    services.spread();
    services
}

fn hook(hook: &Hook) -> HookPlan {
    let save = hook.save.as_ref();
    HookPlan {
        when: hook.when,
        service: hook.service.clone(),
        command: hook.command(),
        gate: hook.gate.is_some(),
        one_off: hook.one_off,
        save: save.map(|save| save.file.to_string()),
        on_host: save.is_some_and(|save| save.place == SavePlace::Host),
    }
}

/// What would happen to a service by itself, and whether Compose would see no reason for it.
fn plan_service(
    inputs: &Inputs<'_>,
    service: &ResolvedService,
    changed_files: &[&RelPath],
    images: &[ImagePlan],
) -> (ServicePlan, bool) {
    let containers: Vec<&Container> = of_service(inputs.containers, &service.name).collect();
    let answer = |action, reasons| ServicePlan {
        service: service.name.clone(),
        action,
        reasons,
        replicas: service.replicas,
        fields: Vec::new(),
        downtime: None,
    };
    if !inputs.covers(&service.name) {
        return (answer(Action::Keep, Vec::new()), false);
    }
    if containers.is_empty() {
        let action = if service.replicas == 0 {
            Action::Keep
        } else {
            Action::Create
        };
        return (answer(action, Vec::new()), false);
    }
    let mut fields: Vec<FieldChange> = renamed_image(service, &containers).into_iter().collect();
    let mut reasons = changed_settings(inputs, service, &containers, &mut fields);
    if fields.iter().all(|field| field.name != "image") {
        reasons.extend(changed_image(inputs, service, &containers, images));
    }
    let seen = !reasons.is_empty() || !fields.is_empty();
    reasons.extend(changed_mounts(service, changed_files));
    reasons.extend(changed_contents(inputs, service));
    reasons.extend(failing_since_the_last_deploy(inputs, &containers));
    if !reasons.is_empty() || !fields.is_empty() {
        let plan = ServicePlan {
            fields,
            downtime: downtime(inputs, service, &containers),
            ..answer(Action::Recreate, reasons)
        };
        return (plan, !seen);
    }
    let running = containers.len();
    if running != service.replicas as usize {
        let reason = format!("{running} of {} replicas", service.replicas);
        let action = if running < service.replicas as usize {
            Action::Create
        } else {
            Action::Remove
        };
        return (answer(action, vec![reason]), false);
    }
    let stack = &inputs.stage.resolved;
    let had_ended = inputs.base.and_then(|base| base.had_ended(&service.name));
    let one_shot = stack.is_one_shot(service, &inputs.stage.spec.probes, had_ended);
    let stopped = containers.iter().filter(|c| needs_start(c, one_shot));
    let plan = match stopped
        .map(|container| format!("{} is {}", container.name, state_word(container)))
        .next()
    {
        Some(reason) => answer(Action::Start, vec![reason]),
        None => answer(Action::Keep, Vec::new()),
    };
    (plan, false)
}

/// What the last deploy could not bring back may have been made from files that are no longer there: all records are
/// those of the revision, and only its health tells.
fn failing_since_the_last_deploy(inputs: &Inputs<'_>, containers: &[&Container]) -> Option<String> {
    let failing = containers.iter().find(|container| container.is_failing());
    let container = failing.filter(|_| inputs.neither)?;
    let word = state_word(container);
    Some(format!(
        "{} is {word}, and the last deploy could not bring the stack back",
        container.name
    ))
}

/// Compose replaces all replicas of a service together, so several are away as long as one. What has ended or is down
/// has no time to lose.
fn downtime(
    inputs: &Inputs<'_>,
    service: &ResolvedService,
    containers: &[&Container],
) -> Option<Downtime> {
    let runs = |container: &&Container| container.state == ContainerState::Running;
    if !containers.iter().any(runs) {
        return None;
    }
    let took = inputs.base.and_then(|base| base.took.get(&service.name));
    Some(Downtime {
        millis: took.map(|took| took.start_millis + took.stop_millis.unwrap_or(0)),
        with_stop: took.is_some_and(|took| took.stop_millis.is_some()),
    })
}

fn of_service<'a>(
    containers: &'a [Container],
    service: &'a ServiceName,
) -> impl Iterator<Item = &'a Container> {
    containers
        .iter()
        .filter(move |c| c.service == *service && !c.one_off)
}

/// A finished one-shot is where it should be; every other container should run.
fn needs_start(container: &Container, one_shot: bool) -> bool {
    match container.state {
        ContainerState::Running | ContainerState::Restarting => false,
        ContainerState::Exited => !one_shot || container.exit_code != 0,
        _ => true,
    }
}

fn state_word(container: &Container) -> String {
    match container.state {
        ContainerState::Exited => format!("stopped (exit code {})", container.exit_code),
        ContainerState::Paused => "paused".to_owned(),
        ContainerState::Created => "not started".to_owned(),
        ContainerState::Running if container.health == Health::Unhealthy => "unhealthy".to_owned(),
        ContainerState::Restarting => "restarting again and again".to_owned(),
        _ => "not running".to_owned(),
    }
}

fn changed_settings(
    inputs: &Inputs<'_>,
    service: &ResolvedService,
    containers: &[&Container],
    fields: &mut Vec<FieldChange>,
) -> Vec<String> {
    if let Some(adopted) = inputs.adopted {
        return adopted.changed(service, containers, fields);
    }
    let Some(base) = inputs.base else {
        return vec!["it was started outside the committed revision".to_owned()];
    };
    let Some(old) = base.resolved.service(&service.name) else {
        return vec!["it is new in the stack".to_owned()];
    };
    let changed = fields::changed(old, service);
    if !changed.is_empty() {
        fields.extend(changed);
        return Vec::new();
    }
    let committed = base.config_hashes.get(&service.name);
    let foreign = containers
        .iter()
        .find(|c| committed.is_some_and(|hash| *hash != c.config_hash));
    foreign
        .map(|c| format!("{} is not as committed", c.name))
        .into_iter()
        .collect()
}

/// Configs and secrets that hold something else than when the containers were made. Records of older agents do not say.
fn changed_contents(inputs: &Inputs<'_>, service: &ResolvedService) -> Vec<String> {
    let old = inputs
        .base
        .and_then(|base| base.resolved.service(&service.name));
    let Some(old) = old.filter(|old| !old.contents.is_empty()) else {
        return Vec::new();
    };
    let changed = service.contents.iter().filter(|(name, mark)| {
        let before = old.contents.get(*name);
        before.is_some_and(|before| before != *mark)
    });
    changed.map(|(name, _)| format!("{name} changed")).collect()
}

fn changed_mounts(service: &ResolvedService, changed: &[&RelPath]) -> Vec<String> {
    changed
        .iter()
        .filter(|path| service.sees(path))
        .map(|path| format!("mounted file {path} changed"))
        .collect()
}

fn renamed_image(service: &ResolvedService, containers: &[&Container]) -> Option<FieldChange> {
    let renamed = containers
        .iter()
        .find(|container| container.image != service.image)?;
    Some(FieldChange {
        name: "image".to_owned(),
        change: Change::Changed,
        before: Some(renamed.image.clone()),
        after: Some(service.image.clone()),
    })
}

fn changed_image(
    inputs: &Inputs<'_>,
    service: &ResolvedService,
    containers: &[&Container],
    images: &[ImagePlan],
) -> Option<String> {
    let old = containers.first()?.image.clone();
    let pull = images
        .iter()
        .any(|image| image.reference == service.image && image.pull);
    let local = inputs
        .images
        .get(&service.image)
        .and_then(|facts| facts.local.as_ref());
    let stale = local.is_none_or(|local| containers.iter().any(|c| c.image_id != local.id));
    (pull || stale).then(|| format!("{old} has new content"))
}

/// The services of which a plan starts containers.
pub(crate) fn starting<'a>(
    stack: &'a ResolvedStack,
    plans: &[ServicePlan],
) -> Vec<&'a ResolvedService> {
    let starts = |service: &&ResolvedService| {
        let plan = plans.iter().find(|plan| plan.service == service.name);
        plan.is_some_and(|plan| !matches!(plan.action, Action::Keep | Action::Remove))
    };
    stack.services.iter().filter(starts).collect()
}

#[cfg(test)]
mod tests;
