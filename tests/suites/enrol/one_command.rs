//! One command makes a server a host; the next changes nothing.

use crate::world::{traces, world};

#[test]
fn a_server_becomes_a_host_in_one_command_and_stays_one_in_the_next() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("emilia"), world.desk());
    let before = traces(&host);

    let plan = desk.add(&host, &["--dry-run"]).done();
    for step in ["+ agent", "+ identity", "+ service", "+ link"] {
        assert!(plan.contains(step), "{plan}");
    }
    assert_eq!(traces(&host), before, "a dry run changed something");
    assert!(!desk.fleet_file().contains("emilia"));

    let said = desk.add(&host, &["--label", "cloud"]).done();
    for step in [
        "Debian",
        "amd64",
        "as root",
        "✓ agent",
        "✓ identity",
        "✓ service",
        "✓ link",
    ] {
        assert!(said.contains(step), "{step} is not in:\n{said}");
    }
    let file = desk.fleet_file();
    for line in ["[hosts.emilia]", ":7433", "ssh = \"root@", "\"cloud\""] {
        assert!(file.contains(line), "{file}");
    }
    desk.run(&["status"], &[]).done();
    desk.run(&["doctor"], &[]).done();

    let (before, agent) = (traces(&host), host.sh("cat /run/agent.pid").unwrap());
    // Nothing is signed, so nobody needs the authorities.
    let nowhere = [("LONGSHORE_CA_PASSPHRASE_FILE", "/nowhere")];
    let again = desk.run(&["host", "add", "emilia"], &nowhere).done();
    assert!(
        again.contains("is installed") && !again.contains('…') || again.contains("… link"),
        "{again}"
    );
    assert_eq!(traces(&host), before, "what was there was changed");
    assert_eq!(
        host.sh("cat /run/agent.pid").unwrap(),
        agent,
        "the agent was restarted"
    );

    // Keys are made where they are used and never travel.
    let mode = host
        .sh("stat -c '%a %U' /etc/longshore/identity.pem")
        .unwrap();
    assert_eq!(mode.trim(), "600 root");
}

#[test]
fn without_systemd_the_command_to_start_the_agent_is_printed() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.lab.host("plain").unwrap(), world.desk());
    let ended = desk.add(&host, &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.out.contains("longshore/launch --keep run"),
        "{ended:?}"
    );
    let agent = host
        .spawn(&tests::lab::Cmd::new([
            "/usr/local/lib/longshore/launch",
            "--keep",
            "run",
        ]))
        .unwrap();
    agent
        .wait_for("listening", std::time::Duration::from_secs(20))
        .unwrap();
    let said = desk.add(&host, &[]).done();
    assert!(said.contains("✓ link"), "{said}");
}

#[test]
fn what_is_told_to_machines_is_json() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("machine"), world.desk());
    let said = desk.add(&host, &["--dry-run", "-o", "jsonl"]).done();
    let told: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told[0]["architecture"], "amd64", "{said}");
    assert_eq!(told[1]["steps"][0]["step"], "agent", "{said}");
    let said = desk.add(&host, &["--dry-run", "-o", "json"]).done();
    let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(all, told);
}

#[test]
fn missing_docker_is_told_and_installed_when_asked_for() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("bare"), world.desk());
    // A server before anybody installed Docker, and an archive that has it.
    host.sh("mkdir -p /root/packages && mv /usr/bin/docker /usr/libexec/docker/cli-plugins/docker-compose /root/packages")
        .unwrap();
    host.stop_docker().unwrap();
    host.write_file("/usr/local/sbin/apt-get", APT_GET, 0o755)
        .unwrap();
    host.write_file("/usr/local/sbin/apt-cache", APT_CACHE, 0o755)
        .unwrap();
    let said = desk.add(&host, &[]).done();
    for word in ["Docker and Compose missing", "--install-docker", "✓ link"] {
        assert!(said.contains(word), "{word} is not in:\n{said}");
    }
    let said = desk.add(&host, &["--install-docker"]).done();
    assert!(
        said.contains("✓ docker") && said.contains("docker.io docker-cli docker-compose"),
        "{said}"
    );
    assert_eq!(
        host.sh("cat /root/installed").unwrap().trim(),
        "docker.io docker-cli docker-compose"
    );
}

const APT_GET: &str = "#!/bin/sh
case $* in
  *install*)
    for word; do case $word in docker*) set -- \"$@\" ;; esac; done
    echo \"$*\" | tr ' ' '\\n' | grep ^docker | tr '\\n' ' ' >/root/installed
    mv /root/packages/docker /usr/bin/docker
    mv /root/packages/docker-compose /usr/libexec/docker/cli-plugins/docker-compose ;;
esac
";

const APT_CACHE: &str = "#!/bin/sh
case $2 in
  docker.io) version=26.1.5 ;;
  docker-cli) version=26.1.5 ;;
  docker-compose) version=2.26.1-4 ;;
  *) exit 0 ;;
esac
printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' \"$2\" \"$version\"
";
