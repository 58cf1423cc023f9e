//! Which part of the project directory a service sees inside its containers.

use std::collections::BTreeSet;
use std::path::Path;

use proto::fault::{Fault, FaultKind};
use proto::path::{InvalidPath, RelPath};
use serde_json::Value;

/// Relative paths of the project directory that the service sees inside its containers, and whether it sees all of it.
pub(super) fn of(
    name: &str,
    service: &Value,
    config: &Value,
    directory: &Path,
) -> Result<(BTreeSet<RelPath>, bool), Fault> {
    let items = |key: &str| {
        service
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let binds = items("volumes")
        .filter(|volume| volume.get("type").and_then(Value::as_str) == Some("bind"))
        .filter_map(|volume| volume.get("source").and_then(Value::as_str));
    let named = ["configs", "secrets"].into_iter().flat_map(|kind| {
        items(kind)
            .filter_map(|item| item.get("source").and_then(Value::as_str))
            .filter_map(move |source| config.get(kind)?.get(source)?.get("file")?.as_str())
    });
    // A named volume may be a folder of the project as well.
    let devices = items("volumes")
        .filter(|volume| volume.get("type").and_then(Value::as_str) == Some("volume"))
        .filter_map(|volume| {
            let name = volume.get("source").and_then(Value::as_str)?;
            let definition = config.get("volumes")?.get(name)?;
            definition.pointer("/driver_opts/device")?.as_str()
        });
    let (mut mounts, mut all) = (BTreeSet::new(), false);
    for path in binds.chain(named).chain(devices) {
        let Ok(below) = Path::new(path).strip_prefix(directory) else {
            continue;
        };
        let below = below.to_str().unwrap_or(path);
        if below.is_empty() {
            all = true;
            continue;
        }
        let parsed = below.parse().map_err(|error: InvalidPath| {
            let what = format!("service {name} mounts a path that cannot be shipped");
            Fault::new(FaultKind::InvalidStack, what).cause(error.to_string())
        })?;
        mounts.insert(parsed);
    }
    Ok((mounts, all))
}
