//! `deploy/install.sh`: the old agent stays until the new one is whole, wherever it is interrupted.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use crate::root::{Root, at_each_step, deploy, said, sum};

#[test]
fn install_lays_out_the_agent_and_a_second_run_changes_nothing() {
    let root = Root::new();
    let first = root.agent("0.1.0", "");
    let told = root.install(&first);
    let name = format!("agent-0.1.0-{:.8}", sum(&first));
    assert!(told.contains("launch --keep run"), "{told}");
    assert_eq!(root.link("current").unwrap(), name);
    let shown = root.path("root/usr/local/bin/agent");
    assert_eq!(
        fs::canonicalize(shown).unwrap(),
        fs::canonicalize(root.lib(&name)).unwrap()
    );
    for (path, mode) in [
        ("root/usr/local/lib/longshore/launch", 0o755),
        ("root/etc/systemd/system/longshore-agent.service", 0o644),
        ("root/etc/longshore", 0o700),
        ("root/var/lib/longshore", 0o700),
    ] {
        let meta = fs::metadata(root.path(path)).unwrap();
        assert_eq!(meta.mode() & 0o7777, mode, "{path}");
    }
    let state = || {
        let files = ["current", "launch", "../../bin/agent"].map(|name| root.lib(name));
        files.map(|file| fs::symlink_metadata(file).unwrap().ino())
    };
    let before = state();
    root.install(&first);
    assert_eq!(state(), before);
    assert_eq!(root.link("previous"), None);

    // The one before stays, and no older one.
    let second = root.agent("0.2.0", "");
    root.install(&second);
    assert_eq!(root.link("previous").unwrap(), name);
    root.install(&root.agent("0.3.0", ""));
    assert_eq!(root.version("previous").unwrap(), "0.2.0");
    assert_eq!(root.version("current").unwrap(), "0.3.0");
    assert!(!root.lib(&name).exists());
    assert_eq!(root.passing(), BTreeSet::new());
}

#[test]
fn what_is_not_the_meant_agent_is_never_run_and_the_old_one_stays() {
    let root = Root::new();
    root.install(&root.agent("0.1.0", ""));
    let agent = root.agent("0.2.0", "");
    let meant = sum(&agent);
    // It tells by a file that somebody has run it.
    let whole = fs::read_to_string(&agent).unwrap();
    let run = root.path("run");
    let tells = whole.replace("#!/bin/sh", &format!("#!/bin/sh\ntouch {}", run.display()));
    fs::write(&agent, tells).unwrap();
    let told = root.refused(&agent, Some(&meant));
    assert!(told.contains("is not the file that was meant"), "{told}");
    assert!(told.contains(&sum(&agent)), "{told}");
    assert!(!run.exists());
    // An upload that broke off.
    fs::write(&agent, whole.trim_end_matches('\n')).unwrap();
    root.refused(&agent, Some(&meant));
    assert_eq!(root.version("current").unwrap(), "0.1.0");
    fs::write(&agent, whole).unwrap();
    let mut command = root.script(&deploy().join("install.sh"), "");
    assert!(command.arg(&agent).arg(&meant).status().unwrap().success());
    assert_eq!(root.version("current").unwrap(), "0.2.0");
}

#[test]
fn an_agent_that_cannot_run_here_is_told_why_and_the_old_one_stays() {
    let root = Root::new();
    root.install(&root.agent("0.1.0", ""));
    let agent = root.path("agent");
    let other: [u8; 2] = match std::env::consts::ARCH {
        "x86_64" => [0xb7, 0],
        _ => [0x3e, 0],
    };
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    elf.extend(other);
    fs::write(&agent, elf).unwrap();
    let told = root.refused(&agent, None);
    assert!(told.contains("is built for"), "{told}");
    assert!(told.contains("the agent that is here stays"), "{told}");
    for (text, word) in [
        ("#!/bin/sh\nexit 3\n", "exit code 3"),
        ("#!/bin/sh\nkill -ILL $$\n", "newer processor"),
        ("#!/nowhere/ld-musl.so\n", "loader"),
        ("#!/bin/sh\necho agent '; rm -rf x'\n", "tells no version"),
        ("#!/bin/sh\necho hello\n", "does not run on this machine"),
    ] {
        fs::write(&agent, text).unwrap();
        let told = root.refused(&agent, None);
        assert!(told.contains(word), "{text}: {told}");
    }
    assert_eq!(root.version("current").unwrap(), "0.1.0");
}

#[test]
fn a_full_disk_or_one_that_runs_nothing_is_told_and_the_old_agent_stays() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it mounts, which needs root");
        return;
    }
    let root = Root::new();
    let (old, new) = (root.agent("0.1.0", ""), root.agent("0.2.0", ""));
    let padding = "# and some more\n".repeat(40_000);
    fs::write(&new, fs::read_to_string(&new).unwrap() + &padding).unwrap();
    // In a mount namespace of its own: nothing is left to unmount.
    let line = format!(
        "mount -t tmpfs -o size=300k tmpfs {root} && {install} {old} >/dev/null || exit 2
         {install} {new} && exit 3
         {lib}/current version; ls -A {lib}
         mount -o remount,size=8m,noexec {root}; {install} {new} && exit 4
         ls -A {lib}; readlink {lib}/current",
        root = root.path("root").display(),
        lib = root.lib("").display(),
        install = deploy().join("install.sh").display(),
        old = old.display(),
        new = new.display(),
    );
    fs::create_dir(root.path("root")).unwrap();
    let mut command = root.script(Path::new("/usr/bin/unshare"), "");
    let output = command.args(["-m", "sh", "-c", &line]).output().unwrap();
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("No space left on device"), "{told}");
    assert!(told.contains("what runs has not changed"), "{told}");
    assert!(told.contains("agent 0.1.0\n"), "{told}");
    assert!(told.contains("mounted noexec?"), "{told}");
    assert!(!told.contains("\n.new."), "{told}");
    assert!(!told.contains("\nagent-0.2.0"), "{told}");
}

#[test]
fn an_installation_killed_at_any_step_leaves_a_whole_agent_and_is_completed_by_the_next() {
    let root = Root::new();
    let (old, new) = (root.agent("0.1.0", ""), root.agent("0.2.0", ""));
    root.install(&old);
    fs::rename(root.path("root"), root.path("installed")).unwrap();
    let steps = at_each_step(|kill| {
        fs::remove_dir_all(root.path("root")).ok();
        let mut copy = Command::new("cp");
        copy.arg("-a")
            .args(["installed", "root"].map(|name| root.path(name)));
        assert!(copy.status().unwrap().success());
        let killed = root.install_killed(&new, kill);
        let version = root.version("current");
        assert!(
            matches!(version.as_deref(), Some("0.1.0" | "0.2.0")),
            "{kill}: {version:?}\n{}",
            said(&killed)
        );
        root.install(&new);
        assert_eq!(root.version("current").unwrap(), "0.2.0", "{kill}");
        assert_eq!(root.version("previous").unwrap(), "0.1.0", "{kill}");
        assert_eq!(root.passing(), BTreeSet::new(), "{kill}");
        killed.status.signal().is_none()
    });
    assert!(steps > 8, "{steps} steps");

    // The same on a server that has nothing yet.
    at_each_step(|kill| {
        fs::remove_dir_all(root.path("root")).ok();
        let killed = root.install_killed(&new, kill);
        root.install(&new);
        assert_eq!(root.version("current").unwrap(), "0.2.0", "{kill}");
        assert_eq!(root.passing(), BTreeSet::new(), "{kill}");
        killed.status.signal().is_none()
    });
}
