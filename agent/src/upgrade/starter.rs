//! What starts an agent, its launcher and systemd's unit, beside what this build comes with.
//!
//! An agent that was replaced over the wire may write neither, and is still started by what its host was given.

use std::fs;
use std::path::Path;

const LAUNCH: &str = include_str!("../../../deploy/launch");
const UNIT: &str = include_str!("../../../deploy/longshore-agent.service");

/// Where the unit is on a host that has systemd.
pub(super) const UNIT_FILE: &str = "/etc/systemd/system/longshore-agent.service";

/// Says which of the two is not this build's; a host without systemd has no unit.
pub(super) fn differs(launcher: &Path, unit: &Path) -> Option<String> {
    let one = |path: &Path, ours: &str| {
        let same = same(path, ours)?;
        (!same).then(|| path.display().to_string())
    };
    let names: Vec<String> = [one(launcher, LAUNCH), one(unit, UNIT)]
        .into_iter()
        .flatten()
        .collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

/// `None` for what is not there or cannot be read.
fn same(path: &Path, ours: &str) -> Option<bool> {
    let length = fs::metadata(path).ok()?.len();
    // What is longer is not read.
    Some(length == ours.len() as u64 && fs::read(path).ok()? == ours.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_this_builds_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let [launcher, unit] = ["launch", "unit"].map(|name| folder.path().join(name));
        assert_eq!(differs(&launcher, &unit), None);
        fs::write(&launcher, LAUNCH).unwrap();
        assert_eq!(differs(&launcher, &unit), None, "no systemd");
        fs::write(&unit, UNIT.replace("mixed", "process")).unwrap();
        assert_eq!(differs(&launcher, &unit), Some(unit.display().to_string()));
        fs::write(&unit, UNIT).unwrap();
        assert_eq!(differs(&launcher, &unit), None);
    }
}
