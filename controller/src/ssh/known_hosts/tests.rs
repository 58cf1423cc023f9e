//! Host keys against files of every sort; and the same corpus before OpenSSH's own `ssh-keygen -F`.

use std::process::Command;

use super::*;

const ED25519: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIFPXiEBiFgEi9YGh0pqUsXgyug9CI9/s8ezkP4af4K/Q";
const OTHER: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn key(base64: &str) -> HostKey {
    HostKey {
        algorithm: "ssh-ed25519".into(),
        blob: STANDARD.decode(base64).unwrap(),
    }
}

fn judge(content: &[u8], name: &str) -> Verdict {
    KnownHosts::from_bytes(Path::new("f"), content).judge(name, &key(ED25519))
}

/// Lines of a file, a name, and whether OpenSSH finds the name in it.
const CORPUS: &[(&str, &str, bool)] = &[
    ("a ssh-ed25519 K", "a", true),
    ("a ssh-ed25519 K", "b", false),
    ("a,b ssh-ed25519 K", "b", true),
    ("A.Example.Org ssh-ed25519 K", "a.example.org", true),
    ("*.example.org ssh-ed25519 K", "a.example.org", true),
    (
        "*.example.org,!a.example.org ssh-ed25519 K",
        "a.example.org",
        false,
    ),
    ("!a,* ssh-ed25519 K", "a", false),
    ("h?st ssh-ed25519 K", "host", true),
    ("[a]:22022 ssh-ed25519 K", "[a]:22022", true),
    ("[a]:22022 ssh-ed25519 K", "a", false),
    ("a ssh-ed25519 K", "[a]:22022", false),
    ("  a ssh-ed25519 K", "a", true),
    ("\ta\t ssh-ed25519\tK", "a", true),
    ("a ssh-ed25519 K a comment", "a", true),
    ("a ssh-ed25519 K\r", "a", true),
    ("#a ssh-ed25519 K", "a", false),
    ("# comment\n\n a ssh-ed25519 K", "a", true),
    ("a", "a", false),
    ("@unknown a ssh-ed25519 K", "a", false),
    ("@revoked @revoked a ssh-ed25519 K", "a", false),
    (
        "|1|gcX/QY1cqYzYVU2xNWsqjPGVk+U=|broken ssh-ed25519 K",
        "a",
        false,
    ),
];

/// Lines whose key is none: `ssh-keygen -F` does not look at it, ssh itself passes over the line.
const BROKEN: &[&str] = &[
    "a ssh-ed25519",
    "a ssh-ed25519 broken",
    "a ssh-new K",
    "a ssh-rsa K",
];

#[test]
fn a_line_without_a_key_says_nothing() {
    for content in BROKEN {
        let content = content.replace('K', ED25519);
        let nothing = Verdict::Unknown { authority: false };
        assert_eq!(judge(content.as_bytes(), "a"), nothing, "{content}");
    }
}

#[test]
fn names_are_found_where_openssh_finds_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    for (content, name, found) in CORPUS {
        let content = content.replace('K', ED25519);
        let verdict = judge(content.as_bytes(), name);
        assert_eq!(
            verdict == Verdict::Known,
            *found,
            "{content:?} {name}: {verdict:?}"
        );
        fs::write(&file, &content).unwrap();
        let asked = Command::new("ssh-keygen")
            .args(["-F", name, "-f"])
            .arg(&file)
            .output();
        // Where there is no OpenSSH, the table stands for it.
        let Ok(asked) = asked else { continue };
        assert_eq!(
            asked.status.success(),
            *found,
            "{content:?} {name}: OpenSSH says otherwise"
        );
    }
}

