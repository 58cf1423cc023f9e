//! Nothing is left of a lab: not when it is dropped, not when its process is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tests::lab::Lab;

const SOON: Duration = Duration::from_secs(20);

/// What the machine has of a lab, found by its bridge's name.
fn leavings(bridge: &str) -> String {
    let links = Command::new("ip").args(["-o", "link"]).output().unwrap();
    let links = String::from_utf8_lossy(&links.stdout)
        .lines()
        .filter(|line| line.contains(bridge))
        .count();
    let groups = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let groups = groups
        .filter(|group| group.path().join(format!("longshore-{bridge}")).exists())
        .count();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    // The watchdog itself names the folder too, until it is done.
    let processes = processes
        .filter(|line| String::from_utf8_lossy(line).contains(&format!("/runs/{bridge}-")))
        .count();
    format!("{links} links, {groups} cgroups, {processes} processes")
}

#[test]
fn dropped_lab_leaves_nothing() {
    let Some(lab) = Lab::start_or_skip() else {
        return;
    };
    let registry = lab.registry().unwrap();
    let host = lab.host("emilia").unwrap();
    let folder = lab.folder().to_owned();
    let bridge = std::fs::read_to_string(folder.join("bridge")).unwrap();
    assert_ne!(leavings(&bridge), "0 links, 0 cgroups, 0 processes");
    drop((host, registry, lab));
    assert!(!folder.exists());
    assert_eq!(leavings(&bridge), "0 links, 0 cgroups, 0 processes");
}

#[test]
fn killed_owner_leaves_nothing() {
    if Lab::start_or_skip().is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["up", "--dir"])
        .arg(dir.path())
        .args(["emilia", "loa"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(owner.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    assert_eq!(first, "ready\n");
    let settings = std::fs::read_to_string(dir.path().join("lab.env")).unwrap();
    let key = settings
        .lines()
        .find_map(|line| line.strip_prefix("LAB_SSH_KEY="))
        .unwrap();
    let folder = Path::new(key).parent().unwrap().to_owned();
    let bridge = std::fs::read_to_string(folder.join("bridge")).unwrap();
    assert!(folder.exists());

    owner.kill().unwrap();
    owner.wait().unwrap();
    tests::lab::until("the folder to go", SOON, || {
        (!folder.exists()).then_some(())
    })
    .unwrap();
    let clean = || (leavings(&bridge) == "0 links, 0 cgroups, 0 processes").then_some(());
    tests::lab::until("the rest to go", SOON, clean)
        .unwrap_or_else(|_| panic!("{}", leavings(&bridge)));
}
