//! Servers of other distributions than the other claims have, bare: Docker comes from their own packages.

use std::fs;

use tests::full;
use tests::lab::{Host, Image, System};

use crate::world::{Desk, dressed, world};

const STACK: &str = "\
services:
  web:
    image: REGISTRY/org/web:1
    restart: always
    healthcheck: { test: [CMD, /fixture, health], interval: 1s, timeout: 5s, retries: 10 }
";

/// What Debian's packages of Docker lack, as it is put there by hand.
const PLUGIN: &str = "usr/libexec/docker/cli-plugins/docker-compose";

#[test]
fn a_bare_ubuntu_becomes_a_host_that_deploys() {
    let Some((host, desk, said)) = joined(System::Ubuntu2404, "noble") else {
        return;
    };
    for word in ["Ubuntu 24.04", "docker.io docker-compose-v2", "✓ link"] {
        assert!(said.contains(word), "{word} is not in:\n{said}");
    }
    claim_deploys(&host, &desk);
}

#[test]
fn a_bare_debian_12_becomes_a_host_and_says_what_its_packages_lack() {
    let Some((host, desk, said)) = joined(System::Debian12, "bookworm") else {
        return;
    };
    for word in [
        "Debian GNU/Linux 12",
        "✓ docker",
        "no package of Compose 2.26 or newer",
        "docker-compose-plugin",
        "✓ link",
    ] {
        assert!(said.contains(word), "{word} is not in:\n{said}");
    }
    let other = world().unwrap().lab.host("trixie").unwrap();
    let plugin = other.root().unwrap().join(PLUGIN);
    host.install(plugin, format!("/{PLUGIN}")).unwrap();
    claim_deploys(&host, &desk);
}

/// A bare server of that system that became a host with a stack called `web`, with what it had to install for that, and
/// what was said of it; nothing unless the long run is wanted.
fn joined(system: System, name: &str) -> Option<(Host, Desk<'static>, String)> {
    let world = world().filter(|_| full::wanted())?;
    let (host, desk) = (world.lab.host_with(system, name).unwrap(), world.desk());
    dressed(&host);
    let docker = host.sh("command -v docker dockerd");
    assert!(docker.is_err(), "{name} is not bare");
    fs::create_dir(desk.folder.join("web")).unwrap();
    fs::write(desk.folder.join("web/compose.yaml"), STACK).unwrap();
    let file = desk.fleet_file() + "\n[stacks.web]\npath = \"web\"\n";
    fs::write(desk.folder.join("fleet.toml"), file).unwrap();
    let ended = desk.add(&host, &["--stack", "web", "--install-docker"]);
    assert_eq!(ended.code, 0, "{}", ended.said());
    // Its engine starts with the server: nothing here plays systemd for it.
    host.power_off().unwrap();
    host.power_on().unwrap();
    dressed(&host);
    host.sh("systemctl start longshore-agent").unwrap();
    let said = ended.said();
    Some((host, desk, said))
}

/// The stack comes up healthy, a second deploy finds nothing to do, and nothing is wrong with the host.
#[track_caller]
fn claim_deploys(host: &Host, desk: &Desk<'_>) {
    let world = world().unwrap();
    let registry = world.lab.registry().unwrap();
    let image = Image::fixture("web", "1").unwrap();
    image.push(&registry, "org/web:1").unwrap();
    let file = desk.folder.join("web/compose.yaml");
    fs::write(
        file,
        STACK.replace("REGISTRY", &registry.address().to_string()),
    )
    .unwrap();
    let name = host.name();
    desk.run(&["deploy", name, "--yes"], &[]).done();
    let state = host
        .sh("docker ps --format '{{.Names}} {{.Status}}'")
        .unwrap();
    assert!(
        state.contains("web-web-1") && state.contains("(healthy)"),
        "{state}"
    );
    let again = desk.run(&["deploy", name, "--yes"], &[]).done();
    assert!(again.contains("nothing to change"), "{again}");
    desk.run(&["doctor", name], &[]).done();
    let versions = "docker version --format '{{.Server.Version}}'; docker compose version --short";
    let versions = host.sh(versions).unwrap();
    let versions: Vec<&str> = versions.split_whitespace().collect();
    full::report(&format!(
        "{name}: host add and deploy, with {}",
        versions.join(" and Compose ")
    ));
}
