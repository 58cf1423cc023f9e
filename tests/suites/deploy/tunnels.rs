//! Hosts without an open port: everything through an SSH session.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use tests::lab::Host;

use crate::beside::Beside;
use crate::whole::claim_every_event_once;
use crate::world::{Case, World, eventually, secret_file, world};

/// A home folder whose ssh lets us into the lab's hosts.
fn home(world: &World, known: &[&Host]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let ssh = home.path().join(".ssh");
    fs::create_dir(&ssh).unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o700)).unwrap();
    let key = fs::read_to_string(world.lab.ssh_key()).unwrap();
    secret_file(&ssh.join("id_ed25519"), &key);
    let line = |host: &&Host| format!("{} {}\n", host.ip(), host.ssh_host_key().unwrap().trim());
    let known: String = known.iter().map(line).collect();
    fs::write(ssh.join("known_hosts"), known).unwrap();
    home
}

/// Makes SSH the only way to `host`.
fn only_by_ssh(case: &Case<'_>, host: &Host) {
    let file = case.folder.path().join("fleet.toml");
    let text = fs::read_to_string(&file).unwrap();
    let direct = format!("address = \"{}:7433\"\n", host.ip());
    assert!(text.contains(&direct), "{text}");
    let through = format!("ssh = \"root@{}\"\ntransport = \"ssh\"\n", host.ip());
    fs::write(file, text.replace(&direct, &through)).unwrap();
}

/// How many SSH sessions the host serves.
fn sessions(host: &Host) -> usize {
    let lines = host.sh("ss -Htn state established 'sport = :22'");
    lines.unwrap().lines().count()
}

/// How many connections its agent has from the host itself.
fn connections(host: &Host) -> usize {
    let lines = host.sh("ss -Htn state established 'sport = :7433 and src 127.0.0.1'");
    lines.unwrap().lines().count()
}

#[test]
fn all_of_longshore_goes_through_one_session() {
    let Some(world) = world() else { return };
    let case = world.case("tunnelled");
    only_by_ssh(&case, &world.emilia);
    let home = home(world, &[&world.emilia]);
    let env = [("HOME", home.path().to_str().unwrap())];
    let run = |words: &[&str]| case.controller_with(words, &env);
    run(&["plan", "emilia"]).with(2, &["web"]);
    run(&["deploy", "emilia", "--yes"]).done();
    assert!(run(&["status", "emilia"]).done().contains("tunnelled"));
    assert!(run(&["history", "emilia"]).done().contains("tunnelled"));
    run(&["doctor", "emilia"]);
    run(&["logs", "emilia"]).done();
    // Control and logs are connections of their own, and one session.
    let logs = Beside::start_with(&case, &["logs", "-f", "emilia"], &env);
    eventually("two connections are there", || {
        connections(&world.emilia) == 2
    });
    // The command before may be ending its own still.
    eventually("one session is there", || sessions(&world.emilia) == 1);
    logs.kill();
    eventually("no session is left", || sessions(&world.emilia) == 0);
}

#[test]
fn a_tunnel_that_dies_at_every_event_loses_none_and_tells_none_twice() {
    let Some(world) = world() else { return };
    let case = world.case("cut");
    only_by_ssh(&case, &world.loa);
    let home = home(world, &[&world.loa]);
    let env = [("HOME", home.path().to_str().unwrap())];
    let deploy = &["deploy", "loa", "--yes", "-o", "jsonl"];
    case.controller_with(deploy, &env).done();
    case.write(".env", "TAG=2\n");
    let mut deploy = Beside::start_with(&case, deploy, &env);
    let mut cuts = 0;
    while let Some(line) = deploy.line() {
        // Not while it plans: a plan that is cut short is an error, and nothing has begun.
        if line.contains("\"agent\":{") {
            world
                .loa
                .sh("pkill -KILL -f '^sshd(-session)?: root' || true")
                .unwrap();
            cuts += 1;
        }
    }
    let (code, said) = deploy.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("link_lost"), "{said}");
    claim_every_event_once(&said, "cut at every event");
    assert!(cuts > 8, "only {cuts} cuts");
}

#[test]
fn without_a_terminal_nobody_is_asked_whose_key_it_is() {
    let Some(world) = world() else { return };
    let case = world.case("asked");
    only_by_ssh(&case, &world.emilia);
    let home = home(world, &[]);
    let env = [("HOME", home.path().to_str().unwrap())];
    let run = |words: &[&str]| case.controller_with(words, &env);
    let said = run(&["status", "emilia"]).with(6, &["is refused: it is not known", "SHA256:"]);
    assert!(!said.contains("[y/N]"), "{said}");
    // No way in, and no agent there: each is told from the other.
    fs::remove_file(home.path().join(".ssh/id_ed25519")).unwrap();
    let key = format!(
        "{} {}\n",
        world.emilia.ip(),
        world.emilia.ssh_host_key().unwrap().trim()
    );
    fs::write(home.path().join(".ssh/known_hosts"), key).unwrap();
    run(&["status", "emilia"]).with(6, &["does not let root in", "ssh-add"]);
    let lab = fs::read_to_string(world.lab.ssh_key()).unwrap();
    secret_file(&home.path().join(".ssh/id_ed25519"), &lab);
    let file = case.folder.path().join("fleet.toml");
    let text = fs::read_to_string(&file).unwrap();
    let elsewhere = "transport = \"ssh\"\naddress = \"emilia:7444\"\n";
    fs::write(&file, text.replace("transport = \"ssh\"\n", elsewhere)).unwrap();
    run(&["status", "emilia"]).with(6, &["cannot connect to 127.0.0.1:7444"]);
}
