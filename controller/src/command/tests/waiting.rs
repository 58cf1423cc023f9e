//! A stack that another deploy holds, and deploys that wait to be confirmed.

use proto::event::EventKind;

use super::other::stack;
use super::*;
use crate::fake::event;

fn held(busy: usize, held: usize) -> Script {
    Script {
        status: vec![stack("opq")],
        busy,
        held,
        ..Script::of("emilia")
    }
}

#[tokio::test]
async fn a_held_stack_ends_the_command_with_5_unless_asked_to_wait() {
    let (host, fleet) = one(held(1, 1));
    let ran = ran("deploy emilia --yes", &fleet).await;
    assert_eq!(ran.exit, Exit::Busy);
    assert!(
        ran.err.contains("another deploy holds stack opq"),
        "{}",
        ran.err
    );
    assert_eq!(host.seen().deploys.len(), 1);
}

#[tokio::test]
async fn the_plan_is_made_once_the_stack_is_free() {
    let (host, fleet) = one(held(0, 1));
    let ran = ran("deploy emilia --yes --lock-wait 1m", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    insta::assert_snapshot!(redacted(ran.out.lines().next().unwrap()), @"emilia/opq    0.0s  waiting for deploy 070707070707 of ana");
    let seen = host.seen();
    assert_eq!((seen.plans.len(), seen.deploys.len()), (1, 1));
}

#[tokio::test]
async fn a_deploy_that_slips_in_between_is_waited_for_and_planned_behind() {
    let (host, fleet) = one(held(1, 0));
    let ran = ran("deploy emilia --yes --lock-wait 1m", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    let seen = host.seen();
    assert_eq!((seen.plans.len(), seen.deploys.len()), (2, 2));
    assert_eq!(seen.deploys[0].deploy, seen.deploys[1].deploy);
}

#[tokio::test]
async fn what_was_agreed_to_is_not_done_when_it_has_become_something_else() {
    let (host, fleet) = one(Script {
        next_plan: Some(plan_of(Action::Recreate)),
        ..held(1, 0)
    });
    let capture = Capture::new("y\n");
    let look = Look {
        in_tty: true,
        err_tty: true,
        ..Look::default()
    };
    let context = context(&capture, look, &fleet);
    let ran = run_in("deploy emilia --lock-wait 1m", &context, &capture).await;
    assert_eq!(ran.exit, Exit::Failed);
    assert!(
        ran.err
            .contains("what was agreed to is not what would happen now"),
        "{}",
        ran.err
    );
    assert_eq!(host.seen().deploys.len(), 1);
}

#[tokio::test]
async fn a_stack_that_stays_held_ends_the_wait_with_5() {
    let (host, fleet) = one(Script {
        hold_after: Some(1),
        ..held(0, 9)
    });
    let ran = ran("deploy emilia --yes --lock-wait 1s", &fleet).await;
    assert_eq!(ran.exit, Exit::Busy);
    assert!(
        ran.err.contains("still holds stack opq after 1 s"),
        "{}",
        ran.err
    );
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn the_time_to_confirm_is_sent_and_how_to_is_shown() {
    let mut events = script_of_success();
    events.insert(4, event(5, EventKind::ConfirmWanted { seconds: 90 }));
    let operator = "bo".parse().unwrap();
    events.insert(5, event(6, EventKind::Confirmed { operator }));
    for (seq, event) in (1..).zip(&mut events) {
        event.seq = seq;
    }
    let (host, fleet) = one(Script {
        events,
        ..Script::of("emilia")
    });
    let ran = ran("deploy emilia --yes --confirm-within 90s", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    assert_eq!(host.seen().deploys[0].confirm_within, 90);
    for line in [
        "goes back in 1m30s unless it is confirmed: controller confirm emilia/opq",
        "confirmed by bo",
    ] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
}

#[tokio::test]
async fn confirm_keeps_the_newest_deploy_of_each_place() {
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran("confirm emilia", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    assert_eq!(ran.out, "emilia/opq  deploy 070707070707 is kept\n");
    assert_eq!(host.seen().confirms[0].stack, "opq");
}
