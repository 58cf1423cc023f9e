//! Servers that cannot become a host, and what is said of them.

use tests::lab::Host;

use crate::world::{traces, world};

/// A program of the server that says something else.
fn pretend(host: &Host, name: &str, script: &str) {
    let path = format!("/usr/local/sbin/{name}");
    host.write_file(path, format!("#!/bin/sh\n{script}\n"), 0o755)
        .unwrap();
}

#[test]
fn a_server_that_cannot_be_a_host_is_told_why_and_left_as_it_was() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("odd"), world.desk());
    let before = traces(&host);
    pretend(
        &host,
        "uname",
        "case $1 in -m) echo riscv64 ;; *) echo Linux ;; esac",
    );
    desk.add(&host, &[]).with(1, &["riscv64", "amd64"]);
    pretend(
        &host,
        "uname",
        "case $1 in -m) echo aarch64 ;; *) echo Linux ;; esac",
    );
    desk.add(&host, &[]).with(1, &["arm64", "agents"]);
    pretend(
        &host,
        "uname",
        "case $1 in -m) echo x86_64 ;; *) echo Linux ;; esac",
    );
    pretend(&host, "date", "echo 1700000000");
    desk.add(&host, &[]).with(1, &["clocks", "timedatectl"]);
    host.sh("rm /usr/local/sbin/uname /usr/local/sbin/date; mount -t tmpfs -o size=8m tmpfs /usr/local/lib").unwrap();
    pretend(&host, "df", "echo; echo 'x 1 1 4096 1% /'");
    desk.add(&host, &[]).with(1, &["/usr/local", "4 MiB free"]);
    host.sh("rm /usr/local/sbin/df").unwrap();
    // The disk is full all the same, and is found so on the way.
    desk.add(&host, &[])
        .with(1, &["sending agent", "No space left"]);
    host.sh("umount /usr/local/lib").unwrap();
    assert_eq!(traces(&host), before);
    assert!(!desk.fleet_file().contains("[hosts.odd]"));
}

#[test]
fn a_strange_host_key_and_a_host_of_other_settings_are_refused() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("strange"), world.desk());
    let ssh = format!("root@{}", host.ip());
    let add = |more: &[&str]| {
        let mut words = vec!["host", "add", "strange", "--ssh", ssh.as_str()];
        words.extend(more);
        desk.run(&words, &[])
    };
    add(&[]).with(6, &["--host-key"]);
    let other = format!("SHA256:{}", "A".repeat(43));
    add(&["--host-key", &other]).with(6, &["refused", &other]);
    add(&["--stack", "nothing"]).with(64, &["there is no stack nothing"]);
    desk.add(&host, &["--dry-run"]).done();
    let file = desk.fleet_file() + "\n[hosts.strange]\naddress = \"10.9.9.9:7433\"\n";
    std::fs::write(desk.folder.join("fleet.toml"), file).unwrap();
    let address = format!("{}:7433", host.ip());
    desk.add(&host, &["--address", &address])
        .with(65, &["another address"]);
}
