//! What a stack needs of its host: refused here, before anything stops, where the host cannot give it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::id::StackName;
use proto::plan::Plan;

use super::taken;
use crate::engine::{Container, HostContainer, Listener};
use crate::resolved::VolumeWanted;
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
    /// Every container of the host, this project's too.
    pub containers: Vec<HostContainer>,
    /// Programs that listen on ports of the plan, the engine's own for its containers too.
    pub listening: Vec<Listener>,
    /// Folders of the host that volumes of the project are, and that are not there: by the volume's key.
    pub missing_folders: Vec<(String, PathBuf)>,
    /// Other stacks of the host that use an image of this plan under the same name.
    pub sharing: BTreeMap<String, Vec<StackName>>,
}

/// The plan with what its surroundings add to it.
///
/// # Errors
/// When something is missing, taken by others, or would lose data.
pub fn settle(
    mut plan: Plan,
    stage: &Stage,
    base: Option<&Revision>,
    containers: &[Container],
    around: &Surroundings,
) -> Result<Plan, Fault> {
    check_missing(around)?;
    check_folders(&stage.directory, around)?;
    check_volumes(&mut plan, stage, base, around)?;
    taken::check(&plan, stage, containers, around)?;
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

/// The engine finds out only when it starts a container that mounts the volume, after the old one has gone.
fn check_folders(directory: &Path, around: &Surroundings) -> Result<(), Fault> {
    let told = around.missing_folders.iter().map(|(volume, folder)| {
        let folder = folder.display();
        format!("volume {volume} is the folder {folder}, which is not there")
    });
    let mut told = told;
    let Some(first) = told.next() else {
        return Ok(());
    };
    let fault = told.fold(refused(first), Fault::cause);
    let hint = |(_, folder): &(String, PathBuf)| {
        let make = format!("make it on the host: mkdir -p {}", folder.display());
        match folder.strip_prefix(directory) {
            Ok(below) => format!(
                "if its files belong to the stack: ship = [\"{}/**\"] in fleet.toml; or {make}",
                below.display()
            ),
            Err(_) => make,
        }
    };
    let hints = around.missing_folders.iter().map(hint);
    Err(hints.fold(fault, Fault::hint))
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
