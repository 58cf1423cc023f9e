//! A scripted project's files: JSON that is the resolved configuration but for its variables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proto::id::ServiceName;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::engine::compose::paths;
use crate::engine::{ComposeProject, EngineError, Named, Resolution, Up};

/// A service to converge.
pub(super) struct Service {
    /// Its name.
    pub(super) name: ServiceName,
    /// Its image.
    pub(super) image: String,
    /// How many.
    pub(super) replicas: u32,
    /// Its whole configuration, as text.
    pub(super) config: String,
    /// What it depends on, and whether it waits for that one's health.
    pub(super) waits_for: BTreeMap<ServiceName, bool>,
}

impl Service {
    /// As its containers are labelled.
    pub(super) fn hash(&self) -> String {
        let digest = Sha256::digest(self.config.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What the first file names.
pub(super) fn named(project: &ComposeProject) -> Result<Named, EngineError> {
    let config = parse(&text(project)?)?;
    Ok(Named {
        paths: paths::named(&config),
        services: paths::services(&config),
        host_files: paths::host_files(&config),
        project: paths::project(&config).or_else(|| Some(project.name.clone())),
        ..Named::default()
    })
}

/// The first file with its variables replaced, its paths made absolute and inactive services left out.
pub(super) fn resolve(project: &ComposeProject) -> Result<Resolution, EngineError> {
    let (text, undefined) = interpolate(&text(project)?, &values(project));
    let mut config = parse(&text)?;
    let active = |service: &Value| match service["profiles"].as_array() {
        Some(wanted) => project
            .profiles
            .iter()
            .any(|on| wanted.iter().any(|one| one == on)),
        None => true,
    };
    if let Some(services) = config["services"].as_object_mut() {
        services.retain(|_, service| active(service));
        for service in services.values_mut() {
            let mounts = service.get_mut("volumes").and_then(Value::as_array_mut);
            for mount in mounts
                .into_iter()
                .flatten()
                .filter(|mount| mount["type"] == "bind")
            {
                absolute(mount.get_mut("source"), &project.directory);
            }
        }
    }
    for section in ["configs", "secrets"] {
        let items = config.get_mut(section).and_then(Value::as_object_mut);
        for (_, item) in items.into_iter().flatten() {
            absolute(item.get_mut("file"), &project.directory);
        }
    }
    config["name"] = Value::from(project.name.as_str());
    Ok(Resolution {
        config,
        undefined: undefined.into_iter().collect(),
        warnings: Vec::new(),
    })
}

/// The services of a resolved configuration that a run is about, each after those that it depends on.
pub(super) fn services(config: &Value, up: &Up) -> Result<Vec<Service>, EngineError> {
    let mut all = BTreeMap::new();
    for (name, service) in config["services"].as_object().into_iter().flatten() {
        let name: ServiceName = name.parse().map_err(|error| wrong(format!("{error}")))?;
        let replicas = service["deploy"]["replicas"]
            .as_u64()
            .or(service["scale"].as_u64());
        let waits_for = service["depends_on"].as_object();
        let service = Service {
            name: name.clone(),
            image: service["image"].as_str().unwrap_or_default().to_owned(),
            replicas: replicas
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(1),
            config: service.to_string(),
            waits_for: waits_for
                .into_iter()
                .flatten()
                .filter_map(|(name, entry)| {
                    Some((name.parse().ok()?, entry["condition"] == "service_healthy"))
                })
                .collect(),
        };
        all.insert(name, service);
    }
    let wanted: Vec<ServiceName> = match up.only.as_slice() {
        [] => all.keys().cloned().collect(),
        only => only.to_vec(),
    };
    let mut ordered = Vec::new();
    for name in &wanted {
        order(name, &mut all, up.no_deps, &mut ordered);
    }
    Ok(ordered)
}

/// Takes a service, what it depends on first.
fn order(
    name: &ServiceName,
    all: &mut BTreeMap<ServiceName, Service>,
    alone: bool,
    ordered: &mut Vec<Service>,
) {
    let Some(service) = all.remove(name) else {
        return;
    };
    for other in service.waits_for.keys().filter(|_| !alone) {
        order(other, all, alone, ordered);
    }
    ordered.push(service);
}

fn text(project: &ComposeProject) -> Result<String, EngineError> {
    let file = project
        .files
        .first()
        .ok_or_else(|| wrong("no configuration file provided".to_owned()))?;
    let missing = |error| wrong(format!("open {}: {error}", file.display()));
    std::fs::read_to_string(file).map_err(missing)
}

fn parse(text: &str) -> Result<Value, EngineError> {
    serde_json::from_str(text).map_err(|error| wrong(format!("yaml: {error}")))
}

fn wrong(words: String) -> EngineError {
    EngineError::Config {
        output: vec![words],
    }
}

fn values(project: &ComposeProject) -> BTreeMap<String, String> {
    let files = project.env_files.iter();
    let texts: String = files
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .collect();
    let mut values = BTreeMap::new();
    for line in texts.lines() {
        if let Some((name, value)) = line.split_once('=') {
            values.insert(name.to_owned(), value.to_owned());
        }
    }
    values.extend(project.environment.iter().cloned());
    values
}

fn interpolate(text: &str, values: &BTreeMap<String, String>) -> (String, BTreeSet<String>) {
    let mut done = String::new();
    let mut undefined = BTreeSet::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, later) = after.split_once('}').unwrap_or((after, ""));
        let (name, default) = match variable.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (variable, None),
        };
        done.push_str(before);
        match values.get(name).map(String::as_str).or(default) {
            // Inside a JSON string, so quoted as one, without the quotes.
            Some(value) => done.push_str(Value::from(value).to_string().trim_matches('"')),
            None => {
                undefined.insert(name.to_owned());
            }
        }
        rest = later;
    }
    done.push_str(rest);
    (done, undefined)
}

fn absolute(path: Option<&mut Value>, directory: &Path) {
    if let Some(path) = path
        && let Some(text) = path.as_str()
    {
        // Joining an absolute path gives that path; the leading dot goes as Compose lets it go.
        let text = text.strip_prefix("./").unwrap_or(text);
        *path = Value::from(directory.join(text).display().to_string());
    }
}
