//! What the help says, and that bad usage ends with 64.

use clap::CommandFactory;

use super::*;

fn read(words: &str) -> Result<Cli, Stop> {
    let words = std::iter::once("controller").chain(words.split_whitespace());
    Cli::read(words.map(OsString::from))
}

fn pages(command: &clap::Command, path: &str, out: &mut Vec<(String, String)>) {
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        let path = format!("{path} {}", sub.get_name());
        pages(sub, path.trim(), out);
        out.push((path.trim().to_owned(), String::new()));
    }
}

#[test]
fn every_help_page_is_as_reviewed() {
    let mut names = vec![(String::new(), String::new())];
    pages(&Cli::command(), "", &mut names);
    let mut all = String::new();
    names.sort();
    for (path, _) in names {
        let stop = read(&format!("{path} --help")).unwrap_err();
        assert!(stop.asked && stop.exit == Exit::Done, "{path}");
        all.push_str(&format!("$ controller {path} --help\n{}\n", stop.text));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn bad_usage_ends_with_64() {
    for words in [
        "",
        "deploy",
        "frobnicate",
        "logs emilia -n many",
        "deploy x --parallel 0",
        "plan x -o xml",
        "rollback emilia/opq --to 344",
        "rollback emilia/opq --to current",
        "history emilia -n 201",
        "deploy emilia --plan p.plan",
        "deploy --plan p.plan --env A=1",
        "deploy --plan p.plan --remove-orphans",
        "deploy --plan p.plan --no-deps",
        "host renew",
        "host renew emilia --all",
        "operator revoke",
    ] {
        let stop = read(words).unwrap_err();
        assert_eq!(stop.exit.code(), 64, "{words:?}");
        assert!(!stop.asked && !stop.text.is_empty());
    }
}

#[test]
fn a_misspelt_verb_is_answered_with_the_nearest() {
    let stop = read("deplyo emilia").unwrap_err();
    assert!(stop.text.contains("'deploy'"), "{}", stop.text);
}

#[test]
fn flags_are_where_fingers_expect_them() {
    for words in [
        "deploy emilia",
        "deploy emilia/opq -y -d --env TAG=1 --env KEY --remove-orphans --parallel 2 --timeout 10m",
        "deploy emilia/opq/view emilia/opq/makai --no-deps",
        "deploy --plan p.plan -y -d --parallel 2 --timeout 10m",
        "plan all -o json --fleet other.toml",
        "plan emilia/opq --out p.plan",
        "--fleet other.toml ps",
        "logs emilia/opq/view -f -n 100 --since 10m --until 2026-03-01T12:00:00Z -t --raw --no-prefix",
        "down emilia/opq --volumes --yes",
        "init --name opq --operator ana --passphrase-file p",
        "host approve emilia --request r --address h:7433 --ssh u@h --label cloud --label arm --stack opq --passphrase-file p",
        "host ls -o jsonl",
        "operator approve ana --request r --role deployer --out c --host emilia --host loa --label cloud",
        "operator list -o json",
        "operator revoke ana -y --passphrase-file p --parallel 2",
        "operator renew --passphrase-file p",
        "host renew emilia label:cloud !loa --passphrase-file p",
        "host renew --all",
        "attach emilia/opq --deploy 00000000000000000000000000000000",
        "cancel emilia/opq",
        "rollback emilia/opq --to 34497CC1 -y -d --timeout 10m -o jsonl",
        "history emilia stack:opq -n 5 -o json",
        "audit emilia loa/opq -n all --accept -o jsonl",
        "version",
    ] {
        assert!(read(words).is_ok(), "{words}");
    }
}
