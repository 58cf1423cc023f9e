//! The fleet: `fleet.toml` as text, its edits, and targets compared with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use controller::fleet::{Fleet, FleetError};
use controller::fleet_file::{FleetFileError, HostEntry, add_host, create_if_missing};
use controller::target::{Target, select};
use proto::fault::Fault;

use super::{check_error, check_fault, in_scratch, text};

/// The text of a `fleet.toml`: a fleet, or problems at places that are in it.
pub(super) fn fleet(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match Fleet::parse(Path::new("/fleet/fleet.toml"), text) {
        Ok(fleet) => check_fleet(&fleet),
        Err(error) => check_problems(text, error),
    }
}

fn check_fleet(fleet: &Fleet) {
    for host in &fleet.hosts {
        assert_eq!(fleet.host(&host.name), Some(host));
        for stack in host
            .stacks
            .iter()
            .chain(host.env.keys())
            .chain(host.dirs.keys())
        {
            assert!(fleet.stack(stack).is_some(), "{stack} dangles");
        }
        assert!(host.dirs.values().all(|dir| dir.as_path().is_absolute()));
    }
    let placed: usize = fleet.hosts.iter().map(|host| host.stacks.len()).sum();
    match select(fleet, &["all"]) {
        Ok(selected) => assert_eq!(selected.len(), placed),
        Err(error) => {
            check_error(&error);
            assert_eq!(placed, 0);
        }
    }
}

fn check_problems(text: &str, error: FleetError) {
    check_error(&error);
    let FleetError::Invalid(problems) = &error else {
        panic!("{error:?} without a file");
    };
    assert!(!problems.is_empty());
    let lines = text.matches('\n').count() + 1;
    for problem in problems {
        assert!((1..=lines).contains(&problem.line) && problem.column >= 1);
        assert!(!problem.what.trim().is_empty());
        assert_ne!(problem.hint.as_deref().map(str::trim), Some(""));
        for line in problem.snippet() {
            assert!(!line.contains(char::is_control) && line.chars().count() < 300);
        }
    }
    check_fault(&Fault::from(error));
}

/// A person's file, into which `init` and `host add` write.
pub(super) fn edit(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    in_scratch(|scratch| {
        let path = scratch.write("fleet.toml", bytes);
        let valid = Fleet::parse(&path, text).ok();
        let read = || std::fs::read_to_string(&path).unwrap();
        match create_if_missing(&path, &"opq".parse().unwrap()) {
            Ok(true) => assert!(valid.is_none() && read().contains("[fleet]")),
            Ok(false) => assert_eq!(read(), text),
            Err(error) => return check_edit_error(error, text, &read()),
        }
        let before = read();
        match add_host(&path, &entry()) {
            Ok(written) => check_edited(&path, valid.as_ref(), written, &before, &read()),
            Err(error) => check_edit_error(error, &before, &read()),
        }
    });
}

fn entry() -> HostEntry {
    HostEntry {
        name: "emilia".parse().unwrap(),
        address: "emilia.example.org:7433".to_owned(),
        ssh: Some("ops@emilia.example.org:29862".to_owned()),
        labels: vec!["cloud".to_owned()],
        stacks: Vec::new(),
    }
}

fn check_edited(path: &Path, valid: Option<&Fleet>, written: bool, before: &str, after: &str) {
    assert_eq!(written, before != after, "said {written}\n{after}");
    // The same again changes nothing more.
    assert!(!add_host(path, &entry()).unwrap(), "added twice:\n{after}");
    assert!(create_if_missing(path, &"opq".parse().unwrap()).is_ok_and(|written| !written));
    let comments = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().map(str::trim_end);
        let comments = lines.filter(|line| line.starts_with('#'));
        comments.map(str::to_owned).collect()
    };
    assert!(comments(before).is_subset(&comments(after)), "{after}");
    if let Some(old) = valid {
        let new = Fleet::parse(path, after).unwrap();
        assert_eq!(new.hosts.len(), old.hosts.len() + usize::from(written));
        assert_eq!(new.stacks, old.stacks.clone());
    }
}

fn check_edit_error(error: FleetFileError, before: &str, after: &str) {
    check_error(&error);
    check_fault(&Fault::from(error));
    assert_eq!(before, after, "a refused edit has changed the file");
}

const FLEET: &str = r#"
[fleet]
name = "opq"
ca = "ca.pem"
[stacks.opq]
path = "opq"
[stacks.web]
path = "web"
[hosts.emilia]
address = "emilia.example.org"
labels = ["cloud", "eu"]
stacks = ["opq", "web"]
[hosts.kira]
address = "kira.example.org"
labels = ["cloud"]
stacks = ["opq"]
[hosts.bare]
address = "bare.example.org"
"#;

/// Targets, one a line, against a fixed fleet.
pub(super) fn target(bytes: &[u8]) {
    static KNOWN: OnceLock<Fleet> = OnceLock::new();
    let fleet = KNOWN.get_or_init(|| Fleet::parse(Path::new("/f/fleet.toml"), FLEET).unwrap());
    let Some(text) = text(bytes) else { return };
    let targets: Vec<&str> = text.lines().collect();
    let chosen = select(fleet, &targets);
    let turned: Vec<&str> = targets.iter().rev().copied().collect();
    match (chosen, select(fleet, &turned)) {
        (Ok(chosen), Ok(turned)) => {
            let set: BTreeSet<_> = chosen.iter().collect();
            assert_eq!(set.len(), chosen.len(), "something was chosen twice");
            assert_eq!(set, turned.iter().collect(), "the order makes a difference");
            for selection in &chosen {
                let host = fleet.host(&selection.host).unwrap();
                assert!(host.stacks.contains(&selection.stack));
            }
        }
        (Err(one), Err(other)) => {
            check_error(&one);
            check_fault(&Fault::from(one));
            check_error(&other);
        }
        (one, other) => panic!("the order decides: {one:?} and {other:?}"),
    }
    for target in targets {
        if let Err(error) = target.parse::<Target>() {
            check_error(&error);
            assert!(error.to_string().len() < 2048);
        }
    }
}
