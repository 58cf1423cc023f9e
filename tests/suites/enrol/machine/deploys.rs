//! A deploy while the agent, the machine or its power goes away: what comes after is the old version or the new one.

use std::time::Instant;

use tests::full;

use super::{Joined, joined};

/// What happens to the machine.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// systemd starts the agent again.
    Killed,
    /// Everything is ended in order, then started.
    Rebooted,
    /// Nothing gets a signal, and what was not written is lost.
    NoPower,
    /// Ahead by most of an hour, behind by as much, and right again.
    ClockJumps,
}

/// When, as the controller is told it, and what.
const FAULTS: [(&str, Fault); 6] = [
    ("\"event\":\"pull_started\"", Fault::NoPower),
    ("\"event\":\"compose_line\"", Fault::NoPower),
    ("\"state\":\"verifying\"", Fault::NoPower),
    ("\"event\":\"compose_line\"", Fault::Rebooted),
    ("\"state\":\"verifying\"", Fault::Killed),
    ("\"state\":\"verifying\"", Fault::ClockJumps),
];

const KEPT: &str = "what no deploy may lose";

impl Joined {
    fn suffers(&mut self, fault: Fault) {
        match fault {
            Fault::Killed => self.kill_agent(),
            Fault::Rebooted => self.machine.reboot().unwrap(),
            Fault::NoPower => self.machine.cut_power().unwrap(),
            Fault::ClockJumps => {
                let jump = |seconds: i32| format!("date -s @$(($(date +%s) + {seconds}))");
                let jumps = [3000, -6000, 3000].map(jump).join(" && sleep 2 && ");
                self.machine.sh(&jumps).unwrap();
            }
        }
    }

    /// The state that the newest deploy has ended in, once nothing is under way.
    fn outcome(&self) -> String {
        let mut state = String::new();
        self.eventually("a deploy that has ended", || {
            let told = self.run(&["history", "machine/web", "-o", "jsonl"]).out;
            let newest = told.lines().next().unwrap_or_default();
            let newest: serde_json::Value = serde_json::from_str(newest).unwrap_or_default();
            state = newest["state"].as_str().unwrap_or_default().to_owned();
            !state.is_empty() && self.idle()
        });
        state
    }

    fn idle(&self) -> bool {
        let left = "ls -A /var/lib/longshore/work /var/lib/longshore/stacks/web | grep -E '^point|^request'";
        let clear = self.machine.sh(left).is_err();
        clear && self.works()
    }
}

#[test]
fn a_deploy_amid_crashes_reboots_power_cuts_and_jumps_of_the_clock_ends_as_old_or_new() {
    let Some(mut joined) = joined() else { return };
    let deploy = ["deploy", "machine", "--yes", "-o", "jsonl"];
    joined.run(&deploy).done();
    let file = "/var/lib/docker/volumes/web_data/_data/kept";
    joined
        .machine
        .sh(&format!("echo '{KEPT}' >{file}; sync"))
        .unwrap();
    let mut tag = 1;
    for (moment, fault) in FAULTS {
        let (old, new) = (tag, tag + 1);
        joined.write(new, 5000);
        let began = Instant::now();
        let deploying = joined.run_until(&deploy, moment);
        joined.suffers(fault);
        let (code, said) = deploying.end();
        let outcome = joined.outcome();
        let containers = joined.containers();
        let took = began.elapsed().as_secs();
        full::report(&format!(
            "{fault:?} at {moment}: {outcome}, exit code {code}, {took} s"
        ));
        let runs = |tag: u32| containers.contains(&format!("web-web-1 org/web:{tag} running"));
        assert!(runs(old) != runs(new), "{containers}\n{said}");
        if matches!(fault, Fault::ClockJumps) {
            assert_eq!((code, outcome.as_str()), (0, "committed"), "{said}");
        }
        assert_eq!(runs(new), outcome == "committed", "{containers}\n{said}");
        let kept = joined.machine.sh(&format!("cat {file}")).unwrap();
        assert_eq!(kept.trim(), KEPT);
        // Whatever it was, the next one brings all of it.
        joined.write(new, 0);
        joined.run(&deploy).done();
        let all = format!("web-once-1 org/web:{new} running\nweb-web-1 org/web:{new} running\n");
        assert_eq!(joined.containers(), all);
        tag = new;
    }
}
