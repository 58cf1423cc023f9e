//! Clocks that are wrong, and jump: on a host, on a workstation, and what an operator is told about it.
//!
//! Debian's libfaketime stands between a program and its clock; the offset is read anew each time, from a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tests::command::Ended;

use crate::fleet::{Agent, Fleet};

const HOUR: i64 = 60 * 60;
const YEAR: i64 = 365 * 24 * HOUR;

/// A clock that can be set.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// `None`, and a word on standard error, where the library is not installed.
    #[expect(
        clippy::print_stderr,
        reason = "who runs one test must see why it did nothing"
    )]
    fn new(fleet: &Fleet, name: &str) -> Option<Self> {
        let machine = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        let library = Path::new(&machine).join("faketime/libfaketimeMT.so.1");
        if !library.exists() {
            let wanted = std::env::var_os("LONGSHORE_LAB").is_some();
            assert!(
                !wanted,
                "{} is missing: install faketime",
                library.display()
            );
            eprintln!(
                "skipped: {} is missing: install faketime",
                library.display()
            );
            return None;
        }
        let file = fleet.path(name);
        let clock = Self { library, file };
        clock.set(0);
        Some(clock)
    }

    /// So many seconds ahead of the true time.
    fn set(&self, seconds: i64) {
        let part = self.file.with_extension("part");
        fs::write(&part, format!("{seconds:+}\n")).unwrap();
        fs::rename(part, &self.file).unwrap();
    }

    fn env(&self) -> [(&'static str, &str); 4] {
        [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            // What a clock that is set does not touch.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }

    /// The agent again, with this clock.
    fn start(&self, agent: &mut Agent) {
        let env = self.env().map(|(name, value)| format!("{name}={value}"));
        agent.stop();
        agent.start_with(&format!("export {}", env.join(" ")));
    }

    /// The admin's commands on a workstation with this clock.
    fn ana(&self, fleet: &Fleet, words: &[&str]) -> Ended {
        fleet.run(&fleet.path("fleet"), "ana", words, &self.env())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_clock_is_wrong_is_worked_with_or_says_so() {
    let fleet = Fleet::new();
    let Some(clock) = Clock::new(&fleet, "clock") else {
        return;
    };
    let mut emilia = fleet.host("emilia");
    clock.start(&mut emilia);
    let pid = emilia.pid();
    // Whoever was let in yesterday, and somebody who was approved this minute.
    let bo = fleet.operator("bo", "viewer");
    for apart in [HOUR - 60, 60 - HOUR] {
        clock.set(apart);
        fleet.ana(&["status"]).with(0, &[]);
        fleet
            .run(&bo, "bo", &["status", "emilia"], &[])
            .with(0, &[]);
        let words = ["the clocks of this workstation and the host differ"];
        fleet.ana(&["doctor", "emilia"]).with(1, &words);
    }
    for apart in [-2 * HOUR, -YEAR, 2 * YEAR, 30 * YEAR] {
        clock.set(apart);
        let words = ["clock", "(UTC)", "emilia: date -u"];
        fleet.ana(&["status"]).with(6, &words);
        fleet.ana(&["doctor", "emilia"]).with(1, &["clock"]);
    }
    // Its list of revoked operators is too old by then, and their certificates are not.
    clock.set(YEAR);
    fleet.ana(&["status"]).with(6, &["clock"]);
    clock.set(0);
    fleet.ana(&["status"]).with(0, &[]);
    assert_eq!(emilia.pid(), pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_and_comes_back_ends_no_connection() {
    let fleet = Fleet::new();
    let Some(clock) = Clock::new(&fleet, "clock") else {
        return;
    };
    let mut emilia = fleet.host("emilia");
    clock.start(&mut emilia);
    let link = fleet.link("ana", &emilia).await.unwrap();
    link.status().await.unwrap();
    // Whoever came in stays, and is answered as the clock of that moment has it.
    for (jump, good) in [
        (HOUR, true),
        (-2 * YEAR, true),
        (2 * YEAR, false),
        (0, true),
    ] {
        clock.set(jump);
        let begun = Instant::now();
        let answer = link.status().await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{jump}");
        let fault = answer.err();
        let told = fault.as_ref().map(|fault| fault.what.as_str());
        let expired = "the operator's certificate has expired";
        assert_eq!(told, (!good).then_some(expired), "{jump}");
    }
    // A list that was signed by a right clock is taken by right and wrong ones alike, within reason.
    let _bo = fleet.operator("bo", "viewer");
    clock.set(HOUR - 60);
    let revoked = fleet.admin(&["operator", "revoke", "bo", "-y"]);
    revoked.with(0, &["emilia has it"]);
    clock.set(0);
    fleet
        .run(&fleet.path("bo.fleet"), "bo", &["status", "emilia"], &[])
        .with(6, &["the certificate is revoked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workstation_whose_clock_is_wrong_is_told_to_look_at_it() {
    let fleet = Fleet::new();
    let Some(clock) = Clock::new(&fleet, "clock") else {
        return;
    };
    let emilia = fleet.host("emilia");
    for apart in [HOUR - 60, 60 - HOUR] {
        clock.set(apart);
        clock.ana(&fleet, &["status"]).with(0, &[]);
        let words = ["the clocks of this workstation and the host differ"];
        clock.ana(&fleet, &["doctor", "emilia"]).with(1, &words);
    }
    for apart in [-2 * HOUR, -YEAR, 2 * YEAR] {
        clock.set(apart);
        clock.ana(&fleet, &["status"]).with(6, &["clock"]);
    }
    clock.set(0);
    clock.ana(&fleet, &["status"]).with(0, &[]);
    drop(emilia);
}
