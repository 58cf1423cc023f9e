//! How the services of a project hang on each other: dependencies, shared namespaces, volumes of another service.

use std::collections::{BTreeMap, BTreeSet};

use proto::id::ServiceName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a service waits for before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// `service_started`.
    Started,
    /// `service_healthy`.
    Healthy,
    /// `service_completed_successfully`.
    Completed,
}

/// One entry of `depends_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What is waited for.
    pub condition: Condition,
    /// Whether the dependent is restarted when the other one is replaced.
    pub restart: bool,
    /// Whether Compose fails without it.
    pub required: bool,
}

impl Default for Dependency {
    fn default() -> Self {
        Self {
            condition: Condition::Started,
            restart: false,
            required: true,
        }
    }
}

pub(super) fn text<'a>(service: &'a Value, key: &str) -> Option<&'a str> {
    service.get(key).and_then(Value::as_str)
}

/// Compose lists here what links, shared namespaces and `volumes_from` imply as well.
pub(super) fn depends_on(service: &Value) -> BTreeSet<ServiceName> {
    dependencies(service).into_keys().collect()
}

pub(super) fn dependencies(service: &Value) -> BTreeMap<ServiceName, Dependency> {
    let entries: Vec<(&str, Dependency)> = match service.get("depends_on") {
        Some(Value::Object(entries)) => entries
            .iter()
            .map(|(name, entry)| (name.as_str(), dependency(entry)))
            .collect(),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(|name| Some((name.as_str()?, Dependency::default())))
            .collect(),
        _ => Vec::new(),
    };
    entries
        .into_iter()
        .filter_map(|(name, entry)| Some((name.parse().ok()?, entry)))
        .collect()
}

fn dependency(entry: &Value) -> Dependency {
    let flag = |name: &str| entry.get(name).and_then(Value::as_bool);
    Dependency {
        condition: match text(entry, "condition") {
            Some("service_healthy") => Condition::Healthy,
            Some("service_completed_successfully") => Condition::Completed,
            _ => Condition::Started,
        },
        restart: flag("restart").unwrap_or(false),
        required: flag("required").unwrap_or(true),
    }
}

pub(super) fn joins(service: &Value) -> BTreeSet<ServiceName> {
    let namespaces = ["network_mode", "ipc", "pid"]
        .into_iter()
        .filter_map(|key| text(service, key)?.strip_prefix("service:"));
    let sources = service.get("volumes_from").and_then(Value::as_array);
    let sources = sources.into_iter().flatten().filter_map(Value::as_str);
    let sources = sources.filter(|source| !source.starts_with("container:"));
    let sources = sources.map(|source| source.split(':').next().unwrap_or(source));
    namespaces
        .chain(sources)
        .filter_map(|name| name.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_dependency_keeps_its_condition() {
        let service = json!({"depends_on": {
            "db": {"condition": "service_healthy", "restart": true, "required": true},
            "init": {"condition": "service_completed_successfully", "required": false},
            "web": {"condition": "service_started"},
        }});
        let read = dependencies(&service);
        let told: Vec<_> = read
            .iter()
            .map(|(name, it)| (name.as_str(), it.condition, it.restart, it.required))
            .collect();
        assert_eq!(
            told,
            [
                ("db", Condition::Healthy, true, true),
                ("init", Condition::Completed, false, false),
                ("web", Condition::Started, false, true),
            ]
        );
        let listed = json!({"depends_on": ["db"]});
        assert_eq!(
            dependencies(&listed).values().next(),
            Some(&Dependency::default())
        );
        assert!(dependencies(&json!({})).is_empty());
    }

    #[test]
    fn a_service_joins_those_whose_namespaces_and_volumes_it_uses() {
        let service = json!({
            "network_mode": "service:vpn", "ipc": "service:db", "pid": "host",
            "volumes_from": ["data:ro", "container:other"],
        });
        let joined: Vec<_> = joins(&service).iter().map(ToString::to_string).collect();
        assert_eq!(joined, ["data", "db", "vpn"]);
        assert!(joins(&json!({"network_mode": "bridge"})).is_empty());
    }
}
