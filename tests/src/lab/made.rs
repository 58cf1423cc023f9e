//! What is made once per machine out of the base: a folder, filled by a script in a mount namespace of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::base::System;
use super::command::Cmd;
use super::error::{During, Result};
use super::run::{cache, lock};

/// Before each script: the base as a tree that may be changed, and a way into it.
const TREE: &str = include_str!("tree.sh");

/// The folder `name`; `script` makes it if it is missing, and whoever comes meanwhile waits.
pub(super) fn made(name: &str, script: &str, deadline: Duration) -> Result<PathBuf> {
    let folder = cache().join(name);
    if folder.exists() {
        return Ok(folder);
    }
    System::Debian13.ensure()?;
    let _turn = lock(&cache().join(format!("{name}.lock")))?;
    if folder.exists() {
        return Ok(folder);
    }
    let part = cache().join(format!("{name}.part"));
    // What an interrupted attempt left.
    let _none = fs::remove_dir_all(&part);
    fs::create_dir(&part).during(|| format!("making {}", part.display()))?;
    let text = format!("{TREE}\n{script}");
    // Whatever happens, it leaves no mount behind.
    let words = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "bash",
        "-c",
        &text,
        "make",
    ];
    let words = words.into_iter().map(PathBuf::from);
    let cmd = Cmd::new(words.chain([System::Debian13.folder(), part.clone()])).deadline(deadline);
    cmd.run(cmd.prepare(&[]))?.ok()?;
    fs::rename(&part, &folder).during(|| format!("keeping {}", folder.display()))?;
    Ok(folder)
}
