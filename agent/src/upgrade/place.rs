//! The folder that agents are started from. Each step is one rename, and after each of them one agent starts.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proto::limits::AGENT_TRIES;

use crate::files::sync_dir;
use crate::witness;

/// A link while it is made.
const PASSING: &str = ".new.next";
/// What has come of a new agent.
const PARTIAL: &str = ".new.upload-";

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
}

impl Place {
    pub(super) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where an agent is put together. What is left of others goes.
    pub(super) fn partial(&self, digest: &str) -> io::Result<PathBuf> {
        let mine = format!("{PARTIAL}{digest}");
        for name in self.names()? {
            if name.starts_with(PARTIAL) && name != mine {
                fs::remove_file(self.path(&name))?;
            }
        }
        Ok(self.path(&mine))
    }

    /// The agent whose tries are used up.
    pub(super) fn failed(&self) -> Option<String> {
        let agent = fs::read_link(self.path("failed")).ok()?;
        Some(agent.to_string_lossy().into_owned())
    }

    /// Gives an agent of this folder its tries.
    pub(super) fn put_next(&self, name: &str) -> io::Result<()> {
        for other in self.names()? {
            if other.starts_with("next-") || other == "failed" {
                self.remove(&other)?;
            }
        }
        self.lead(&format!("next-{AGENT_TRIES}"), name)?;
        sync_dir(&self.folder)
    }

    /// Makes the agent that `next` leads to the one that is started from now on. One that nobody waits for any more,
    /// because another was installed, stays what it is.
    pub(super) fn keep(&self, next: &Path) -> io::Result<()> {
        let target = match fs::read_link(next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if let Some(before) = self
            .target("current")
            .filter(|it| target.as_os_str() != it.as_str())
        {
            self.lead("previous", &before)?;
        }
        fs::rename(next, self.path("current"))?;
        witness::changed(&self.path("current"));
        sync_dir(&self.folder)?;
        self.remove_older()
    }

    /// Agents that are neither in use nor the one before.
    fn remove_older(&self) -> io::Result<()> {
        let kept = ["current", "previous"].map(|name| self.target(name));
        for name in self.names()? {
            if name.starts_with("agent-") && !kept.iter().flatten().any(|kept| *kept == name) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    fn lead(&self, name: &str, target: &str) -> io::Result<()> {
        let passing = self.path(PASSING);
        self.remove(PASSING)?;
        symlink(target, &passing)?;
        witness::changed(&passing);
        fs::rename(&passing, self.path(name))?;
        witness::changed(&self.path(name));
        Ok(())
    }

    fn target(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.path(name)).ok()?;
        target.into_os_string().into_string().ok()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => {
                witness::changed(&self.path(name));
                Ok(())
            }
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.folder)?.map(|entry| {
            let name = entry?.file_name();
            Ok(name.into_string().unwrap_or_default())
        });
        names.collect()
    }
}
