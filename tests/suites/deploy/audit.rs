//! Who changed what is on record at the host, and a record that was edited, cut or restored is found out from here.

use std::fs;

use serde_json::Value;

use crate::alone::Alone;
use crate::world::{World, controller, world};

const RECORD: &str = "/var/lib/longshore/audit/*.jsonl";

/// The home of another operator, who may only look.
fn viewer(world: &World, alone: &Alone<'_>, name: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = alone.case.folder.path();
    let (request, certificate) = (folder.join("request"), folder.join("certificate"));
    let (asked, given) = (request.to_str().unwrap(), certificate.to_str().unwrap());
    let at_home = |words: &[&str]| controller(folder, home.path(), words, &[]).done();
    at_home(&["operator", "request", name, "--out", asked]);
    let approve = [
        "operator",
        "approve",
        name,
        "--role",
        "viewer",
        "--request",
        asked,
    ];
    fs::write(&certificate, world.admin_does(&approve).done()).unwrap();
    at_home(&["operator", "accept", given]);
    home
}

/// The record as the controller reads it: its entries, and what it says of all of them.
fn record(alone: &Alone<'_>) -> (Vec<Value>, Value) {
    let words = ["audit", alone.name(), "-n", "all", "-o", "json"];
    let ended = alone.case.controller(&words);
    let document: Value = serde_json::from_str(&ended.out).expect(&ended.err);
    let entries = document[0]["entries"].as_array().unwrap().clone();
    (entries, document[0]["verified"].clone())
}

/// What one entry tells, in a few words.
fn told(entry: &Value) -> String {
    let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let operator = word("operator");
    if entry["entry"] == "ended" {
        return format!("{operator} end {} {}", word("outcome"), word("state"));
    }
    let decision = match &entry["decision"] {
        Value::String(let_in) => let_in.clone(),
        refused => refused["refused"].as_str().unwrap_or_default().to_owned(),
    };
    format!("{operator} {} {decision}", word("verb"))
}

#[test]
fn every_change_is_on_record_with_who_asked_for_it() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "ledger");
    let bo = viewer(world, &alone, "bo");
    let folder = alone.case.folder.path();
    alone.case.write(".env", "TAG=2\n");
    let deploy = ["deploy", "ledger", "--yes"];
    controller(folder, bo.path(), &deploy, &[]).with(6, &["viewer"]);
    alone.deploy().done();
    alone.deploy().done();
    let back = ["rollback", "ledger/ledger", "--yes"];
    alone.case.controller(&back).done();
    alone
        .case
        .controller(&["down", "ledger/ledger", "--yes"])
        .done();

    let (entries, verified) = record(&alone);
    assert_eq!(verified["holds"], true, "{verified}");
    let told: Vec<String> = entries.iter().map(told).collect();
    let expected = [
        "ana Stage let_in",
        "ana Deploy let_in",
        "ana end succeeded committed",
        "bo Stage denied",
        "ana Stage let_in",
        "ana Deploy let_in",
        "ana end succeeded committed",
        "ana Rollback let_in",
        "ana end succeeded committed",
        "ana Down let_in",
        "ana end succeeded removed",
    ];
    assert_eq!(told, expected, "a deploy with nothing to change is none");
    assert_eq!(
        (&entries[1]["role"], &entries[3]["role"]),
        (&"admin".into(), &"viewer".into())
    );
    assert!(
        entries[1]["serial"]
            .as_str()
            .is_some_and(|serial| serial.len() >= 16)
    );
    assert!(
        entries[1]["asked"]
            .as_str()
            .is_some_and(|asked| asked.contains("plan "))
    );
    assert_eq!(entries[1]["stack"], "ledger");
    assert_eq!(entries[1]["deploy"], entries[2]["deploy"]);
    let table = controller(folder, bo.path(), &["audit", "ledger"], &[]).done();
    assert!(table.contains("verified: 11 entries, unbroken"), "{table}");
    let mode = alone
        .host
        .sh(&format!("stat -c %a {RECORD} /var/lib/longshore/audit"))
        .unwrap();
    assert_eq!(mode.trim(), "600\n700");
}

#[test]
fn a_record_that_was_edited_or_restored_is_found_out_from_the_workstation() {
    let Some(world) = world() else { return };
    let mut alone = Alone::new(world, "rewritten");
    let (kept, _) = record(&alone);
    alone
        .host
        .sh("cp -a /var/lib/longshore/audit /root/earlier")
        .unwrap();
    alone.case.write(".env", "TAG=2\n");
    alone.deploy().done();
    let (entries, verified) = record(&alone);
    assert_eq!(verified["holds"], true, "{verified}");

    // Somebody with root there takes ana's name out of the second entry.
    alone
        .host
        .sh(&format!("sed -i.kept '2s/\"ana\"/\"eve\"/' {RECORD}"))
        .unwrap();
    let audit = ["audit", "rewritten"];
    alone
        .case
        .controller(&audit)
        .with(1, &["not verified: the entry after 1 was changed"]);
    // ... or takes it out altogether.
    alone.host.sh(&format!("sed -i 2d {RECORD}")).unwrap();
    alone
        .case
        .controller(&audit)
        .with(1, &["not verified: entry 2 is missing"]);

    alone.kill_agent();
    alone
        .host
        .sh("cd /var/lib/longshore && rm -r audit && cp -a /root/earlier audit")
        .unwrap();
    alone.start_agent();
    let back = format!("went back from {} to {}", entries.len(), kept.len());
    let status = alone.case.controller(&["status", "rewritten"]);
    assert!(status.err.contains(&back), "{status:?}");
    status.done();
    let ends = format!("it ends before entry {}", entries.len());
    alone.case.controller(&audit).with(1, &[&ends, &back]);
    alone
        .case
        .controller(&["audit", "rewritten", "--accept"])
        .with(1, &[&ends]);
    let said = alone.case.controller(&audit).done();
    assert!(said.contains("verified: "), "{said}");
}
