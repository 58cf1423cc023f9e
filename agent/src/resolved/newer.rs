//! What a stack asks for that the host's Compose is too old for, and leaves out without a word.

use proto::compose::numbers;
use serde_json::Value;

/// Keys of a service, and the Compose that brought them. An older one takes each for an extension of somebody else's.
const KEYS: &[(&str, (u32, u32))] = &[
    ("gpus", (2, 30)),
    ("label_file", (2, 32)),
    ("models", (2, 38)),
    ("post_start", (2, 30)),
    ("pre_stop", (2, 30)),
    ("provider", (2, 36)),
];

/// A warning for each key that `compose` does not know, with the services that have it.
#[must_use]
pub fn left_out(config: &Value, compose: &str) -> Vec<String> {
    let Some(version) = numbers(compose) else {
        return Vec::new();
    };
    let newer = KEYS.iter().filter(|(_, since)| version < *since);
    let told = newer.filter_map(|(key, (major, minor))| {
        let services = config.get("services").and_then(Value::as_object);
        let with = services.into_iter().flatten().filter(|(_, service)| service.get(key).is_some());
        let names: Vec<&str> = with.map(|(name, _)| name.as_str()).collect();
        let of = match names.as_slice() {
            [] => return None,
            [one] => format!("service {one}"),
            many => format!("services {}", many.join(", ")),
        };
        Some(format!(
            "{key} of {of} is left out: Docker Compose has it from {major}.{minor} on, and the host has {compose}"
        ))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_older_compose_leaves_out_is_told_once() {
        let config = json!({ "services": {
            "app": { "image": "a", "post_start": [{ "command": ["x"] }] },
            "db": { "image": "b", "post_start": [], "gpus": "all" },
        }});
        assert_eq!(
            left_out(&config, "2.26.1-4"),
            [
                "gpus of service db is left out: Docker Compose has it from 2.30 on, and the host has 2.26.1-4",
                "post_start of services app, db is left out: Docker Compose has it from 2.30 on, and the host has 2.26.1-4",
            ]
        );
        assert!(left_out(&config, "2.40.3").is_empty());
    }
}
