//! On a whole machine with systemd: the unit as it ships, restarts, a reboot, and a new agent that does not start.

use std::process::Command;

use tests::full;
use tests::lab::Machine;

use crate::world::{eventually, world};

#[test]
fn a_machine_with_systemd_keeps_its_agent_through_crashes_reboots_and_a_bad_upgrade() {
    let Some(world) = world() else { return };
    if !full::wanted() {
        return;
    }
    let machine = Machine::start().unwrap();
    let desk = world.desk();
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(machine.host_key())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fingerprint = text.split_whitespace().nth(1).unwrap();
    let ssh = format!("root@127.0.0.1:{}", machine.ssh_port());
    let address = format!("127.0.0.1:{}", machine.agent_port());
    let began = std::time::Instant::now();
    let said = desk
        .run(
            &[
                "host",
                "add",
                "machine",
                "--ssh",
                &ssh,
                "--address",
                &address,
                "--host-key",
                fingerprint,
            ],
            &[],
        )
        .done();
    full::report(&format!(
        "host add on an emulated machine: {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    assert!(
        said.contains("✓ service") && said.contains("✓ link"),
        "{said}"
    );

    let works = || desk.run(&["status", "machine"], &[]).code == 0;
    let pid = || {
        machine
            .sh("systemctl show -P MainPID longshore-agent")
            .unwrap_or_default()
    };
    let first = pid();
    machine
        .sh("kill -9 $(systemctl show -P MainPID longshore-agent)")
        .unwrap();
    eventually("an agent that systemd has started again", || {
        pid() != first && works()
    });

    machine.reboot().unwrap();
    eventually("an agent that answers after a reboot", works);
    assert_eq!(
        machine
            .sh("systemctl is-enabled longshore-agent")
            .unwrap()
            .trim(),
        "enabled"
    );

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
        eventually("the agent before the bad one", || {
            let left = machine
                .sh("ls /usr/local/lib/longshore")
                .unwrap_or_default();
            !left.contains("next-") && works()
        });
        machine
            .sh("rm -f /usr/local/lib/longshore/failed /usr/local/lib/longshore/agent-9.9.9-bad")
            .unwrap();
    }
    full::report(
        "systemd: killed once, rebooted once, two bad agents; each time the agent was back",
    );
}
