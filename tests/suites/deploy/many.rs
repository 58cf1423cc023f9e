//! Who began a deploy is killed, or is one of many: the deploy is the agent's, and a stack has one at a time.

use std::process::{Child, Stdio};

use crate::beside::Beside;
use crate::whole::claim_every_event_once;
use crate::world::{Case, command, controller, eventually, world};

/// Until then a deploy is under way, however quick or slow the machine is.
const CONFIRM: [&str; 3] = ["--yes", "--confirm-within", "10m"];

fn waits_for_confirmation(case: &Case<'_>) {
    let place = format!("emilia/{}", case.stack);
    eventually("the deploy waits to be confirmed", || {
        let status = case.controller(&["status", &place]).done();
        status.contains("unless confirmed")
    });
}

/// The id of the deploy, from what was told of it.
fn deploy_id(told: &str) -> String {
    let (_, after) = told.split_once("\"deploy\":\"").expect(told);
    after.get(..8).unwrap().to_owned()
}

#[test]
fn a_deploy_whose_controller_is_killed_goes_on_and_holds_the_stack_until_its_end() {
    let Some(world) = world() else { return };
    let case = world.case("orphaned");
    case.deploy().done();
    let home = world.operator("bo", "deployer");
    let bo = |words: &[&str]| controller(case.folder.path(), home.path(), words, &[]);
    let place = "emilia/orphaned";
    let moments = [
        "\"event\":\"received\"",
        "\"state\":\"pulled\"",
        "\"state\":\"applying\"",
        "\"event\":\"compose_line\"",
        "\"state\":\"verifying\"",
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        let tag = 2 - number % 2;
        case.write(".env", &format!("TAG={tag}\n"));
        let words = [&["deploy", "emilia", "-o", "jsonl"], &CONFIRM[..]].concat();
        let mut deploy = Beside::start(&case, &words);
        deploy.until(moment);
        let id = deploy_id(&deploy.kill());
        // Nobody who began it is there, and it comes to its last step.
        waits_for_confirmation(&case);
        let refused = bo(&["deploy", "emilia", "--yes"]);
        let words = [
            "another deploy holds stack orphaned",
            "ana started deploy",
            &id,
            " ago",
        ];
        refused.with(5, &words);
        let mut attached = Beside::start(&case, &["attach", place, "-o", "jsonl"]);
        attached.until("\"event\":\"received\"");
        case.controller(&["confirm", place]).done();
        let (code, told) = attached.end();
        assert_eq!(code, 0, "{moment}: {told}");
        claim_every_event_once(&told, moment);
        let status = case.controller(&["status", place]).done();
        assert!(!status.contains("unless confirmed"), "{moment}: {status}");
        assert_eq!(case.containers(), format!("web org/web:{tag} running"));
        let again = case.deploy().done();
        assert!(again.contains("nothing to change"), "{moment}: {again}");
    }
    // At once the same again, while it is under way: it waits, and finds it done.
    case.write(".env", "TAG=1\n");
    let mut deploy = Beside::start(&case, &["deploy", "emilia", "--yes", "-o", "jsonl"]);
    deploy.until("\"event\":\"received\"");
    deploy.kill();
    case.controller(&["deploy", "emilia", "--yes", "--lock-wait", "2m"])
        .done();
    assert_eq!(case.containers(), "web org/web:1 running");
    case.write(".env", "TAG=2\n");
    bo(&["deploy", "emilia", "--yes"]).done();
    assert_eq!(case.containers(), "web org/web:2 running");
}

#[test]
fn of_many_who_deploy_one_stack_at_one_instant_exactly_one_does() {
    let Some(world) = world() else { return };
    let (same, other) = (world.case("contested"), world.case("contested"));
    same.deploy().done();
    for case in [&same, &other] {
        case.write(".env", "TAG=2\n");
    }
    other.write(".env", "TAG=2\nOTHER=1\n");
    let id = same.id("web");
    let words = [&["deploy", "emilia"], &CONFIRM[..]].concat();
    let mut all: Vec<Child> = (0..6)
        .map(|number| {
            let case = [&same, &other][number % 2];
            let mut one = command(case.folder.path(), &case.home(), &words);
            one.stdout(Stdio::null()).stderr(Stdio::piped());
            one.spawn().unwrap()
        })
        .collect();
    eventually("all but one have ended", || {
        let ended = all.iter_mut().filter_map(|one| one.try_wait().unwrap());
        ended.count() == 5
    });
    waits_for_confirmation(&same);
    same.controller(&["confirm", "emilia/contested"]).done();
    let mut codes = Vec::new();
    for one in all {
        let ended = one.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let lost = ["another deploy holds stack contested", "ana started deploy"];
        let code = ended.status.code().unwrap();
        assert!(
            code != 5 || lost.iter().all(|it| said.contains(it)),
            "{said}"
        );
        codes.push((code, said));
    }
    codes.sort_unstable();
    let ended: Vec<i32> = codes.iter().map(|(code, _)| *code).collect();
    assert_eq!(ended, [0, 5, 5, 5, 5, 5], "{codes:#?}");
    assert_eq!(same.containers(), "web org/web:2 running");
    assert_ne!(same.id("web"), id);
    let history = same.controller(&["history", "emilia/contested", "-o", "jsonl"]);
    assert_eq!(
        history.done().lines().count(),
        2,
        "one deploy beside the first"
    );
}
