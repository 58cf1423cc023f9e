//! What ssh keeps on a workstation: known_hosts, and its configuration.

use std::collections::BTreeMap;
use std::path::Path;

use controller::ssh::config::check;
use controller::ssh::known_hosts::{HostKey, KnownHosts, Verdict, name};
use controller::ssh::{Surroundings, known_hosts};

use super::{check_error, in_scratch, text};

/// The key that the seeds have.
const KEY: [u8; 32] = *b"a key of thirty-two bytes, fixed";

fn key() -> HostKey {
    let algorithm = "ssh-ed25519".to_owned();
    let parts: [&[u8]; 2] = [algorithm.as_bytes(), &KEY];
    let framed = |part: &[u8]| [&(part.len() as u32).to_be_bytes(), part].concat();
    let blob = parts.map(framed).concat();
    HostKey { algorithm, blob }
}

/// A known_hosts file, asked about one host on two ports.
pub(super) fn known_hosts(bytes: &[u8]) {
    let key = key();
    let known = KnownHosts::from_bytes(Path::new("f"), bytes);
    let windows: Vec<u8> = bytes
        .split(|&byte| byte == b'\n')
        .collect::<Vec<_>>()
        .join(&b"\r\n"[..]);
    let lines = bytes.split(|&byte| byte == b'\n').count();
    for port in [22, 29862] {
        let name = name("Emilia.example.org", port);
        let verdict = known.judge(&name, &key);
        let algorithms = known.algorithms(&name);
        match &verdict {
            Verdict::Known => assert!(algorithms.contains(&key.algorithm)),
            Verdict::Unknown { .. } => assert!(algorithms.is_empty()),
            Verdict::Other { known, place } => {
                assert!(!known.is_empty() && known.iter().all(|one| algorithms.contains(one)));
                check_place(place, lines);
            }
            Verdict::Revoked { place } => check_place(place, lines),
        }
        // Which system a file was written on does not matter.
        assert_eq!(
            KnownHosts::from_bytes(Path::new("f"), &windows).judge(&name, &key),
            verdict
        );
        // Whatever the file says, a line that is added for a new host is found.
        if port == 22 && verdict == (Verdict::Unknown { authority: false }) {
            in_scratch(|scratch| {
                let file = scratch.write("known_hosts", bytes);
                known_hosts::add(&file, &name, &key, bytes.len().is_multiple_of(2)).unwrap();
                let again = KnownHosts::read(&[file]).unwrap();
                assert_eq!(again.judge(&name, &key), Verdict::Known);
            });
        }
    }
}

fn check_place(place: &str, lines: usize) {
    let line: usize = place.strip_prefix("f:").unwrap().parse().unwrap();
    assert!((1..=lines).contains(&line), "{place} of {lines} lines");
}

/// An operator's configuration, asked about two hosts.
pub(super) fn config(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut around = Surroundings::new(BTreeMap::new());
    "ana".clone_into(&mut around.user);
    around.home = "/home/ana".into();
    for target in ["emilia", "captain@loa:22022"] {
        if let Err(error) = check(text, &target.parse().unwrap(), &around) {
            check_error(&error);
        }
    }
}
