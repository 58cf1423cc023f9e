//! Ends a process in a container by its number on the host, with everything that it has started.

use std::collections::HashSet;
use std::fs::{read_dir, read_to_string};
use std::io;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use super::GRACE;
use super::left::LOOK_AGAIN;

/// One process of the host.
struct Seen {
    pid: i32,
    parent: i32,
    session: i32,
}

/// Ends the process that leads the session `leader`, all others of that session and all their descendants: TERM, then
/// KILL 5 s later. Only processes inside the container are touched: the number may be somebody else's by now.
pub(crate) async fn end_session(leader: i32, container: &str) -> io::Result<()> {
    let mut known = HashSet::from([leader]);
    let mut refused = None;
    for signal in [Signal::TERM, Signal::KILL] {
        let end = Instant::now() + GRACE;
        let mut told = HashSet::new();
        loop {
            let alive = members(&mut known, container);
            if alive.is_empty() {
                return Ok(());
            }
            for pid in alive.into_iter().filter(|pid| told.insert(*pid)) {
                if let Some(pid) = Pid::from_raw(pid)
                    && let Err(error) = kill_process(pid, signal)
                    && error != rustix::io::Errno::SRCH
                {
                    refused = Some(error);
                }
            }
            if Instant::now() >= end {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
    }
    Err(refused.map_or_else(|| io::Error::other("it does not end"), io::Error::from))
}

/// The living of those that are known by now, and of what they have started.
fn members(known: &mut HashSet<i32>, container: &str) -> Vec<i32> {
    let processes = read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Seen> = processes
        .filter_map(|process| seen(&read_to_string(process.path().join("stat")).ok()?))
        .collect();
    loop {
        let mut more = all.iter().filter(|one| {
            let ours = known.contains(&one.session) || known.contains(&one.parent);
            ours && !known.contains(&one.pid) && is_inside(one.pid, container)
        });
        match more.next() {
            Some(one) => known.insert(one.pid),
            None => break,
        };
    }
    let alive = all.iter().map(|one| one.pid);
    alive
        .filter(|pid| known.contains(pid) && is_inside(*pid, container))
        .collect()
}

/// Every engine names a container's control group after its id.
fn is_inside(pid: i32, container: &str) -> bool {
    let groups = read_to_string(format!("/proc/{pid}/cgroup"));
    container.len() >= 32 && groups.is_ok_and(|groups| groups.contains(container))
}

/// From a line of `/proc/PID/stat` (proc(5)); `None` for one that is dead and only waits to be noticed.
fn seen(stat: &str) -> Option<Seen> {
    let (pid, _) = stat.split_once(' ')?;
    // The name may itself hold parentheses and spaces.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if ["Z", "X"].contains(&fields.next()?) {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Seen {
        pid: pid.parse().ok()?,
        parent,
        session,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_behind_the_name() {
        let one = seen("12 (a) S 1 2 (x) S 7 4321 99 0 -1").unwrap();
        assert_eq!((one.pid, one.parent, one.session), (12, 7, 99));
        assert!(seen("12 (a) Z 7 4321 99 0").is_none());
        assert!(seen("12").is_none());
    }

    #[tokio::test]
    async fn a_process_outside_the_container_is_left_alone() {
        let mut other = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let pid = i32::try_from(other.id()).unwrap();
        end_session(pid, &"0".repeat(64)).await.unwrap();
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
