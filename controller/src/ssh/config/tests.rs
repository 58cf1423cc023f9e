//! Configurations, as they are followed for a host; and beside OpenSSH's own `ssh -G`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::process::Command;

use super::*;

struct Place {
    folder: tempfile::TempDir,
    around: Surroundings,
}

impl Place {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut variables = BTreeMap::new();
        variables.insert("SSH_AUTH_SOCK".to_owned(), "/run/agent".to_owned());
        variables.insert("KEYS".to_owned(), "/keys".to_owned());
        let around = Surroundings {
            home: folder.path().to_owned(),
            user: "me".to_owned(),
            variables,
            system: folder.path().join("etc"),
        };
        let ssh = folder.path().join(".ssh");
        fs::DirBuilder::new().mode(0o700).create(ssh).unwrap();
        let place = Self { folder, around };
        place.write("config", config);
        place
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(".ssh").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn of(&self, target: &str) -> Result<Settings, ConfigError> {
        settings(&target.parse().unwrap(), &self.around)
    }
}

#[test]
fn without_a_configuration_everything_is_as_usual() {
    let place = Place::new("");
    let settings = place.of("emilia").unwrap();
    assert_eq!(
        (
            settings.host.as_str(),
            settings.port,
            settings.user.as_str()
        ),
        ("emilia", 22, "me")
    );
    assert_eq!(
        settings.identities.first(),
        Some(&place.folder.path().join(".ssh/id_ed25519"))
    );
    assert_eq!(settings.agent, Some(PathBuf::from("/run/agent")));
    assert_eq!(
        settings.known_hosts.first(),
        Some(&place.folder.path().join(".ssh/known_hosts"))
    );
    assert!(settings.jump.is_empty() && settings.unknown == Unknown::Ask);
}

#[test]
fn the_first_value_wins_and_what_was_typed_wins_over_all() {
    let place = Place::new(
        "Host emilia *.lan\n  HostName %h.example.org\n  Port 2200\n  User captain\n\
         Host * !lucia\n  Port 9\n  User nobody\n  IdentityFile ~/.ssh/%r@%n\n  IdentityFile ${KEYS}/%h\n",
    );
    let settings = place.of("emilia").unwrap();
    assert_eq!(settings.host, "emilia.example.org");
    assert_eq!((settings.port, settings.user.as_str()), (2200, "captain"));
    let first = place.folder.path().join(".ssh/captain@emilia");
    assert_eq!(
        settings.identities,
        [first, PathBuf::from("/keys/emilia.example.org")]
    );
    let typed = place.of("root@emilia:22").unwrap();
    assert_eq!((typed.port, typed.user.as_str()), (22, "root"));
    let lucia = place.of("lucia").unwrap();
    assert_eq!((lucia.port, lucia.user.as_str()), (22, "me"));
}

#[test]
fn a_way_through_other_hosts_is_read_and_a_command_is_refused() {
    let place = Place::new(
        "Host a\n ProxyJump one,two@second:22022\nHost b\n ProxyJump none\nHost c\n ProxyCommand nc %h %p\n\
         Host d\n ProxyCommand none\nHost e\n ProxyJump ssh://x@y:1\nHost *\n ProxyJump gate\n",
    );
    let jump = |target| -> Vec<String> {
        let settings = place.of(target).unwrap();
        settings.jump.iter().map(ToString::to_string).collect()
    };
    assert_eq!(jump("a"), ["one", "two@second:22022"]);
    assert_eq!(jump("b"), [""; 0]);
    assert_eq!(jump("d"), [""; 0]);
    assert_eq!(jump("e"), ["x@y:1"]);
    assert_eq!(jump("f"), ["gate"]);
    let error = place.of("c").unwrap_err().to_string();
    assert!(
        error.contains("config:6:") && error.contains("ProxyCommand"),
        "{error}"
    );
}

