//! What a project's Compose files name, read from `config` with and without values.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use proto::id::{ProjectName, ServiceName};
use serde_json::Value;

/// Writes paths within `private` as somebody in `folder` would, who knows nothing of what is above.
pub(in crate::engine) fn make_relative(config: &mut Value, private: &Path, folder: &Path) {
    match config {
        Value::String(text) => {
            let path = Path::new(text.as_str());
            if path.starts_with(private) {
                *text = relative(path, folder);
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| make_relative(item, private, folder)),
        Value::Object(map) => map
            .values_mut()
            .for_each(|item| make_relative(item, private, folder)),
        _ => {}
    }
}

fn relative(path: &Path, folder: &Path) -> String {
    let shared = path.components().zip(folder.components());
    let shared = shared.take_while(|(one, other)| one == other).count();
    let up = folder
        .components()
        .skip(shared)
        .map(|_| Component::ParentDir);
    let down = path.components().skip(shared);
    let relative: PathBuf = up.chain(down).collect();
    match relative.to_string_lossy() {
        text if text.is_empty() => ".".to_owned(),
        text => text.into_owned(),
    }
}

/// Every relative path, as written, sorted, each once.
///
/// A path with a variable in it is left out: without interpolation Compose splits `${DIR:-/srv}:/data` at the
/// wrong colon, and what is left looks like a name.
pub(in crate::engine) fn named(config: &Value) -> Vec<String> {
    let mut found = BTreeSet::new();
    for service in members(config, "services") {
        for key in ["env_file", "label_file"] {
            each(&service[key], |entry| take(entry_path(entry), &mut found));
        }
        each(&service["volumes"], |mount| {
            // Named volumes have another type, so a bind needs no leading dot to be a path: `extends` and the
            // long form come without one.
            if mount["type"] == "bind" {
                take(mount["source"].as_str(), &mut found);
            }
        });
        take(service["extends"]["file"].as_str(), &mut found);
        take(service["credential_spec"]["file"].as_str(), &mut found);
    }
    for section in ["configs", "secrets"] {
        for item in members(config, section) {
            take(item["file"].as_str(), &mut found);
        }
    }
    found.into_iter().collect()
}

/// The absolute paths of env files, configs and secrets. What others mount is theirs to look after.
pub(in crate::engine) fn host_files(config: &Value) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut take = |path: Option<&str>| {
        let path = path.filter(|path| path.starts_with('/') && !path.contains('$'));
        found.extend(path.map(PathBuf::from));
    };
    for service in members(config, "services") {
        for key in ["env_file", "label_file"] {
            each(&service[key], |entry| take(entry_path(entry)));
        }
    }
    for section in ["configs", "secrets"] {
        for item in members(config, section) {
            take(item["file"].as_str());
        }
    }
    found
}

/// Whether the env files are all shown: none is named by a variable.
pub(in crate::engine) fn shows_env_files(config: &Value) -> bool {
    let mut all = true;
    for service in members(config, "services") {
        each(&service["env_file"], |entry| {
            all &= entry_path(entry).is_none_or(|path| !path.contains('$'));
        });
    }
    all
}

/// The project's name, where it is one.
pub(in crate::engine) fn project(config: &Value) -> Option<ProjectName> {
    config["name"].as_str()?.parse().ok()
}

/// The services, by the names that could have come from Compose.
pub(in crate::engine) fn services(config: &Value) -> BTreeSet<ServiceName> {
    let services = config["services"].as_object().into_iter().flatten();
    services.filter_map(|(name, _)| name.parse().ok()).collect()
}

fn members<'a>(config: &'a Value, section: &str) -> impl Iterator<Item = &'a Value> {
    config[section]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, member)| member)
}

/// Lists come as lists, and as one entry alone.
fn each<'a>(value: &'a Value, mut with: impl FnMut(&'a Value)) {
    match value {
        Value::Array(entries) => entries.iter().for_each(with),
        Value::Null => {}
        entry => with(entry),
    }
}

fn entry_path(entry: &Value) -> Option<&str> {
    entry.as_str().or_else(|| entry["path"].as_str())
}

fn take(path: Option<&str>, found: &mut BTreeSet<String>) {
    if let Some(path) = path.filter(|path| is_relative(path)) {
        found.insert(path.to_owned());
    }
}

fn is_relative(path: &str) -> bool {
    !path.is_empty() && !path.starts_with(['/', '~']) && !path.contains('$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_compose_2_26_prints_is_read() {
        let config = json!({
            "configs": { "c1": { "file": "./c1.txt" }, "inline": { "content": "x" } },
            "secrets": { "s1": { "file": "s1.txt" }, "abs": { "file": "/etc/s" } },
            "volumes": { "named": {} },
            "services": {
                "off": { "env_file": [{ "path": "off.env", "required": true }], "profiles": ["dev"] },
                "web": {
                    "env_file": [
                        { "path": "missing.env", "required": true },
                        { "path": "./opt.env", "required": false },
                        { "path": "${X}.env", "required": true }
                    ],
                    "label_file": ["sub/labels"],
                    "volumes": [
                        { "type": "bind", "source": "bdata", "target": "/bd" },
                        { "type": "bind", "source": "./data", "target": "/data" },
                        { "type": "volume", "source": "${A", "target": "-/b}" },
                        { "type": "volume", "source": "named", "target": "/n" },
                        { "type": "bind", "source": "../up", "target": "/up" },
                        { "type": "bind", "source": "~/h", "target": "/h" },
                        { "type": "bind", "source": "/abs", "target": "/a" },
                        { "type": "tmpfs", "target": "/tmp" }
                    ]
                }
            }
        });
        let want = [
            "../up",
            "./c1.txt",
            "./data",
            "./opt.env",
            "bdata",
            "missing.env",
            "off.env",
            "s1.txt",
            "sub/labels",
        ];
        assert_eq!(named(&config), want);
        let host: Vec<_> = host_files(&config).into_iter().collect();
        assert_eq!(host, [PathBuf::from("/etc/s")]);
    }

    #[test]
    fn resolved_paths_are_read_as_they_were_written() {
        let mut config = json!({ "a": ["/p/x/docker/conf", "/p/x/docker", "/etc/a"], "b": { "c": "/p/x/shared" }, "d": "/p/y" });
        make_relative(&mut config, Path::new("/p"), Path::new("/p/x/docker"));
        let want =
            json!({ "a": ["conf", ".", "/etc/a"], "b": { "c": "../shared" }, "d": "../../y" });
        assert_eq!(config, want);
    }

    #[test]
    fn older_and_other_shapes_are_read() {
        let config = json!({ "services": {
            "a": { "env_file": "one.env", "extends": { "file": "base.yml", "service": "b" } },
            "b": { "env_file": ["two.env"], "extends": "c", "credential_spec": { "file": "spec" } },
        }});
        assert_eq!(named(&config), ["base.yml", "one.env", "spec", "two.env"]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(vec![
            "services", "volumes", "env_file", "path", "type", "bind", "source", "configs", "file",
            "extends", "./x", "$", "",
        ]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            word.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((word.clone(), inner), 0..6).prop_map(|members| {
                    members
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_json_breaks_it(config in any_json()) {
            for path in named(&config) {
                prop_assert!(is_relative(&path));
            }
        }
    }
}
