//! What must hold on a host whenever no deploy is under way: the record, the engine and the files say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::alone::Alone;

/// A stack as its host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The committed revision.
    pub(crate) revision: String,
    /// Each container's id, by its name.
    pub(crate) containers: BTreeMap<String, String>,
}

/// Sees that the recorded revision is what the engine shows: services, names, Compose's hashes, images, and that
/// nothing else is there.
#[track_caller]
pub(crate) fn claim_whole(alone: &Alone<'_>, when: &str) -> Seen {
    let name = alone.name();
    let current = record(alone, &format!("stacks/{name}/current.json"));
    let containers = containers(alone);
    let running: BTreeSet<&str> = containers.iter().map(|it| label(it, "service")).collect();
    let services = current["resolved"]["services"].as_array().unwrap();
    let wanted: BTreeSet<&str> = services
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(running, wanted, "{when}");
    assert_eq!(containers.len(), wanted.len(), "{when}: two of one service");
    let mut seen = BTreeMap::new();
    for it in &containers {
        let service = label(it, "service");
        let own = it["Name"].as_str().unwrap().trim_start_matches('/');
        assert_eq!(own, format!("{name}-{service}-1"), "{when}");
        let hash = &current["config_hashes"][service];
        assert_eq!(label(it, "config-hash"), hash.as_str().unwrap(), "{when}");
        let image = it["Config"]["Image"].as_str().unwrap();
        assert_eq!(it["Image"], current["images"][image]["id"], "{when}");
        assert_eq!(it["State"]["Status"], "running", "{when}: {own}");
        seen.insert(own.to_owned(), it["Id"].as_str().unwrap().to_owned());
    }
    let left = "ls -A /var/lib/longshore/work /var/lib/longshore/staging | grep -v : | grep . || true; \
                pgrep -x docker-compose || true";
    assert_eq!(alone.host.sh(left).unwrap(), "", "{when}: left over");
    Seen {
        revision: current["id"].as_str().unwrap().to_owned(),
        containers: seen,
    }
}

/// Every container of the project, stopped ones too, as the engine describes it.
fn containers(alone: &Alone<'_>) -> Vec<Value> {
    let label = format!("label=com.docker.compose.project={}", alone.name());
    let line = format!(
        "ids=$(docker ps -aq --filter {label}); if [ -n \"$ids\" ]; then docker inspect $ids; else echo '[]'; fi"
    );
    serde_json::from_str(&alone.host.sh(&line).unwrap()).unwrap()
}

fn label<'a>(container: &'a Value, name: &str) -> &'a str {
    let key = format!("com.docker.compose.{name}");
    container["Config"]["Labels"][key].as_str().unwrap()
}

/// A record of the agent, without its checksum.
pub(crate) fn record(alone: &Alone<'_>, path: &str) -> Value {
    let bytes = alone.host.read_file(format!("/var/lib/longshore/{path}"));
    let text = String::from_utf8(bytes.unwrap()).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

/// The numbers of a deploy's events in what a command wrote as JSON lines: each once, in order, from the first.
#[track_caller]
pub(crate) fn claim_every_event_once(told: &str, when: &str) {
    let events = told
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let seen: Vec<u64> = events
        .filter_map(|event: Value| event["agent"]["seq"].as_u64())
        .filter(|seq| *seq > 0)
        .collect();
    let wanted: Vec<u64> = (1..=seen.len() as u64).collect();
    assert!(!seen.is_empty() && seen == wanted, "{when}:\n{told}");
    let ends = told.matches("\"event\":\"finished\"").count();
    assert_eq!(ends, 1, "{when}: how often it ended:\n{told}");
}
