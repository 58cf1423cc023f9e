//! Claims about the man pages: complete, and of one mind with the programs.
#![allow(clippy::unwrap_used, reason = "a suite: every failure is a panic")]

mod pages;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Command;
use pages::{Page, all, controller_command};

fn page(name: &str) -> Page {
    let found = all().into_iter().find(|page| page.name == name);
    found.unwrap_or_else(|| panic!("there is no page {name}"))
}

/// The words of a page without roff's own.
fn plain(page: &Page) -> String {
    page.text
        .replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fR", "")
}

fn commands(command: &Command, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    for child in command
        .get_subcommands()
        .filter(|child| !child.is_hide_set())
    {
        commands(child, &format!("{path}-{}", child.get_name()), found);
    }
}

#[test]
fn every_visible_verb_has_a_page_and_nothing_else_has() {
    let mut command = controller_command();
    command.build();
    let mut wanted = vec!["agent".to_owned()];
    commands(&command, "controller", &mut wanted);
    assert!(
        wanted.contains(&"controller-host-approve".to_owned()),
        "{wanted:?}"
    );
    let pages: BTreeSet<String> = all().into_iter().map(|page| page.name).collect();
    assert_eq!(pages, wanted.into_iter().collect());
}

#[test]
fn every_page_is_whole() {
    for page in all() {
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "EXIT STATUS",
            "FILES",
            "ENVIRONMENT",
            "SEE ALSO",
        ] {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            let count: usize = heading
                .iter()
                .map(|heading| page.text.matches(heading).count())
                .sum();
            assert_eq!(count, 1, "{section} in {}", page.name);
        }
        assert!(
            page.text.contains(env!("CARGO_PKG_VERSION")),
            "{}",
            page.name
        );
    }
}

#[test]
fn the_exit_codes_are_those_of_the_program() {
    let codes: Vec<String> = words::exit_codes()
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    use controller::exit::Exit;
    let table = [
        Exit::Done,
        Exit::Failed,
        Exit::Pending,
        Exit::RolledBack,
        Exit::Partial,
        Exit::Busy,
        Exit::Unreachable,
        Exit::Usage,
        Exit::Invalid,
        Exit::Defect,
        Exit::Left,
    ];
    assert_eq!(codes, table.map(|exit| exit.code().to_string()));
    assert!(
        words::exit_codes()
            .iter()
            .all(|(_, meaning)| meaning.ends_with('.'))
    );
}

#[test]
fn every_variable_of_ours_is_on_the_page() {
    let page = plain(&page("controller"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = Vec::new();
    collect(&root.join("controller/src"), &mut sources);
    let mut seen = 0;
    for source in sources {
        let quoted = source.split('"').skip(1).step_by(2);
        for name in quoted.filter(|text| is_ours(text)) {
            seen += 1;
            assert!(page.contains(name), "{name} is read and not on the page");
        }
    }
    assert!(seen >= 3, "the sources were not read");
}

fn is_ours(text: &str) -> bool {
    let word = |c: char| c.is_ascii_uppercase() || c == '_';
    ["LONGSHORE_", "XDG_", "NO_COLOR"]
        .iter()
        .any(|start| text.starts_with(start))
        && text.chars().all(word)
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_option_of_deploy_is_on_its_page() {
    let page = plain(&page("controller-deploy"));
    for option in [
        "--fleet",
        "--yes",
        "--detach",
        "--timeout",
        "--env",
        "--output",
    ] {
        assert!(page.contains(option), "{option}");
    }
    assert!(page.contains("controller(1)"));
}

#[test]
fn the_daemons_page_knows_its_verbs_and_files() {
    let page = page("agent");
    assert_eq!(page.file(), "agent.8");
    let text = plain(&page);
    for word in [
        "ENROLL",
        "ACCEPT",
        "RUN",
        "/etc/longshore/agent.toml",
        "/var/lib/longshore/",
        "7433",
    ] {
        assert!(text.contains(word), "{word}\n{text}");
    }
}
