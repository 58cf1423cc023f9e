//! A host whose engine or Compose is not as it should be. Each test breaks a host of its own.

use crate::world::{Case, World, world};

/// A case on a third host that nobody else uses.
fn on_a_host_of_its_own<'w>(
    world: &'w World,
    name: &str,
) -> (tests::lab::Host, tests::lab::Process, Case<'w>) {
    let host = world.lab.host(name).unwrap();
    let agent = world.enrol(&host);
    let case = world.case(name);
    let file = case.folder.path().join("fleet.toml");
    let more = format!(
        "\n[hosts.{name}]\naddress = \"{}:7433\"\nstacks = [\"{name}\"]\n",
        host.ip()
    );
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + &more).unwrap();
    (host, agent, case)
}

#[test]
fn an_engine_that_is_down_is_told_and_found_again() {
    let Some(world) = world() else { return };
    let (host, _agent, case) = on_a_host_of_its_own(world, "nodocker");
    host.stop_docker().unwrap();
    case.controller(&["deploy", "nodocker", "--yes"])
        .with(1, &["Docker", "on nodocker", "systemctl status docker"]);
    host.start_docker().unwrap();
    case.controller(&["deploy", "nodocker", "--yes"]).done();
}

#[test]
fn a_host_without_compose_or_with_an_old_one_is_refused_with_a_hint() {
    let Some(world) = world() else { return };
    let (host, _agent, case) = on_a_host_of_its_own(world, "nocompose");
    let plugin = "/usr/libexec/docker/cli-plugins/docker-compose";
    host.sh(&format!("mv {plugin} /root/compose")).unwrap();
    case.controller(&["deploy", "nocompose", "--yes"])
        .with(1, &["Compose is not installed", "on nocompose"]);
    host.write_file(plugin, b"#!/bin/sh\necho 1.29.2\n", 0o755)
        .unwrap();
    case.controller(&["deploy", "nocompose", "--yes"])
        .with(1, &["1.29.2", "2.26"]);
    host.sh(&format!("mv /root/compose {plugin}")).unwrap();
    case.controller(&["deploy", "nocompose", "--yes"]).done();
}
