//! A project that somebody started by hand: asked about on a terminal, taken over by flag elsewhere.

use proto::fault::{Fault, FaultKind};
use proto::plan::Adoption;

use super::*;

fn by_hand() -> Script {
    let adoption = Adoption {
        directory: "/srv/opq".to_owned(),
        inexact: ["web".parse().unwrap()].into(),
    };
    Script {
        plan: Ok(proto::plan::Plan {
            adoption: Some(adoption),
            ..plan_of(Action::Keep)
        }),
        ..Script::of("emilia")
    }
}

async fn answered(words: &str, answers: &str, fleet: &Arc<FakeFleet>) -> Ran {
    let capture = Capture::new(answers);
    let look = Look {
        in_tty: true,
        err_tty: true,
        ..Look::default()
    };
    run_in(words, &context(&capture, look, fleet), &capture).await
}

#[tokio::test]
async fn a_takeover_by_flag_shows_what_it_takes_over_and_asks_nothing_more() {
    let (host, fleet) = one(by_hand());
    let ran = ran("deploy emilia --yes --adopt", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    let plan: Vec<&str> = ran.out.lines().take(5).collect();
    insta::assert_snapshot!(plan.join("\n"), @r"
    emilia/opq  in /srv/opq, nothing deployed by longshore yet
      takes over project opq, which was started by hand from /srv/opq
        keep      web
      ! warning: ship of [stacks.opq]: *.cfg matches no file
      taken over, nothing else changes
    ");
    let seen = host.seen();
    assert!(seen.plans[0].adopt);
    assert_eq!(seen.deploys.len(), 1);
}

#[tokio::test]
async fn on_a_terminal_it_is_asked_and_then_goes_on() {
    let (host, fleet) = one(by_hand());
    let ran = answered("deploy emilia", "y\ny\n", &fleet).await;
    assert_eq!(ran.exit, Exit::Done);
    insta::assert_snapshot!(ran.err, @"project opq already runs on emilia, started from /srv/opq; take it over? [y/N] Deploy to emilia/opq? [y/N]");
    assert!(host.seen().plans[0].adopt);
    assert_eq!(host.seen().deploys.len(), 1);
}

#[tokio::test]
async fn who_agrees_to_everything_is_yet_asked_about_a_takeover() {
    let (host, fleet) = one(by_hand());
    let ran = answered("deploy emilia --yes", "n\n", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    insta::assert_snapshot!(ran.err, @"project opq already runs on emilia, started from /srv/opq; take it over? [y/N] nothing was changed");
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn without_a_terminal_and_the_flag_nothing_is_offered_to_the_agent() {
    let what = "a project named opq already runs here and was not started by longshore";
    let fault = Fault::new(FaultKind::Refused, what)
        .hint("take it over as it runs: controller deploy --adopt");
    let (host, fleet) = one(Script {
        plan: Err(fault),
        ..Script::of("emilia")
    });
    let ran = ran("deploy emilia --yes", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    insta::assert_snapshot!(ran.err, @r"
    error: a project named opq already runs here and was not started by longshore, on emilia
    hint: take it over as it runs: controller deploy --adopt
    ");
    assert!(!host.seen().plans[0].adopt);
}

#[tokio::test]
async fn a_plan_looks_at_it_only_when_asked_to() {
    let (host, fleet) = one(by_hand());
    assert_eq!(ran("plan emilia --adopt", &fleet).await.exit, Exit::Pending);
    answered("plan emilia", "", &fleet).await;
    let adopted: Vec<bool> = host.seen().plans.iter().map(|it| it.adopt).collect();
    assert_eq!(adopted, [true, false]);
}

#[tokio::test]
async fn a_saved_takeover_was_agreed_to_when_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.plan").display().to_string();
    let (_, fleet) = one(by_hand());
    ran(&format!("plan emilia --adopt --out {path}"), &fleet).await;
    let (host, fleet) = one(by_hand());
    let ran = ran(&format!("deploy --plan {path} --yes"), &fleet).await;
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert!(host.seen().plans[0].adopt);
    assert_eq!(host.seen().deploys.len(), 1);
}