#[test]
fn files_are_included_where_they_are_named() {
    let place = Place::new("Include conf.d/*.conf missing\nHost emilia\n Include inner\nPort 1\n");
    fs::create_dir(place.folder.path().join(".ssh/conf.d")).unwrap();
    place.write("conf.d/20.conf", "User second\n");
    place.write("conf.d/10.conf", "User first\n");
    place.write("conf.d/.hidden.conf", "User hidden\n");
    place.write("inner", "Host lucia\n Port 5\nHost emilia\n Port 7\n");
    assert_eq!(place.of("emilia").unwrap().user, "first");
    assert_eq!(place.of("emilia").unwrap().port, 7);
    assert_eq!(
        place.of("lucia").unwrap().port,
        22,
        "an include of a block for others is not read"
    );
    place.write("inner", "Include inner\n");
    let error = place.of("emilia").unwrap_err().to_string();
    assert!(error.contains("too deeply"), "{error}");
}

#[test]
fn what_is_not_understood_is_said() {
    let place = Place::new("Match exec true\n Port 5\nMatch all\n Port 6\n");
    let settings = place.of("emilia").unwrap();
    assert_eq!(settings.port, 6);
    assert!(
        settings.notes[0].contains("config:1: longshore does not judge Match"),
        "{:?}",
        settings.notes
    );
    for (config, why) in [
        ("Port seventy\n", "no port"),
        ("\nPort 0\n", "config:2:"),
        ("Host \"a\n", "never closed"),
        ("HostName\n", "no value"),
        ("IdentityFile %Z\n", "%Z"),
        ("IdentityFile ${UNSET}/a\n", "UNSET"),
        ("IdentitiesOnly perhaps\n", "neither yes nor no"),
        ("StrictHostKeyChecking perhaps\n", "StrictHostKeyChecking"),
        ("ConnectTimeout soon\n", "ConnectTimeout"),
        ("ProxyJump a b c:x\n", "port"),
    ] {
        let error = Place::new(config).of("emilia").unwrap_err().to_string();
        assert!(error.contains(why), "{config:?}: {error}");
    }
}

#[test]
fn a_file_that_others_may_write_is_not_followed() {
    let place = Place::new("Port 5\n");
    let path = place.folder.path().join(".ssh/config");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(matches!(place.of("emilia"), Err(ConfigError::Exposed(_))));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(place.of("emilia"), Err(ConfigError::Io { .. })));
}

/// The same configuration before OpenSSH, which prints what it makes of it.
#[test]
fn openssh_makes_the_same_of_it() {
    let place = Place::new(
        "Host one tw* !two2\n  hostname = \"%h.example.org\"\n  PORT 2200 # comment\n  User 'the captain'\n\
         Host *\n\tUser=nobody\n\tIdentitiesOnly yes\n\tHostKeyAlias same\n\tHashKnownHosts yes\n\
         \tStrictHostKeyChecking accept-new\n\tConnectTimeout 7\n\tUserKnownHostsFile /a \"/b c\"\n",
    );
    for target in ["one", "two", "two2", "x.two", "One"] {
        let ours = place.of(target).unwrap();
        let config = place.folder.path().join(".ssh/config");
        let Ok(output) = Command::new("ssh")
            .arg("-F")
            .arg(config)
            .args(["-G", target])
            .output()
        else {
            return;
        };
        let printed = String::from_utf8(output.stdout).unwrap();
        let value = |key: &str| {
            let mut lines = printed.lines().filter_map(|line| line.split_once(' '));
            lines
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.to_owned())
        };
        // OpenSSH writes names in small letters before it looks them up.
        assert_eq!(
            value("hostname"),
            Some(ours.host.to_ascii_lowercase()),
            "{target}"
        );
        assert_eq!(value("port"), Some(ours.port.to_string()), "{target}");
        assert_eq!(value("user"), Some(ours.user), "{target}");
        assert_eq!(value("identitiesonly").as_deref(), Some("yes"));
        assert_eq!(value("hostkeyalias"), ours.alias);
        assert_eq!(value("connecttimeout").as_deref(), Some("7"));
        assert_eq!(value("userknownhostsfile").as_deref(), Some("/a /b c"));
        assert_eq!(
            ours.known_hosts,
            [PathBuf::from("/a"), PathBuf::from("/b c")]
        );
        assert!(ours.hash_known_hosts && ours.unknown == Unknown::Take);
    }
}
