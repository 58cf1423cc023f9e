//! Ends what an earlier agent's children are still doing: they are known by the folder that they run in.

use std::collections::HashSet;
use std::fs::{metadata, read_dir, read_to_string};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep};

use super::GRACE;

pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Ends the group of every process whose working directory is `folder`: TERM, then KILL 5 s later. Nothing else may
/// run there, and no child may have been started by this agent yet.
pub(crate) async fn end_all_in(folder: &Path) {
    for signal in [Signal::TERM, Signal::KILL] {
        for group in groups_in(folder) {
            tracing::warn!(
                group = group.as_raw_pid(),
                ?signal,
                "ending what an earlier agent had started"
            );
            // The only failure of interest, nobody being left, is what we are after.
            kill_process_group(group, signal).ok();
        }
        let end = Instant::now() + GRACE;
        while !groups_in(folder).is_empty() {
            if Instant::now() >= end {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}

fn groups_in(folder: &Path) -> HashSet<Pid> {
    let Ok(wanted) = metadata(folder) else {
        return HashSet::new();
    };
    let processes = read_dir("/proc").into_iter().flatten().flatten();
    let here = processes.filter(|process| {
        // A path may read the same in another mount namespace; device and inode do not.
        let there = metadata(process.path().join("cwd"));
        there.is_ok_and(|there| there.dev() == wanted.dev() && there.ino() == wanted.ino())
    });
    here.filter_map(|process| group(&read_to_string(process.path().join("stat")).ok()?))
        .collect()
}

/// The process group in a line of `/proc/PID/stat` (proc(5)): the third field behind the name, which may itself hold
/// parentheses and spaces.
fn group(stat: &str) -> Option<Pid> {
    let (_, rest) = stat.rsplit_once(") ")?;
    Pid::from_raw(rest.split(' ').nth(2)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_cannot_pose_as_a_group() {
        let pid = group("12 (a) S 1 99 (x) S 7 4321 4321 0").map(Pid::as_raw_pid);
        assert_eq!(pid, Some(4321));
        assert_eq!(group("12 (a"), None);
    }

    fn sleeper(folder: &Path, script: &str) -> std::process::Child {
        Command::new("sh")
            .args(["-c", script])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap()
    }

    #[tokio::test]
    async fn whole_groups_of_the_folder_end_and_no_others() {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut left = sleeper(ours.path(), "(cd / && exec sleep 100) & sleep 100");
        let mut other = sleeper(theirs.path(), "exec sleep 100");
        let output = left.stdout.take().unwrap();
        end_all_in(ours.path()).await;
        left.wait().unwrap();
        // The grandchild in another folder held the pipe: its end is the end of the whole group.
        assert_eq!(std::io::read_to_string(output).unwrap(), "");
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
