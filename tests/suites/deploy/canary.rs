//! Secret values, sent along every way a stack takes: nothing prints them, and on the host they lie only where they
//! have to, for root alone.

use std::fs;
use std::path::Path;

use crate::alone::Alone;
use crate::world::{Case, Ended, WEB, controller, world};

/// A value from a file, from a program, and from a variable of the operator's shell.
const CANARIES: [&str; 3] = [
    "canary-from-file",
    "canary-from-program",
    "canary-from-shell",
];
const SHELL: [(&str, &str); 1] = [("SHELLED", "canary-from-shell-33")];

/// The only places of the state directory that may hold a value: what is staged, what is kept of each revision and of
/// what is laid out, and what an unfinished deploy needs.
const ALLOWED: [&str; 5] = [
    "stages/",
    "stacks/canary/current.json",
    "stacks/canary/applied.json",
    "stacks/canary/revisions/",
    "work/",
];

/// The values in the environment, in a command line, in a label, in a healthcheck and in a config.
fn compose(case: &Case<'_>, web: &str) {
    let everywhere = "FILED: \"${FILED}\", RUN: \"${RUN}\", SHELLED: \"${SHELLED}\"";
    let labels = "    labels: { token: \"${RUN}\" }\n    configs: [app]\n    restart:";
    let text = WEB
        .replace("FIXTURE_SHOW: NOTHING", everywhere)
        .replace("    restart:", labels);
    let web = format!("{text}{web}configs:\n  app: {{ content: \"key=${{SHELLED}}\" }}\n");
    case.write("compose.yaml", &web);
}

fn clean(ended: &Ended) {
    for canary in CANARIES {
        assert!(
            !format!("{ended:?}").contains(canary),
            "{canary}: {ended:?}"
        );
    }
}

/// Files below a folder that hold one of the values, with their mode.
fn holding(alone: &Alone<'_>, folder: &str) -> Vec<(String, String)> {
    let words: String = CANARIES
        .iter()
        .map(|canary| format!(" -e {canary}"))
        .collect();
    let find = format!("cd {folder} && grep -rlaF{words} . | xargs -r stat -c '%n %a' || true");
    let line = |line: &str| {
        let (name, mode) = line.rsplit_once(' ').unwrap();
        (name.trim_start_matches("./").to_owned(), mode.to_owned())
    };
    alone.host.sh(&find).unwrap().lines().map(line).collect()
}

fn check_files_of(home: &Path) {
    for entry in fs::read_dir(home).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_files_of(&path);
            continue;
        }
        let content = fs::read(&path).unwrap();
        let content = String::from_utf8_lossy(&content);
        for canary in CANARIES {
            assert!(
                !content.contains(canary),
                "{} holds {canary}",
                path.display()
            );
        }
    }
}

#[test]
fn no_secret_value_leaves_the_places_it_has_to_be_in() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "canary");
    let case = &alone.case;
    let home = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-a", "--", &format!("{}/config", case.home().display())])
        .arg(home.path())
        .status();
    assert!(copied.unwrap().success());
    let file = case.folder.path().join("fleet.toml");
    let text = fs::read_to_string(&file).unwrap();
    let values = "FILED = { file = \"secret.txt\" }\n\
                  RUN = { command = [\"sh\", \"-c\", \"echo canary-from-$KIND-22\"] }\n\
                  SHELLED = { file = \"unused.txt\" }\n";
    let section = "[stacks.canary.env]\n";
    fs::write(&file, text.replace(section, &format!("{section}{values}"))).unwrap();
    fs::write(
        case.folder.path().join("secret.txt"),
        "canary-from-file-11\n",
    )
    .unwrap();
    fs::write(case.folder.path().join("unused.txt"), "not this one").unwrap();
    compose(case, "");
    let env = [SHELL[0], ("KIND", "program")];
    let run = |words: &[&str]| {
        let ended = controller(case.folder.path(), home.path(), words, &env);
        clean(&ended);
        ended
    };
    let shelled = ["--env", "SHELLED", "--allow-commands"];
    let with = |words: &[&str]| run(&[words, &shelled].concat());

    with(&["plan", "canary"]).with(2, &["recreate"]);
    with(&["plan", "canary", "-o", "json"]).with(2, &["recreate"]);
    with(&["deploy", "canary", "--yes"]).done();
    let web = case_id(&alone, "web");
    let seen = alone
        .host
        .sh(&format!("docker exec {web} /fixture env SHELLED"))
        .unwrap();
    assert_eq!(seen.trim(), SHELL[0].1);

    // The next one prints what it was given, and dies of it.
    let dying = "  dying:\n    image: ${REGISTRY}/org/web:1\n    command: [\"${RUN}\", \"${FILED}\", \"${SHELLED}\"]\n";
    compose(case, dying);
    let said = with(&["deploy", "canary", "--yes", "-o", "jsonl"]);
    said.with(3, &["********"]);
    with(&["deploy", "canary", "--yes"]).with(3, &["********"]);
    for words in [
        &["attach", "canary"][..],
        &["attach", "canary", "-o", "jsonl"],
        &["history", "canary", "-o", "json"],
        &["history", "canary"],
        &["status", "canary", "-o", "json"],
        &["audit", "canary", "-n", "all", "-o", "json"],
        &["audit", "canary"],
    ] {
        run(words);
    }

    check_files_of(home.path());
    for canary in CANARIES {
        assert!(!alone.log().contains(canary), "{}", alone.log());
    }
    assert_eq!(holding(&alone, "/etc/longshore"), []);
    let found = holding(&alone, "/var/lib/longshore");
    assert!(!found.is_empty(), "the search finds what is there");
    for (name, mode) in &found {
        assert!(
            ALLOWED.iter().any(|place| name.starts_with(place)),
            "{name} holds a value"
        );
        assert_eq!(mode, "600", "{name}");
    }
    let open = "find /var/lib/longshore -type d -not -path '*/project*' -not -perm 700";
    assert_eq!(alone.host.sh(open).unwrap(), "");
}

fn case_id(alone: &Alone<'_>, service: &str) -> String {
    let name = format!("{}-{service}-1", alone.name());
    let line = format!("docker ps -aq --filter name=^{name}$");
    alone.host.sh(&line).unwrap().trim().to_owned()
}
