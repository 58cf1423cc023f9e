//! What Compose's resolved configuration means for a deploy: services, images, mounts, and marks to compare by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use proto::fault::{Fault, FaultKind};
use proto::id::{ProjectName, ServiceName};
use proto::path::RelPath;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::healthcheck::Healthcheck;
use crate::hostkey::HostKey;
use crate::redact::Redactor;

mod contents;
mod images;
mod links;
mod mounts;
mod newer;
mod one_shot;
mod outside;
mod shown;

pub use contents::Values;
pub use images::PullPolicy;
pub use links::{Condition, Dependency};
pub use newer::left_out;
pub use outside::check_sources;
pub(crate) use outside::{INTO_THE_STACK, address, option_mark};
pub use outside::{NetworkAddress, Outside, PortRange, Published, VolumeWanted};
pub(crate) use shown::short;

/// Keys that Compose's own hash leaves out: changing them recreates nothing.
const NOT_HASHED: &[&str] = &[
    "build",
    "pull_policy",
    "scale",
    "depends_on",
    "profiles",
    "develop",
];

/// When a container that ended counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Never started again: exit 0 is a finished one-shot.
    No,
    /// Started again after a failure: exit 0 is a finished one-shot.
    OnFailure,
    /// Meant to run for ever.
    Always,
}

/// One service, with nothing secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedService {
    /// Its name.
    pub name: ServiceName,
    /// The image as the files name it.
    pub image: String,
    /// `pull_policy` as the files write it; `None` without one.
    #[serde(default)]
    pub pull_policy: Option<String>,
    /// The platform that the files ask for; `None`: the host's own.
    #[serde(default)]
    pub platform: Option<String>,
    /// Containers wanted.
    pub replicas: u32,
    /// When it counts as done.
    pub restart: Restart,
    /// How long a change may take to show in its health; from its healthcheck.
    pub patience: Duration,
    /// Whether the files give it a healthcheck; its image may have one as well.
    #[serde(default)]
    pub has_check: bool,
    /// Shipped files and folders that it mounts.
    pub mounts: BTreeSet<RelPath>,
    /// Whether it mounts the whole project directory.
    #[serde(default)]
    pub mounts_all: bool,
    /// Services that must be there before it.
    #[serde(default)]
    pub depends_on: BTreeSet<ServiceName>,
    /// A keyed digest per config and secret that it uses, as `config page`: Compose looks at their names alone.
    #[serde(default)]
    pub contents: BTreeMap<String, String>,
    /// A keyed digest per setting; a changed one means other containers.
    pub marks: BTreeMap<String, String>,
    /// Settings that may be shown, as texts without secrets; a list has several.
    #[serde(default)]
    pub shown: BTreeMap<String, BTreeSet<String>>,
    /// Ports of the host that it publishes.
    #[serde(default)]
    pub ports: BTreeSet<Published>,
    /// Ranges of which it publishes one port for each container.
    #[serde(default)]
    pub port_ranges: BTreeSet<PortRange>,
    /// How it depends on each of `depends_on`; empty in records of agents that did not note it.
    #[serde(default)]
    pub dependencies: BTreeMap<ServiceName, Dependency>,
    /// Services whose network, PID or IPC namespace it joins, or whose volumes it takes with `volumes_from`.
    #[serde(default)]
    pub joins: BTreeSet<ServiceName>,
    /// The name that the files give its one container; `None` where Compose makes up the names.
    #[serde(default)]
    pub container_name: Option<String>,
    /// Addresses that it has to have.
    #[serde(default)]
    pub addresses: BTreeSet<NetworkAddress>,
}

impl ResolvedService {
    /// Whether its containers see a file of the project directory.
    #[must_use]
    pub fn sees(&self, file: &RelPath) -> bool {
        self.mounts_all || self.mounts.iter().any(|mount| file.is_within(mount))
    }

    /// What its containers are called in a project.
    pub fn container_names(&self, project: &ProjectName) -> Vec<String> {
        match &self.container_name {
            Some(name) => vec![name.clone()],
            None => (1..=self.replicas)
                .map(|number| format!("{project}-{}-{number}", self.name))
                .collect(),
        }
    }
}

