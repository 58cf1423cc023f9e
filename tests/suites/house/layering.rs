//! Who may know what: each row is a word and the only places where it may stand.

use std::fs;
use std::path::{Path, PathBuf};

/// (what, where it may stand, why nowhere else). Paths are prefixes below the workspace.
const ONLY_HERE: &[(&str, &[&str], &str)] = &[
    (
        "wire::v1",
        &[
            "proto/src/convert",
            "proto/src/wire.rs",
            "agent/src/service",
            "agent/src/server",
            "controller/src/link",
            "agent/src/daemon",
            "controller/src/fake",
        ],
        "a field's new name must touch three places, not thirty",
    ),
    (
        "bollard",
        &["agent/src/engine/docker"],
        "Docker's types never reach a plan, an event or the wire",
    ),
    (
        "tokio::process",
        &[
            "agent/src/process",
            "controller/src/docker_auth",
            "controller/src/process",
        ],
        "one place a side can leak a child",
    ),
    (
        "russh",
        &["controller/src/ssh"],
        "one place judges hosts' keys, and one place to change when the library does",
    ),
    (
        "use clap",
        &[
            "controller/src/cli",
            "controller/src/main.rs",
            "agent/src/main.rs",
            "agent/src/cli.rs",
        ],
        "the logic stays callable from tests",
    ),
    (
        "println!",
        &["controller/src/terminal", "agent/src/main.rs", "tests/"],
        "one place decides what reaches the screen",
    ),
    (
        "indicatif",
        &["controller/src/render", "controller/src/terminal"],
        "cursor movement stays with the renderer",
    ),
    (
        "use controller",
        &["controller/", "tests/"],
        "the agent never knows the controller",
    ),
    (
        "use agent::",
        &["agent/", "tests/"],
        "the controller never knows the agent",
    ),
    (
        "SystemTime",
        &["agent/src/clock.rs", "controller/src/clock.rs"],
        "order and deadlines never come from the wall clock",
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in ["proto/src", "agent/src", "controller/src"] {
        sources(&root().join(folder), &mut paths);
    }
    let read = |path: PathBuf| {
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn each_word_stands_only_where_it_belongs() {
    let mut found = Vec::new();
    for (path, content) in all() {
        // Tests of a module may reach further than the module.
        let tests = path.ends_with("tests.rs") || path.contains("/tests/");
        let code = content.split("#[cfg(test)]").next().unwrap_or_default();
        for (word, places, why) in ONLY_HERE {
            let stands = code
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            if stands && !tests && !places.iter().any(|place| path.starts_with(place)) {
                found.push(format!("{path}: {word} ({why})"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn planning_does_no_input_or_output() {
    for (path, content) in all() {
        if path.starts_with("agent/src/planner") {
            for word in ["std::fs", "tokio::", "async fn", "std::net"] {
                assert!(!content.contains(word), "{path} knows {word}");
            }
        }
    }
}

#[test]
fn every_file_says_its_job_first() {
    for (path, content) in all() {
        assert!(
            content.starts_with("//! "),
            "{path} does not start with one line that says its job"
        );
    }
}
