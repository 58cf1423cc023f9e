//! `deny.toml` over `cargo metadata`: bans, version floors, licences, sources and duplicates, without a network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use semver::{Version, VersionReq};
use serde_json::Value;

struct Package {
    id: String,
    name: String,
    version: Version,
    license: String,
    source: Option<String>,
}

struct Graph {
    packages: Vec<Package>,
    /// Package id to the names of what it depends on.
    edges: BTreeMap<String, BTreeSet<String>>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// Servers and workstations are of both kinds, and either C library will do.
const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
];

/// What is really built for any of them: other platforms' crates are left out.
static GRAPH: LazyLock<Graph> = LazyLock::new(graph);

fn graph() -> Graph {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(
            TARGETS
                .iter()
                .flat_map(|&target| ["--filter-platform", target]),
        )
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut edges = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let names = node["dependencies"].as_array().unwrap().iter();
        edges.insert(
            text(node, "id"),
            names.map(|id| id.as_str().unwrap().to_owned()).collect(),
        );
    }
    let packages = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| Package {
            id: text(package, "id"),
            name: text(package, "name"),
            version: text(package, "version").parse().unwrap(),
            license: text(package, "license"),
            source: package["source"].as_str().map(str::to_owned),
        });
    let packages = packages
        .filter(|package| edges.contains_key(&package.id))
        .collect();
    Graph { packages, edges }
}

fn policy() -> toml::Table {
    std::fs::read_to_string(root().join("deny.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

fn list<'a>(policy: &'a toml::Table, section: &str, key: &str) -> Vec<&'a toml::Value> {
    policy[section][key].as_array().unwrap().iter().collect()
}

#[test]
fn every_target_is_looked_at() {
    let policy = policy();
    let named: Vec<&str> = list(&policy, "graph", "targets")
        .iter()
        .filter_map(|v| v.as_str())
        .collect();
    assert_eq!(named, TARGETS, "deny.toml looks at other targets");
}

#[test]
fn nothing_banned_is_built() {
    let (graph, policy) = (&*GRAPH, policy());
    let mut found = Vec::new();
    for ban in list(&policy, "bans", "deny") {
        let spec = ban["crate"].as_str().unwrap();
        let (name, versions) = spec.split_once('@').unwrap_or((spec, "*"));
        let versions: VersionReq = versions.parse().unwrap();
        let wrappers: Vec<&str> = ban
            .get("wrappers")
            .and_then(toml::Value::as_array)
            .map(|names| names.iter().filter_map(toml::Value::as_str).collect())
            .unwrap_or_default();
        for package in graph
            .packages
            .iter()
            .filter(|p| p.name == name && versions.matches(&p.version))
        {
            let users = graph
                .packages
                .iter()
                .filter(|user| graph.edges[&user.id].contains(&package.id));
            let users: Vec<&str> = users.map(|user| user.name.as_str()).collect();
            if wrappers.is_empty() || users.iter().any(|user| !wrappers.contains(user)) {
                let reason = ban["reason"].as_str().unwrap();
                found.push(format!(
                    "{name} {} (used by {users:?}): {reason}",
                    package.version
                ));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_licence_is_allowed() {
    let policy = policy();
    let allowed: Vec<&str> = list(&policy, "licenses", "allow")
        .iter()
        .filter_map(|v| v.as_str())
        .collect();
    let fits = |license: &str| {
        // `/` is the old spelling of OR; AND needs every part.
        license.replace('/', " OR ").split(" OR ").any(|choice| {
            choice
                .split(" AND ")
                .all(|part| allowed.contains(&part.trim().trim_matches(['(', ')'])))
        })
    };
    let foreign = GRAPH
        .packages
        .iter()
        .filter(|package| !fits(&package.license));
    let foreign: Vec<String> = foreign
        .map(|p| format!("{} {}: {:?}", p.name, p.version, p.license))
        .collect();
    assert!(foreign.is_empty(), "{foreign:#?}");
}

#[test]
fn every_source_is_the_one_registry() {
    let ours = ["agent", "controller", "fixture", "proto", "tests"];
    for package in &GRAPH.packages {
        match &package.source {
            Some(source) => assert!(
                source.contains("crates.io-index"),
                "{}: {source}",
                package.name
            ),
            None => assert!(
                ours.contains(&package.name.as_str()),
                "{} comes from a path",
                package.name
            ),
        }
    }
}

#[test]
fn no_crate_is_built_twice_without_a_reason() {
    let (graph, policy) = (&*GRAPH, policy());
    let skipped: BTreeSet<&str> = list(&policy, "bans", "skip")
        .iter()
        .map(|skip| {
            assert!(!skip["reason"].as_str().unwrap().is_empty());
            skip["crate"].as_str().unwrap()
        })
        .collect();
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in &graph.packages {
        versions
            .entry(&package.name)
            .or_default()
            .insert(package.version.to_string());
    }
    let mut unexplained = Vec::new();
    let mut used = BTreeSet::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let old: Vec<String> = versions
            .iter()
            .map(|version| format!("{name}@{version}"))
            .collect();
        let explained = old
            .iter()
            .filter(|spec| skipped.contains(spec.as_str()))
            .count();
        used.extend(old.iter().cloned());
        if versions.len() - explained > 1 {
            unexplained.push(old);
        }
    }
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let stale: Vec<&&str> = skipped
        .iter()
        .filter(|spec| !used.contains(**spec))
        .collect();
    assert!(
        stale.is_empty(),
        "skipped in deny.toml but built once: {stale:?}"
    );
}
