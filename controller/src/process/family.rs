//! A child and everything that descends from it, for where they cannot have a process group of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::Child;

/// A child and its descendants as far as they are known; each held by a descriptor, so that no number that is
/// used again can stand for another process.
#[derive(Default)]
pub(super) struct Family(BTreeMap<i32, OwnedFd>);

impl Family {
    /// Signals everybody who descends from `child` now, or did when this was called before.
    pub(super) fn signal(&mut self, child: &Child, signal: Signal) {
        // A child that was waited for has no number any more, and its children have another parent.
        let root = child.id().and_then(|id| i32::try_from(id).ok());
        for id in root
            .map(|root| descendants(root, &parents()))
            .unwrap_or_default()
        {
            let pid = Pid::from_raw(id);
            if let Some(Ok(held)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                self.0.entry(id).or_insert(held);
            }
        }
        for held in self.0.values() {
            // It may have ended by itself.
            pidfd_send_signal(held, signal).ok();
        }
    }
}

/// `root` and all below it; `parents` are pairs of a process and its parent.
fn descendants(root: i32, parents: &[(i32, i32)]) -> BTreeSet<i32> {
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        let below = parents.iter().filter(|(_, parent)| found.contains(parent));
        let below: Vec<i32> = below.map(|(id, _)| *id).collect();
        found.extend(below);
        if found.len() == before {
            return found;
        }
    }
}

/// Every process with its parent.
fn parents() -> Vec<(i32, i32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((id, parent(&stat)?))
        })
        .collect()
}

/// The parent in a line of `/proc/ID/stat`; the program's name in it may hold anything.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_cannot_hide_its_parent_behind_its_name() {
        assert_eq!(parent("7 (a) S 9 (b) S 5 7 7 0"), Some(5));
        assert_eq!(parent("7 (sh) R 1 7 7"), Some(1));
        assert_eq!(parent("7 (sh"), None);
    }

    #[test]
    fn descendants_are_found_in_any_order() {
        let parents = [(9, 8), (8, 5), (5, 1), (6, 1), (7, 5), (1, 0)];
        assert_eq!(descendants(5, &parents), [5, 7, 8, 9].into());
    }

    #[test]
    fn this_process_has_a_parent() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(parents().iter().any(|(id, _)| *id == me));
    }
}
