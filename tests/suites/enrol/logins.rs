//! Logins as servers have them: sudo with and without a password, noisy shells, other shells, no sftp.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tests::lab::Host;

use crate::world::{World, world};

/// A user who may log in with the lab's key.
fn user(world: &World, host: &Host, name: &str, shell: &str) {
    let key = fs::read_to_string(world.lab.ssh_key().with_extension("pub")).unwrap();
    host.sh(&format!(
        "useradd --create-home --shell {shell} {name}; echo {name}:{name}-pass | chpasswd
         install -d -m 700 -o {name} -g {name} /home/{name}/.ssh"
    ))
    .unwrap();
    let file = format!("/home/{name}/.ssh/authorized_keys");
    host.write_file(&file, key, 0o600).unwrap();
    host.sh(&format!("chown {name}:{name} {file}")).unwrap();
}

#[test]
fn sudo_without_a_password_a_noisy_shell_and_no_sftp_are_enough() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("noisy"), world.desk());
    user(world, &host, "ops", "/bin/bash");
    host.write_file("/etc/sudoers.d/ops", "ops ALL=(ALL) NOPASSWD: ALL\n", 0o440)
        .unwrap();
    host.write_file(
        "/home/ops/.bashrc",
        "echo Welcome to noisy; printf 'no newline'; echo trouble >&2\n",
        0o644,
    )
    .unwrap();
    host.sh("sed -i '/^Subsystem/d' /etc/ssh/sshd_config; echo 'Banner /etc/motd' >>/etc/ssh/sshd_config; echo Hello >/etc/motd
             pkill -HUP -f '^sshd: /usr/sbin/sshd' || kill -HUP \"$(cat /run/sshd.pid)\"")
        .unwrap();
    let said = desk.add_as(&host, "ops", &[]).done();
    assert!(
        said.contains("as ops with sudo") && said.contains("✓ link"),
        "{said}"
    );
}

#[test]
fn sudo_with_a_password_gets_it_from_a_file_or_says_how() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("asking"), world.desk());
    user(world, &host, "ops", "/bin/dash");
    host.write_file("/etc/sudoers.d/ops", "ops ALL=(ALL) ALL\n", 0o440)
        .unwrap();
    desk.add_as(&host, "ops", &[])
        .failed(64, &["--sudo-password-file"]);
    let file = desk.folder.join("sudo");
    let give = |text: &str| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        desk.add_as(
            &host,
            "ops",
            &["--sudo-password-file", file.to_str().unwrap()],
        )
    };
    let said = give("not it\n").failed(6, &["sudo refuses ops"]);
    assert!(!said.contains("not it"), "{said}");
    let said = give("ops-pass\n").done();
    assert!(
        said.contains("with sudo and its password") && said.contains("✓ link"),
        "{said}"
    );
}

#[test]
fn a_login_that_cannot_become_root_or_has_no_shell_is_refused_before_anything_is_changed() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("powerless"), world.desk());
    user(world, &host, "guest", "/bin/bash");
    user(world, &host, "nobodyhome", "/usr/sbin/nologin");
    let file = desk.folder.join("sudo");
    fs::write(&file, "guest-pass\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let password = ["--sudo-password-file", file.to_str().unwrap()];
    desk.add_as(&host, "guest", &password)
        .failed(6, &["sudo refuses guest", "not in the sudoers file"]);
    desk.add_as(&host, "nobodyhome", &[])
        .failed(6, &["no shell", "not available"]);
    host.sh("mv /usr/bin/sudo /usr/bin/sudo.away").unwrap();
    desk.add_as(&host, "guest", &[])
        .failed(6, &["not root", "no sudo"]);
    assert_eq!(
        host.sh("ls /etc/longshore /usr/local/bin 2>/dev/null || true")
            .unwrap()
            .trim(),
        "/usr/local/bin:"
    );
}
