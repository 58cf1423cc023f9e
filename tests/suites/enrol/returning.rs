//! A host whose certificate has ended comes back with everything that was on it; somebody else's is not taken.

use std::fs;
use std::time::Duration;

use controller::passphrase::Passphrase;
use controller::pki::{Authorities, Request};
use tests::lab::until;

use crate::world::world;

#[test]
fn a_host_that_slept_past_its_certificate_is_brought_back_with_nothing_lost() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("asleep"), world.desk());
    desk.add(&host, &[]).done();
    host.write_file("/var/lib/longshore/kept", "what was there", 0o600)
        .unwrap();
    expire(&desk.folder, &world.home(), &host);
    host.sh("systemctl restart longshore-agent").unwrap();
    // The supervisor does not wait until its agent listens.
    until("the agent is back", Duration::from_secs(20), || {
        let said = desk.run(&["status"], &[]).said();
        said.contains("expired").then_some(())
    })
    .unwrap();
    desk.run(&["status"], &[]).with(6, &["asleep", "expired"]);

    let said = desk
        .run(&["host", "add", "asleep", "--dry-run"], &[])
        .done();
    assert!(said.contains("has expired"), "{said}");
    let said = desk.run(&["host", "add", "asleep"], &[]).done();
    assert!(
        said.contains("✓ identity") && said.contains("✓ link"),
        "{said}"
    );
    desk.run(&["status"], &[]).done();
    assert_eq!(
        host.read_file("/var/lib/longshore/kept").unwrap(),
        b"what was there"
    );
}

#[test]
fn a_host_that_missed_new_authorities_is_brought_back_with_nothing_lost() {
    let Some(world) = world() else { return };
    let desk = world.fleet("turned");
    let (near, away) = (world.server("near"), world.server("away"));
    for host in [&near, &away] {
        desk.add(host, &[]).done();
    }
    away.write_file("/var/lib/longshore/kept", "what was there", 0o600)
        .unwrap();
    away.sh("systemctl stop longshore-agent").unwrap();
    let rotate = |step: &[&str]| {
        let words = ["ca", "rotate", "--yes", "--without", "away"];
        desk.run(&[words.as_slice(), step].concat(), &[]).done()
    };
    rotate(&[]);
    // Enrolled meanwhile, a host believes both.
    let late = world.server("late");
    desk.add(&late, &[]).done();
    rotate(&["--switch"]);
    rotate(&["--finish"]);
    away.sh("systemctl start longshore-agent").unwrap();
    desk.run(&["status", "away"], &[]).with(6, &["away"]);

    let said = desk.run(&["host", "add", "away", "--dry-run"], &[]).done();
    assert!(said.contains("its authorities were replaced"), "{said}");
    desk.run(&["host", "add", "away"], &[]).done();
    desk.run(&["status"], &[]).done();
    let kept = away.read_file("/var/lib/longshore/kept").unwrap();
    assert_eq!(kept, b"what was there");
    let again = desk.run(&["host", "add", "late"], &[]).done();
    assert!(!again.contains("make a new key"), "{again}");
}

/// As on a host that joined long ago, whose agents were replaced over the wire since.
#[test]
fn a_unit_file_of_another_version_is_told_of_and_brought_up_to_date_by_the_named_command() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("older"), world.desk());
    desk.add(&host, &[]).done();
    let unit = "/etc/systemd/system/longshore-agent.service";
    host.sh(&format!("sed -i /KillMode/d {unit}")).unwrap();
    let mend = [
        "what starts the agent is of another version",
        unit,
        "controller host add older",
    ];
    desk.run(&["doctor", "older"], &[]).with(1, &mend);

    let said = desk.run(&["host", "add", "older"], &[]).done();
    for done in [
        "✓ agent     the unit file and the launcher are those of",
        "✓ service",
    ] {
        assert!(said.contains(done), "{said}");
    }
    let all = desk.run(&["doctor", "older"], &[]);
    assert!(!all.out.contains("what starts the agent"), "{}", all.out);
    let mode = host.sh(&format!("grep KillMode {unit}")).unwrap();
    assert_eq!(mode.trim(), "KillMode=mixed");
    let said = desk.run(&["host", "add", "older"], &[]).done();
    assert!(said.contains("is installed"), "{said}");
}

#[test]
fn a_host_of_another_name_or_fleet_is_not_taken_over() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("taken"), world.desk());
    desk.add(&host, &[]).done();
    let mut words = desk.words(&host, "root");
    words[2] = "other".to_owned();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    desk.run(&words, &[])
        .with(1, &["longshore://opq/host/taken"]);
}

/// Gives the host a certificate that ended a month ago, for the key that it has.
fn expire(fleet: &std::path::Path, home: &std::path::Path, host: &tests::lab::Host) {
    let identity =
        String::from_utf8(host.read_file("/etc/longshore/identity.pem").unwrap()).unwrap();
    let request = host
        .sh("agent enroll --name asleep; cat /etc/longshore/pending.pem")
        .unwrap();
    let (request, pending) = request.split_once("-----BEGIN PRIVATE KEY").unwrap();
    let folder = fs::read_dir(home.join("config/fleets"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let bundle = fs::read_to_string(folder.join("authorities.pem")).unwrap();
    let passphrase = Passphrase::new("a passphrase for tests only").unwrap();
    let now = controller::clock::now();
    let authorities = Authorities::from_pem(&bundle, &passphrase, now).unwrap();
    let then = now - std::time::Duration::from_secs(430 * 24 * 60 * 60);
    let request = Request::from_pem(request).unwrap();
    let issued = authorities
        .host_certificate(&request, &"asleep".parse().unwrap(), then)
        .unwrap();
    let key = pending.split_once("-----END PRIVATE KEY-----").unwrap().0;
    let rest = identity
        .split_once("-----END CERTIFICATE-----\n")
        .unwrap()
        .1;
    assert!(
        fs::read_to_string(fleet.join("ca.pem"))
            .unwrap()
            .contains("CERTIFICATE")
    );
    let text = format!(
        "-----BEGIN PRIVATE KEY{key}-----END PRIVATE KEY-----\n{}{rest}",
        issued.to_pem()
    );
    host.write_file("/etc/longshore/identity.pem", text, 0o600)
        .unwrap();
    host.sh("rm /etc/longshore/pending.pem").unwrap();
}
