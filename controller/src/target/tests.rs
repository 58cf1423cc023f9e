//! What targets select, whatever their order.

use std::path::Path;

use super::*;
use proptest::prelude::*;

const FLEET: &str = r#"
[fleet]
name = "f"
ca = "ca.pem"
[hosts.emilia]
address = "a"
labels = ["cloud", "eu"]
stacks = ["portal", "opq"]
[hosts.berta]
address = "b"
labels = ["cloud"]
stacks = ["opq"]
[hosts.spare]
address = "c"
[stacks.opq]
path = "opq"
[stacks.portal]
path = "portal"
[stacks.idle]
path = "idle"
"#;

fn fleet() -> Fleet {
    Fleet::parse(Path::new("fleet.toml"), FLEET).unwrap()
}

fn names(targets: &[&str]) -> Vec<String> {
    let show = |one: Selection| match one.service {
        Some(service) => format!("{}/{}/{service}", one.host, one.stack),
        None => format!("{}/{}", one.host, one.stack),
    };
    let selected = select(&fleet(), targets).unwrap();
    selected.into_iter().map(show).collect()
}

#[test]
fn every_form_selects_what_it_says() {
    let all = ["emilia/portal", "emilia/opq", "berta/opq"];
    assert_eq!(names(&["all"]), all);
    assert_eq!(names(&["label:cloud"]), all);
    assert_eq!(names(&["label:eu"]), all[..2]);
    assert_eq!(names(&["emilia"]), all[..2]);
    assert_eq!(names(&["stack:opq"]), all[1..]);
    assert_eq!(names(&["berta/opq"]), all[2..]);
    assert_eq!(names(&["emilia/opq/view"]), ["emilia/opq/view"]);
}

#[test]
fn targets_add_up_and_exclusions_win_in_any_place() {
    let all = ["emilia/portal", "emilia/opq", "berta/opq"];
    assert_eq!(names(&["berta", "emilia", "berta/opq"]), all);
    assert_eq!(names(&["!berta", "all"]), all[..2]);
    assert_eq!(names(&["all", "!stack:opq"]), all[..1]);
    assert_eq!(names(&["emilia/opq/view", "emilia/opq"]), ["emilia/opq"]);
    assert_eq!(
        names(&["emilia/opq/view", "emilia/opq/db", "!emilia/opq/view"]),
        ["emilia/opq/db"]
    );
    assert_eq!(names(&["berta", "spare"]), ["berta/opq"]);
}

#[test]
fn errors_name_the_nearest() {
    let cases: &[&[&str]] = &[
        &["emila"],
        &["opq"],
        &["emilia/opk"],
        &["berta/portal"],
        &["stack:portol"],
        &["label:clout"],
        &["label:-"],
        &["host:emilia"],
        &["a/b/c/d"],
        &["Emilia"],
        &["all", "!emila"],
        &["emilia/opq", "!emilia/opq/view"],
        &[],
        &["!emilia"],
        &["spare"],
        &["berta", "!berta"],
        &[""],
    ];
    let fleet = fleet();
    let shown: Vec<String> = cases
        .iter()
        .map(|targets| {
            let fault = Fault::from(select(&fleet, targets).unwrap_err());
            let hints = fault.hints.iter().map(|hint| format!("\n  hint: {hint}"));
            format!("{targets:?}\n  {}{}", fault.what, hints.collect::<String>())
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

fn any_target() -> impl Strategy<Value = String> {
    let include = prop::sample::select(vec![
        "all",
        "emilia",
        "berta",
        "spare",
        "stack:opq",
        "stack:portal",
        "label:cloud",
        "emilia/opq",
        "emilia/opq/view",
        "emilia/opq/db",
        "berta/opq",
    ]);
    (any::<bool>(), include).prop_map(|(not, text)| format!("{}{text}", if not { "!" } else { "" }))
}

proptest! {
    #[test]
    fn the_order_of_targets_makes_no_difference(
        (targets, shuffled) in prop::collection::vec(any_target(), 0..6)
            .prop_flat_map(|targets| (Just(targets.clone()), Just(targets).prop_shuffle()))
    ) {
        let fleet = fleet();
        let (first, second) = (select(&fleet, &targets), select(&fleet, &shuffled));
        prop_assert_eq!(first.is_ok(), second.is_ok());
        if let (Ok(first), Ok(second)) = (first, second) {
            prop_assert_eq!(&first, &second);
            prop_assert!(!first.is_empty());
            let mut once = first.clone();
            once.sort();
            once.dedup();
            prop_assert_eq!(once.len(), first.len());
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,40}|[a-z:/!]{0,20}") {
        let parsed: Result<Target, _> = text.parse();
        if let Err(error) = parsed {
            prop_assert!(error.to_string().chars().count() < 600);
        }
    }
}

#[test]
fn a_host_without_stacks_counts_where_hosts_are_meant() {
    let hosts = |targets: &[&str]| -> Vec<String> {
        let hosts = by_host(&fleet(), targets).unwrap().into_iter();
        hosts
            .map(|(host, stacks)| format!("{host} {}", stacks.len()))
            .collect()
    };
    assert_eq!(hosts(&["all"]), ["emilia 2", "berta 1", "spare 0"]);
    assert_eq!(hosts(&["spare"]), ["spare 0"]);
    assert_eq!(hosts(&["all", "!spare"]), ["emilia 2", "berta 1"]);
    assert_eq!(hosts(&["stack:opq"]), ["emilia 1", "berta 1"]);
    assert_eq!(
        hosts(&["label:cloud", "!emilia/portal"]),
        ["emilia 1", "berta 1"]
    );
    assert!(by_host(&fleet(), &["nobody"]).is_err());
}
