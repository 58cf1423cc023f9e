//! What the configs and secrets of a service hold: Compose recreates nothing when only that has changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::id::BlobId;
use proto::stack::{ShippedFile, StackSpec};
use serde_json::Value;

use crate::hostkey::HostKey;

/// Where the contents of configs and secrets come from, beside the configuration itself.
pub struct Values<'a> {
    /// Values and files of the stack.
    pub spec: &'a StackSpec,
    /// Files of the host, outside of the project directory, with what they hold; `None` for one that is not there.
    pub host: &'a BTreeMap<PathBuf, Option<BlobId>>,
}

/// A keyed digest for each config and secret of a service. Files of the project directory are mounts, and not listed.
pub(super) fn of(
    service: &Value,
    config: &Value,
    values: &Values<'_>,
    key: &HostKey,
) -> BTreeMap<String, String> {
    let kinds = [("configs", "config"), ("secrets", "secret")];
    let used = kinds.into_iter().flat_map(|(section, kind)| {
        let used = service.get(section).and_then(Value::as_array);
        used.into_iter().flatten().filter_map(move |item| {
            let name = item.get("source").and_then(Value::as_str)?;
            let definition = config.get(section)?.get(name)?;
            let content = content(definition, values)?;
            Some((format!("{kind} {name}"), key.mark("content", &content)))
        })
    });
    used.collect()
}

fn content(definition: &Value, values: &Values<'_>) -> Option<Value> {
    let text = |name: &str| definition.get(name).and_then(Value::as_str);
    if let Some(content) = text("content") {
        return Some(Value::from(content));
    }
    if let Some(name) = text("environment") {
        let mut all = values.spec.values.iter();
        return Some(match all.find(|value| value.name.as_str() == name) {
            Some(value) => Value::from(value.text.as_str()),
            // It stands in an env file, which only Compose reads: whatever changes there may be it.
            None => Value::from(env_files(values.spec)),
        });
    }
    let blob = values.host.get(Path::new(text("file")?))?;
    Some(Value::from(blob.map(|blob| blob.to_string())))
}

fn env_files(spec: &StackSpec) -> String {
    let is_one = |file: &&ShippedFile| spec.env_files.contains(&file.path);
    let blobs = spec.files.iter().filter(is_one);
    blobs.map(|file| file.blob.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spec;
    use serde_json::json;

    fn told(config: &Value, host: &BTreeMap<PathBuf, Option<BlobId>>) -> BTreeMap<String, String> {
        let service = json!({
            "configs": [{"source": "page"}, {"source": "shipped"}, {"source": "gone"}],
            "secrets": [{"source": "token"}, {"source": "cert"}],
        });
        let spec = spec();
        let values = Values { spec: &spec, host };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        // The same key each time, or nothing could be compared.
        std::fs::write(&file, [7; 64]).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).unwrap();
        of(
            &service,
            config,
            &values,
            &HostKey::load_or_create(&file).unwrap(),
        )
    }

    #[test]
    fn contents_count_wherever_they_come_from() {
        let config = |page: &str| {
            json!({
                "configs": {"page": {"content": page}, "shipped": {"file": "/p/conf/a"}},
                "secrets": {"token": {"environment": "TOKEN"}, "cert": {"file": "/etc/cert"}},
            })
        };
        let host = |content: u8| {
            let blob = Some(BlobId::from_bytes([content; 32]));
            BTreeMap::from([(PathBuf::from("/etc/cert"), blob)])
        };
        let first = told(&config("one"), &host(1));
        let names: Vec<&str> = first.keys().map(String::as_str).collect();
        assert_eq!(names, ["config page", "secret cert", "secret token"]);
        let second = told(&config("two"), &host(1));
        assert_ne!(first["config page"], second["config page"]);
        assert_eq!(first["secret cert"], second["secret cert"]);
        let third = told(&config("one"), &host(2));
        assert_ne!(first["secret cert"], third["secret cert"]);
        let gone = told(&config("one"), &[(PathBuf::from("/etc/cert"), None)].into());
        assert_ne!(first["secret cert"], gone["secret cert"]);
    }
}