/// A project as Compose understood it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedStack {
    /// By name.
    pub services: Vec<ResolvedService>,
    /// A keyed digest per network, volume, config and secret of the project, as `network default`.
    #[serde(default)]
    pub definitions: BTreeMap<String, String>,
    /// What it needs of its host.
    #[serde(default)]
    pub outside: Outside,
    /// Services that the files have, and whose profiles are not active.
    #[serde(default)]
    pub inactive: BTreeSet<ServiceName>,
}

impl ResolvedStack {
    /// Every image with the services that use it.
    #[must_use]
    pub fn images(&self) -> BTreeMap<&str, Vec<ServiceName>> {
        self.images_of(|_| true)
    }

    /// The images of some services.
    pub fn images_of(
        &self,
        wanted: impl Fn(&ServiceName) -> bool,
    ) -> BTreeMap<&str, Vec<ServiceName>> {
        let mut images: BTreeMap<&str, Vec<ServiceName>> = BTreeMap::new();
        for service in self.services.iter().filter(|one| wanted(&one.name)) {
            images
                .entry(&service.image)
                .or_default()
                .push(service.name.clone());
        }
        images
    }

    /// A service by name.
    #[must_use]
    pub fn service(&self, name: &ServiceName) -> Option<&ResolvedService> {
        self.services.iter().find(|service| service.name == *name)
    }
}

/// Writes `to` where `from` stands, a folder that nothing else is named after: as a path, and within texts that were
/// made with `${PWD}`.
pub fn rewrite_prefix(config: &mut Value, from: &Path, to: &Path) {
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    rewrite(config, &from, &to);
}

fn rewrite(config: &mut Value, from: &str, to: &str) {
    match config {
        Value::String(text) => *text = renamed(text, from, to),
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, from, to)),
        Value::Object(map) => map.values_mut().for_each(|item| rewrite(item, from, to)),
        _ => {}
    }
}

fn renamed(text: &str, from: &str, to: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(from) {
        // `/s/10` is not below `/s/1`.
        let goes_on = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let name = if after.starts_with(goes_on) { from } else { to };
        done.push_str(before);
        done.push_str(name);
        rest = after;
    }
    done.push_str(rest);
    done
}

/// Reads `config --format json`, whose paths already point into `directory`; `redactor` knows the stack's secrets.
///
/// # Errors
/// When a service cannot be deployed: no image, or a name that could not have come from Compose.
pub fn read(
    config: &Value,
    directory: &Path,
    key: &HostKey,
    redactor: &Redactor,
    values: &Values<'_>,
) -> Result<ResolvedStack, Fault> {
    let empty = Map::new();
    let services = config
        .get("services")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    if services.is_empty() {
        return Err(
            Fault::new(FaultKind::InvalidStack, "the stack has no services")
                .hint("services behind a profile run only when the profile is active"),
        );
    }
    check_images(services)?;
    let services = services
        .iter()
        .map(|(name, service)| {
            let shown = shown::of(service, key, redactor);
            Ok(ResolvedService {
                shown,
                ..read_service(name, service, config, directory, key, values)?
            })
        })
        .collect::<Result<_, Fault>>()?;
    Ok(ResolvedStack {
        services,
        definitions: definitions(config, key),
        outside: outside::of(config, key),
        inactive: BTreeSet::new(),
    })
}

/// All that have none are told at once.
fn check_images(services: &Map<String, Value>) -> Result<(), Fault> {
    let without = services.iter().filter(|(_, service)| {
        let image = links::text(service, "image");
        image.unwrap_or_default().is_empty()
    });
    let without: Vec<(&str, bool)> = without
        .map(|(name, service)| (name.as_str(), service.get("build").is_some()))
        .collect();
    let names: Vec<&str> = without.iter().map(|(name, _)| *name).collect();
    let what = match names.as_slice() {
        [] => return Ok(()),
        [one] => format!("service {one} has no image"),
        many => format!("services {} have no image", many.join(", ")),
    };
    let built = without.iter().all(|(_, built)| *built);
    Err(Fault::new(FaultKind::InvalidStack, what).hint(if built {
        "what is built from source is not built here: build and push it, and name the result with `image:`, in a Compose file of its own if need be"
    } else {
        "name one with `image:`"
    }))
}

