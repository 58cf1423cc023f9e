//! The unit as it ships: a crash, a reboot, and a new agent that was put there by hand.

use tests::full;

use super::joined;

#[test]
fn a_machine_with_systemd_keeps_its_agent_through_crashes_reboots_and_a_bad_upgrade() {
    let Some(mut joined) = joined() else { return };
    let first = joined.pid();
    joined.kill_agent();
    joined.eventually("an agent that systemd has started again", || {
        joined.pid() != first && joined.works()
    });

    joined.machine.reboot().unwrap();
    let machine = &joined.machine;
    joined.eventually("an agent that answers after a reboot", || joined.works());
    let enabled = machine.sh("systemctl is-enabled longshore-agent").unwrap();
    assert_eq!(enabled.trim(), "enabled");

    // A new agent that ends at once, and one that hangs: the tries are used up, and the one before is back.
    for bad in ["exit 1", "sleep 1000"] {
        machine
            .sh(&format!(
                "cd /usr/local/lib/longshore && printf '#!/bin/sh\\n{bad}\\n' >agent-9.9.9-bad && chmod 755 agent-9.9.9-bad &&
                 ln -s agent-9.9.9-bad next-2 && mkdir -p /etc/systemd/system/longshore-agent.service.d &&
                 printf '[Service]\\nEnvironment=LONGSHORE_TRIAL=3\\n' >/etc/systemd/system/longshore-agent.service.d/t.conf &&
                 systemctl daemon-reload && systemctl restart longshore-agent"
            ))
            .unwrap();
        joined.eventually("the agent before the bad one", || {
            let left = machine
                .sh("ls /usr/local/lib/longshore")
                .unwrap_or_default();
            !left.contains("next-") && joined.works()
        });
        machine
            .sh("rm -f /usr/local/lib/longshore/failed /usr/local/lib/longshore/agent-9.9.9-bad")
            .unwrap();
    }
    full::report(
        "systemd: killed once, rebooted once, two bad agents; each time the agent was back",
    );
}
