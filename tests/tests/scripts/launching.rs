//! `deploy/launch`: a new agent has its tries, and one of the two is always started.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::root::{Root, at_each_step, write_program};

#[test]
fn a_new_agent_that_ends_is_given_up_after_its_tries() {
    let root = Root::new();
    root.install(&root.agent("0.1.0", ""));
    root.put_next(&root.agent("0.2.0", "exit 1"), 3);
    for _ in 0..3 {
        assert_eq!(root.launch("").status.code(), Some(1));
    }
    assert_eq!(root.ran(), ["0.2.0", "0.2.0", "0.2.0"]);
    let told = root.launch("").said;
    assert!(told.contains("agent-0.2.0 has no tries left"), "{told}");
    root.launch("");
    assert_eq!(root.ran(), ["0.1.0", "0.1.0"]);
    assert_eq!(root.link("failed").unwrap(), "agent-0.2.0");
}

#[test]
fn a_new_agent_that_nobody_works_with_is_ended_in_its_time() {
    let root = Root::new();
    root.install(&root.agent("0.1.0", ""));
    root.put_next(&root.agent("0.2.0", "exec sleep 60"), 1);
    let began = Instant::now();
    let launched = root.launch_within(1, "");
    assert_eq!(launched.status.signal(), Some(9), "{}", launched.said);
    assert!(began.elapsed() < Duration::from_secs(20));
    let told = launched.said;
    assert!(
        told.contains("nobody has worked with agent-0.2.0"),
        "{told}"
    );
    root.launch("");
    assert_eq!(root.ran(), ["0.2.0", "0.1.0"]);

    // One that has become the current one is left alone.
    let lib = root.lib("");
    let keeps = format!("mv {0}/next-0 {0}/current; exec sleep 3", lib.display());
    root.put_next(&root.agent("0.3.0", &keeps), 1);
    assert_eq!(root.launch_within(1, "").status.code(), Some(0));
    assert_eq!(root.link("current").unwrap(), "agent-0.3.0");
}

#[test]
fn a_launcher_killed_at_any_step_starts_one_of_the_two_agents_the_next_time() {
    let root = Root::new();
    let (old, new) = (root.agent("0.1.0", "exit 0"), root.agent("0.2.0", "exit 1"));
    root.install(&old);
    let mut killed = 0;
    for tries in 0..3 {
        at_each_step(|kill| {
            for name in ["next-0", "next-1", "next-2", "failed"] {
                fs::remove_file(root.lib(name)).ok();
            }
            root.put_next(&new, tries);
            let first = root.launch(kill);
            root.ran();
            let after = root.launch("");
            let ran = root.ran();
            assert!(
                ran == ["0.1.0"] || ran == ["0.2.0"],
                "{tries} tries, {kill}: {ran:?}\n{}{}",
                first.said,
                after.said
            );
            // However it was interrupted, the good one is back after as many starts as there were tries.
            for _ in 0..tries {
                root.launch("");
            }
            root.ran();
            root.launch("");
            assert_eq!(root.ran(), ["0.1.0"], "{tries} tries, {kill}");
            killed += u32::from(first.status.signal().is_some());
            first.status.signal().is_none()
        });
    }
    assert!(killed > 5, "{killed} kills");
}

#[test]
fn a_launcher_that_can_change_nothing_starts_the_good_agent() {
    let root = Root::new();
    root.install(&root.agent("0.1.0", ""));
    root.put_next(&root.agent("0.2.0", ""), 2);
    for name in ["mv", "sync"] {
        write_program(&root.path("bin").join(name), "#!/bin/sh\nexit 1\n");
    }
    let launched = root.launch("");
    assert!(launched.status.success(), "{}", launched.said);
    assert_eq!(root.ran(), ["0.1.0"]);
    fs::remove_file(root.lib("current")).unwrap();
    let told = root.launch("").said;
    assert!(told.contains("there is no agent in"), "{told}");
}

#[test]
fn without_systemd_the_launcher_starts_the_agent_again_until_it_is_told_to_stop() {
    let root = Root::new();
    root.install(&root.agent(
        "0.1.0",
        "trap 'exit 0' TERM; [ -e \"$COUNT.hold\" ] || exit 1; while :; do sleep 0.1; done",
    ));
    let mut command = root.script(&root.lib("launch"), "");
    let mut child = command
        .args(["--keep", "run"])
        .env("LONGSHORE_PAUSE", "0.1")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let starts = || fs::read_to_string(root.path("ran")).map_or(0, |text| text.lines().count());
    let wait = |what: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < end, "{} starts", starts());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait(&|| starts() >= 3);
    fs::write(root.path("count.hold"), "").unwrap();
    let before = starts();
    wait(&|| starts() > before);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