#[test]
fn a_name_hashed_by_openssh_is_found_and_ours_by_openssh() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    add(&file, "emilia.example.org", &key(ED25519), true).unwrap();
    add(&file, "[emilia.example.org]:29862", &key(ED25519), false).unwrap();
    let content = fs::read(&file).unwrap();
    assert_eq!(judge(&content, "Emilia.example.org"), Verdict::Known);
    assert_eq!(
        judge(&content, "emilia"),
        Verdict::Unknown { authority: false }
    );
    let keygen = |arguments: &[&str]| {
        Command::new("ssh-keygen")
            .args(arguments)
            .arg("-f")
            .arg(&file)
            .output()
    };
    let Ok(found) = keygen(&["-F", "emilia.example.org"]) else {
        return;
    };
    assert!(found.status.success());
    assert!(keygen(&["-H"]).unwrap().status.success());
    let content = fs::read(&file).unwrap();
    assert_eq!(
        content
            .split(|&byte| byte == b'\n')
            .filter(|line| line.starts_with(b"|1|"))
            .count(),
        2
    );
    assert_eq!(judge(&content, "emilia.example.org"), Verdict::Known);
    assert_eq!(
        judge(&content, "[emilia.example.org]:29862"),
        Verdict::Known
    );
}

#[test]
fn another_key_is_never_first_contact() {
    let rsa = "AAAAB3NzaC1yc2EAAAADAQABAAAAgQDKc5wTmkwlLUBopbWumdyP+MhLblWP0VU+BMXutj1GkxwffQyaAjdpR4v5nogTwO3Oyzdm/tne+/wSlW0fRtwEvNAXG/FFzq1BJ39N8RC/lcEVr8ACcRmYhrgYRIjjHnp2ycdLbhXPJYdb9y7gZsvWwCemPrFA6+f/YJl0nZWRpw==";
    for (content, known, place) in [
        (format!("a ssh-ed25519 {OTHER}"), "ssh-ed25519", "f:1"),
        (
            format!("\n|x\na ssh-ed25519 {OTHER}\n"),
            "ssh-ed25519",
            "f:3",
        ),
        (format!("a ssh-rsa {rsa}"), "ssh-rsa", "f:1"),
    ] {
        let expected = Verdict::Other {
            known: vec![known.to_owned()],
            place: place.to_owned(),
        };
        assert_eq!(judge(content.as_bytes(), "a"), expected);
    }
    let both = format!("a ssh-ed25519 {OTHER}\na ssh-ed25519 {ED25519}\n");
    assert_eq!(
        judge(both.as_bytes(), "a"),
        Verdict::Known,
        "one of several is enough"
    );
}

#[test]
fn marks_are_obeyed_wherever_they_stand() {
    let known = format!("a ssh-ed25519 {ED25519}\n");
    let place = |line: usize| Verdict::Revoked {
        place: format!("f:{line}"),
    };
    assert_eq!(
        judge(
            format!("{known}@revoked * ssh-ed25519 {ED25519}").as_bytes(),
            "a"
        ),
        place(2)
    );
    assert_eq!(
        judge(
            format!("@revoked a ssh-ed25519 {ED25519}\n{known}").as_bytes(),
            "a"
        ),
        place(1)
    );
    let another =
        format!("{known}@revoked a ssh-ed25519 {OTHER}\n@revoked b ssh-ed25519 {ED25519}");
    assert_eq!(judge(another.as_bytes(), "a"), Verdict::Known);
    let authority = format!("@cert-authority *.org ssh-ed25519 {ED25519}");
    assert_eq!(
        judge(authority.as_bytes(), "a.org"),
        Verdict::Unknown { authority: true }
    );
}

#[test]
fn bytes_that_are_no_text_do_not_hide_a_line() {
    let mut content = b"# caf\xe9\n".to_vec();
    content.extend(format!("a ssh-ed25519 {ED25519} ").bytes());
    content.extend(b"caf\xe9\r\n\xff\xfe\0\n");
    assert_eq!(judge(&content, "a"), Verdict::Known);
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    assert!(
        KnownHosts::read(std::slice::from_ref(&missing))
            .unwrap()
            .files
            .is_empty()
    );
    let error = KnownHosts::read(&[missing, folder.path().to_owned()]).unwrap_err();
    assert!(error.to_string().contains("cannot read"), "{error}");
}

#[test]
fn a_fingerprint_is_as_openssh_prints_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pub");
    fs::write(&file, format!("ssh-ed25519 {ED25519}\n")).unwrap();
    let Ok(printed) = Command::new("ssh-keygen").arg("-lf").arg(file).output() else {
        return;
    };
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(
        printed.split(' ').nth(1),
        Some(key(ED25519).fingerprint().as_str())
    );
}
