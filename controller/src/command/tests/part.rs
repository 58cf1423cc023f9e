//! `plan` and `deploy` of some services, against scripted agents.

use proto::plan::{Part, Plan};

use super::*;

/// A host whose plan is about view, and mongo that it depends on.
fn host_of(name: &str, action: Action) -> Script {
    let part = Part {
        named: ["view".parse().unwrap()].into(),
        needed: ["mongo".parse().unwrap()].into(),
    };
    Script {
        plan: Ok(Plan {
            part: Some(part),
            ..plan_of(action)
        }),
        ..Script::of(name)
    }
}

/// What the agent was asked for.
fn asked(host: &FakeHost) -> (Vec<String>, bool) {
    let plans = host.seen().plans;
    let [plan] = plans.as_slice() else {
        panic!("{plans:?}")
    };
    (plan.services.clone(), plan.no_deps)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn one_service_is_asked_for_shown_and_deployed() {
    let (host, fleet) = one(host_of("emilia", Action::Recreate));
    let ran = ran("deploy emilia/opq/view --yes", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    let second = ran.out.lines().nth(1);
    assert_eq!(second, Some("  only view and what it depends on: mongo"));
    assert_eq!(asked(&host), (words(&["view"]), false));
    assert_eq!(host.seen().deploys.len(), 1);
}

#[tokio::test]
async fn services_of_one_stack_are_one_deploy() {
    let (host, fleet) = one(host_of("emilia", Action::Recreate));
    let ran = ran("plan emilia/opq/view emilia/opq/makai --no-deps", &fleet).await;
    assert_eq!(ran.exit, Exit::Pending);
    assert_eq!(asked(&host), (words(&["makai", "view"]), true));
}

#[tokio::test]
async fn a_stack_named_beside_its_service_means_the_stack() {
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran("plan emilia/opq/view emilia/opq --remove-orphans", &fleet).await;
    assert_eq!(ran.exit, Exit::Pending);
    assert_eq!(asked(&host), (Vec::new(), false));
}

#[tokio::test]
async fn nothing_to_change_in_a_service_is_said_and_done() {
    let (host, fleet) = one(host_of("emilia", Action::Keep));
    let ran = ran("deploy emilia/opq/view", &fleet).await;
    assert_eq!(ran.exit, Exit::Done);
    assert!(ran.out.ends_with("nothing to change\n"), "{}", ran.out);
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn the_question_says_which_services() {
    let (_host, fleet) = one(host_of("emilia", Action::Recreate));
    let ran = ran("deploy emilia/opq/view", &fleet).await;
    assert_eq!(ran.exit, Exit::Usage);
    let question = "Deploy to emilia/opq (only mongo, view)?";
    assert!(ran.err.contains(question), "{}", ran.err);
}

#[tokio::test]
async fn flags_that_mean_nothing_for_the_target_are_bad_usage() {
    let (host, fleet) = one(Script::of("emilia"));
    let orphans = ran("deploy emilia/opq/view --yes --remove-orphans", &fleet).await;
    let deps = ran("deploy emilia/opq --yes --no-deps", &fleet).await;
    let mixed = ran("plan emilia/opq/view emilia --no-deps", &fleet).await;
    for ran in [&orphans, &deps, &mixed] {
        assert_eq!(ran.exit, Exit::Usage);
    }
    insta::assert_snapshot!(orphans.err + &deps.err, @r"
    error: --remove-orphans is for whole stacks, and emilia/opq was narrowed to services
    hint: name it as emilia/opq
    error: --no-deps is for services, and emilia/opq is a whole stack
    hint: name the services: emilia/opq/SERVICE
    ");
    assert!(host.seen().plans.is_empty());
}

#[tokio::test]
async fn an_agent_that_would_deploy_more_than_was_asked_for_is_not_let() {
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran("deploy emilia/opq/view --yes", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    insta::assert_snapshot!(ran.err, @r"
    error: the agent on emilia deploys whole stacks only
    hint: upgrade it, or name the stack without a service
    ");
    assert!(host.seen().deploys.is_empty());
}
