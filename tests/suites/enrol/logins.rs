//! Logins as servers have them: sudo with and without a password, noisy shells, other shells, no sftp.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tests::lab::Host;

use crate::world::{Desk, World, world};

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

/// How somebody logs in on a server to administer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As root.
    Root,
    /// By sudo without a password, in a shell that greets, with a banner and without sftp.
    Noisy,
    /// By sudo with a password, in dash.
    Asking,
    /// As root where sshd allows one session at a time, no terminals and no forwarding.
    Narrow,
    /// In a shell that knows nothing of sh's syntax.
    Foreign,
}

impl Way {
    pub(crate) const ALL: [Self; 5] = [
        Self::Root,
        Self::Noisy,
        Self::Asking,
        Self::Narrow,
        Self::Foreign,
    ];

    pub(crate) fn user(self) -> &'static str {
        match self {
            Self::Root | Self::Narrow => "root",
            Self::Noisy | Self::Asking | Self::Foreign => "ops",
        }
    }

    /// Sets the server up for it; gives what `host add` has to be told.
    pub(crate) fn open(self, world: &World, host: &Host, desk: &Desk<'_>) -> Vec<String> {
        let sudoers = |text: &str| {
            host.write_file("/etc/sudoers.d/ops", text, 0o440).unwrap();
        };
        match self {
            Self::Root => {}
            Self::Noisy => {
                user(world, host, "ops", "/bin/bash");
                sudoers("ops ALL=(ALL) NOPASSWD: ALL\n");
                let greeting = "echo Welcome to noisy; printf 'no newline'; echo trouble >&2\n";
                host.write_file("/home/ops/.bashrc", greeting, 0o644)
                    .unwrap();
                host.sh("sed -i '/^Subsystem/d' /etc/ssh/sshd_config; echo Hello >/etc/motd")
                    .unwrap();
                sshd(host, "Banner /etc/motd");
            }
            Self::Asking => {
                user(world, host, "ops", "/bin/dash");
                sudoers("ops ALL=(ALL) ALL\n");
                let file = desk.folder.join("sudo");
                fs::write(&file, "ops-pass\n").unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
                return ["--sudo-password-file", file.to_str().unwrap()]
                    .map(str::to_owned)
                    .to_vec();
            }
            Self::Narrow => sshd(host, "MaxSessions 1\nPermitTTY no\nAllowTcpForwarding no"),
            Self::Foreign => {
                host.write_file("/usr/local/bin/strange-shell", STRANGE_SHELL, 0o755)
                    .unwrap();
                user(world, host, "ops", "/usr/local/bin/strange-shell");
                sudoers("ops ALL=(ALL) NOPASSWD: ALL\n");
            }
        }
        Vec::new()
    }
}

/// Splits a line into words as every shell does, quotes included, and knows nothing else.
const STRANGE_SHELL: &str = "#!/usr/bin/perl
use Text::ParseWords;
die \"strange: only -c\\n\" unless @ARGV == 2 && $ARGV[0] eq '-c';
die \"strange: what is this?\\n\" if $ARGV[1] =~ /[!`\\\\~\\n;&|<>]/ && $ARGV[1] !~ /^[^']*'[^'!`\\\\~\\n]*'$/;
exec { (shellwords($ARGV[1]))[0] } shellwords($ARGV[1]);
";

/// Another sshd, with more in its configuration; it listens when this returns.
fn sshd(host: &Host, lines: &str) {
    let more = format!(
        "printf '%s\\n' '{lines}' >>/etc/ssh/sshd_config
         pid=$(cat /run/sshd.pid); kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.02; done
         /usr/sbin/sshd"
    );
    host.sh(&more).unwrap();
}

#[test]
fn every_way_to_root_is_enough() {
    let Some(world) = world() else { return };
    for (way, words) in [
        (Way::Noisy, "as ops with sudo"),
        (Way::Asking, "as ops with sudo and its password"),
        (Way::Narrow, "as root"),
        (Way::Foreign, "as ops with sudo"),
    ] {
        let name = format!("{way:?}").to_lowercase();
        let (host, desk) = (world.server(&name), world.desk());
        let more = way.open(world, &host, &desk);
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let said = desk.add_as(&host, way.user(), &more).done();
        assert!(
            said.contains(words) && said.contains("✓ link"),
            "{way:?}: {said}"
        );
    }
}

#[test]
fn a_password_for_sudo_is_asked_for_by_name_and_never_shown() {
    let Some(world) = world() else { return };
    let (host, desk) = (world.server("asked"), world.desk());
    Way::Asking.open(world, &host, &desk);
    desk.add_as(&host, "ops", &[])
        .with(64, &["--sudo-password-file"]);
    let file = desk.folder.join("sudo");
    fs::write(&file, "not it\n").unwrap();
    let said = desk
        .add_as(
            &host,
            "ops",
            &["--sudo-password-file", file.to_str().unwrap()],
        )
        .with(6, &["sudo refuses ops"]);
    assert!(!said.contains("not it"), "{said}");
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
        .with(6, &["sudo refuses guest", "not in the sudoers file"]);
    desk.add_as(&host, "nobodyhome", &[])
        .with(6, &["no shell", "not available"]);
    host.sh("mv /usr/bin/sudo /usr/bin/sudo.away").unwrap();
    desk.add_as(&host, "guest", &[])
        .with(6, &["not root", "no sudo"]);
    assert_eq!(
        host.sh("ls /etc/longshore /usr/local/bin 2>/dev/null || true")
            .unwrap()
            .trim(),
        "/usr/local/bin:"
    );
}
