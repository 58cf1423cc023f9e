//! Entering a host's namespaces, and what the kernel tells about processes.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use super::command::Cmd;

/// Where programs are looked for in a host.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The command `cmd`, to be run in the host whose process 1 this machine knows as `pid`; nothing of the
/// caller's environment goes with it.
#[must_use]
pub fn enter(pid: u32, cmd: &Cmd) -> Command {
    let target = pid.to_string();
    let nsenter = [
        "nsenter", "-t", &target, "-m", "-p", "-u", "-n", "-i", "-r", "-w", "--",
    ];
    // `env -i` and not an empty environment: nsenter itself is found by this machine's PATH.
    let clean = [
        "/usr/bin/env",
        "-i",
        "HOME=/root",
        "LANG=C.UTF-8",
        &format!("PATH={PATH}"),
    ];
    let mut prefix: Vec<OsString> = nsenter.iter().chain(&clean).map(OsString::from).collect();
    prefix.extend(cmd.assignments());
    cmd.prepare(&prefix)
}

/// When a process started, in ticks since boot: with its id, who it is.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

/// The one child of a process.
pub(crate) fn child_of(parent: u32) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| stat(*pid).is_some_and(|fields| fields.get(1) == Some(&parent.to_string())))
}

/// The fields after the name, which may itself hold spaces and brackets: state, parent, …
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}
