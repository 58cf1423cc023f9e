//! What a stack needs of its host: refused here, before anything stops, where the host cannot give it.

use std::collections::{BTreeMap, BTreeSet};

use proto::fault::{Fault, FaultKind};
use proto::id::StackName;
use proto::plan::Plan;

use super::starting;
use crate::engine::PortHolder;
use crate::resolved::{Published, ResolvedService, VolumeWanted};
use crate::store::{Revision, Stage};

/// The most stacks that one note names.
const MOST_NAMED: usize = 4;

/// A volume of the engine as it can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeFound {
    /// Its driver.
    pub driver: String,
    /// Keyed digests of its driver's options.
    pub options: BTreeMap<String, String>,
}

/// What there is on the host beside the stack's containers; looked for only where a plan changes something.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// External networks that are not there.
    pub missing_networks: Vec<String>,
    /// External volumes that are not there.
    pub missing_volumes: Vec<String>,
    /// The project's own volumes that are there.
    pub volumes: BTreeMap<String, VolumeFound>,
    /// Ports that containers publish, this project's too.
    pub published: Vec<PortHolder>,
    /// Ports that programs listen on, the engine's own for its containers too.
    pub listening: Vec<PortHolder>,
    /// Other stacks of the host that use an image of this plan under the same name.
    pub sharing: BTreeMap<String, Vec<StackName>>,
}

/// Ports of the host that services need anew for a plan, with who needs them.
pub fn ports_needed<'a>(
    plan: &Plan,
    stage: &'a Stage,
) -> Vec<(&'a ResolvedService, &'a Published)> {
    starting(&stage.resolved, &plan.services)
        .into_iter()
        .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
        .collect()
}

/// The plan with what its surroundings add to it.
///
/// # Errors
/// When something is missing, taken by others, or would lose data.
pub fn settle(
    mut plan: Plan,
    stage: &Stage,
    base: Option<&Revision>,
    around: &Surroundings,
) -> Result<Plan, Fault> {
    check_missing(around)?;
    check_volumes(&mut plan, stage, base, around)?;
    check_ports(&plan, stage, around)?;
    for (reference, stacks) in &around.sharing {
        let names: Vec<&str> = stacks.iter().map(StackName::as_str).collect();
        let more = names.len().saturating_sub(MOST_NAMED);
        let mut names = names
            .into_iter()
            .take(MOST_NAMED)
            .collect::<Vec<_>>()
            .join(", ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        let moves = plan.images.iter();
        let moves = moves.filter(|image| image.pull && image.reference == *reference);
        let effect = match moves.count() {
            0 => "",
            _ => "; the name means the new image for both from then on",
        };
        plan.notes
            .push(format!("{reference} is used by stack {names} too{effect}"));
    }
    Ok(plan)
}

fn refused(what: String) -> Fault {
    Fault::new(FaultKind::Refused, what)
}

fn check_missing(around: &Surroundings) -> Result<(), Fault> {
    let networks = around.missing_networks.iter().map(|name| ("network", name));
    let volumes = around.missing_volumes.iter().map(|name| ("volume", name));
    let missing: Vec<(&str, &String)> = networks.chain(volumes).collect();
    let Some((kind, name)) = missing.first() else {
        return Ok(());
    };
    let mut fault = refused(format!(
        "external {kind} {name} is not there, and the stack does not make it"
    ));
    for (kind, name) in missing.iter().skip(1) {
        fault = fault.cause(format!("external {kind} {name} is not there either"));
    }
    for (kind, name) in &missing {
        fault = fault.hint(format!("make it on the host: docker {kind} create {name}"));
    }
    Err(fault)
}

/// Compose keeps a volume as it is, or asks whether to make it anew without its data.
fn check_volumes(
    plan: &mut Plan,
    stage: &Stage,
    base: Option<&Revision>,
    around: &Surroundings,
) -> Result<(), Fault> {
    for (name, wanted) in &stage.resolved.outside.own_volumes {
        let Some(found) = around.volumes.get(name) else {
            continue;
        };
        let differences = differences(wanted, found);
        if differences.is_empty() {
            continue;
        }
        let what = format!(
            "volume {name} is not as the stack defines it: {}",
            differences.join(", ")
        );
        let definition = format!("volume {}", wanted.key);
        let agreed = base.is_some_and(|base| {
            let old = base.resolved.definitions.get(&definition);
            old.is_some() && old == stage.resolved.definitions.get(&definition)
        });
        if agreed {
            plan.warnings.push(format!("{what}; it stays as it is"));
            continue;
        }
        return Err(refused(what)
            .cause("it would have to be made anew, without the data in it")
            .hint(format!(
                "give the new volume another name: under volumes.{}",
                wanted.key
            ))
            .hint(format!(
                "or take the data out, and remove it on the host: docker volume rm {name}"
            )));
    }
    Ok(())
}

fn differences(wanted: &VolumeWanted, found: &VolumeFound) -> Vec<String> {
    let mut differences = Vec::new();
    if wanted.driver != found.driver {
        let text = format!("its driver is {}, not {}", found.driver, wanted.driver);
        differences.push(text);
    }
    let names: BTreeSet<&String> = wanted.options.keys().chain(found.options.keys()).collect();
    for name in names {
        match (found.options.get(name), wanted.options.get(name)) {
            (Some(found), Some(wanted)) if found == wanted => {}
            (Some(_), Some(_)) => differences.push(format!("its option {name} differs")),
            (Some(_), None) => differences.push(format!("it has the option {name}")),
            _ => differences.push(format!("it was made without the option {name}")),
        }
    }
    differences
}

fn check_ports(plan: &Plan, stage: &Stage, around: &Surroundings) -> Result<(), Fault> {
    let needed = ports_needed(plan, stage);
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (service, port) in &needed {
        let holders = around.published.iter();
        let others = holders.filter(|one| one.project != plan.project.as_str());
        let containers = others
            .filter(|one| one.port.collides(port))
            .map(|one| format!("container {}", one.name));
        // The engine listens itself for what its containers publish.
        let by_engine = |one: &&PortHolder| {
            !around
                .published
                .iter()
                .any(|it| it.port.collides(&one.port))
        };
        let programs = around.listening.iter().filter(by_engine);
        let programs = programs
            .filter(|one| one.port.collides(port))
            .map(|one| one.name.clone());
        let beside = needed
            .iter()
            .filter(|(other, theirs)| other.name < service.name && theirs.collides(port))
            .map(|(other, _)| format!("service {} of the same stack", other.name));
        let holders = containers.chain(programs).chain(beside);
        taken.extend(
            holders.map(|holder| format!("port {port} of {} is taken by {holder}", service.name)),
        );
    }
    let mut taken = taken.into_iter();
    let Some(first) = taken.next() else {
        return Ok(());
    };
    let fault = refused(first).hint("publish another port, or stop what holds this one");
    Err(taken.fold(fault, Fault::cause))
}