fn read_service(
    name: &str,
    service: &Value,
    config: &Value,
    directory: &Path,
    key: &HostKey,
    values: &Values<'_>,
) -> Result<ResolvedService, Fault> {
    let invalid = |what: String| Fault::new(FaultKind::InvalidStack, what);
    let parsed = name
        .parse::<ServiceName>()
        .map_err(|error| invalid(error.to_string()))?;
    let image = links::text(service, "image").unwrap_or_default();
    let (mounts, mounts_all) = mounts::of(name, service, config, directory)?;
    Ok(ResolvedService {
        mounts,
        mounts_all,
        name: parsed,
        image: image.to_owned(),
        pull_policy: links::text(service, "pull_policy").map(str::to_owned),
        platform: links::text(service, "platform")
            .filter(|it| !it.is_empty())
            .map(images::platform),
        replicas: replicas(service),
        restart: restart(service),
        patience: patience(service.get("healthcheck")),
        has_check: has_check(service.get("healthcheck")),
        depends_on: links::depends_on(service),
        dependencies: links::dependencies(service),
        joins: links::joins(service),
        container_name: links::text(service, "container_name").map(str::to_owned),
        addresses: outside::addresses(service, config),
        contents: contents::of(service, config, values, key),
        marks: marks(service, key),
        shown: BTreeMap::new(),
        ports: outside::ports(service),
        port_ranges: outside::port_ranges(service),
    })
}

fn replicas(service: &Value) -> u32 {
    let deploy = service.pointer("/deploy/replicas");
    let count = deploy
        .or_else(|| service.get("scale"))
        .and_then(Value::as_u64)
        .unwrap_or(1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn restart(service: &Value) -> Restart {
    let policy = service.get("restart").and_then(Value::as_str);
    let condition = service
        .pointer("/deploy/restart_policy/condition")
        .and_then(Value::as_str);
    // As Compose has it: what `deploy` says wins.
    match condition.or(policy).unwrap_or("no") {
        "always" | "unless-stopped" | "any" => Restart::Always,
        policy if policy.starts_with("on-failure") => Restart::OnFailure,
        _ => Restart::No,
    }
}

fn has_check(healthcheck: Option<&Value>) -> bool {
    let test = healthcheck.and_then(|check| check.get("test"));
    let words = test.and_then(Value::as_array);
    let off = |words: &Vec<Value>| words.first().is_none_or(|word| word == "NONE");
    let disabled = healthcheck.and_then(|check| check.get("disable"));
    test.is_some_and(|test| test.is_string() || words.is_some_and(|words| !off(words)))
        && disabled.and_then(Value::as_bool) != Some(true)
}

/// Without a healthcheck one may still come with the image.
fn patience(healthcheck: Option<&Value>) -> Duration {
    let field = |name: &str| healthcheck.and_then(|check| check.get(name));
    let time = |name: &str| {
        field(name)
            .and_then(Value::as_str)
            .and_then(proto::duration::parse)
    };
    Healthcheck::of(
        time("interval"),
        time("timeout"),
        time("start_period"),
        field("retries").and_then(Value::as_u64),
    )
    .patience()
}

/// What services share: changing it may concern any of them.
fn definitions(config: &Value, key: &HostKey) -> BTreeMap<String, String> {
    let kinds = [
        ("networks", "network"),
        ("volumes", "volume"),
        ("configs", "config"),
        ("secrets", "secret"),
    ];
    let of_kind = |(section, kind): (&str, &'static str)| {
        let items = config.get(section).and_then(Value::as_object);
        let mark = move |(name, value): (&String, &Value)| {
            (format!("{kind} {name}"), key.mark("definition", value))
        };
        items.into_iter().flatten().map(mark).collect::<Vec<_>>()
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

/// One mark per setting, and one per environment variable, so that a plan can name what changed.
fn marks(service: &Value, key: &HostKey) -> BTreeMap<String, String> {
    let mut marks = BTreeMap::new();
    let Some(settings) = service.as_object() else {
        return marks;
    };
    for (name, value) in settings {
        if NOT_HASHED.contains(&name.as_str()) || value.is_null() {
            continue;
        }
        match value
            .as_object()
            .filter(|_| name == "environment" || name == "labels")
        {
            Some(entries) => marks.extend(
                entries
                    .iter()
                    .map(|(entry, value)| (format!("{name} {entry}"), key.mark("setting", value))),
            ),
            None => {
                let mut value = value.clone();
                if let Some(deploy) = value.as_object_mut().filter(|_| name == "deploy") {
                    deploy.remove("replicas");
                }
                marks.insert(name.clone(), key.mark("setting", &value));
            }
        }
    }
    marks
}

#[cfg(test)]
mod tests;
