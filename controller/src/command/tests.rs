//! Whole commands against scripted agents: deploys here, the other verbs in `other`.

mod adopting;
mod audit;
mod back;
mod doctor;
mod hooks;
mod other;
mod part;
mod saved;
mod upgrade;
mod waiting;

use std::ffi::OsString;
use std::time::Duration;

use proto::event::{EventKind, Outcome, State};
use proto::plan::Action;

use super::*;
use crate::cli::{Cli, HostVerb, Verb};
use crate::fake::{FakeFleet, FakeHost, Script, plan_of, script_of_success};
use crate::terminal::Look;
use crate::terminal::capture::Capture;

struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

const QUICK: Patience = Patience {
    total: Duration::from_millis(200),
    first: Duration::from_millis(2),
    most: Duration::from_millis(20),
};

fn context(capture: &Capture, look: Look, fleet: &Arc<FakeFleet>) -> Context {
    let fleet: Arc<dyn Fleet> = Arc::<FakeFleet>::clone(fleet);
    Context {
        terminal: capture.terminal(look),
        fleet,
        leave: Leave::new(),
        now_nanos: 1_772_366_400_000_000_000,
        patience: QUICK,
    }
}

async fn run_in(words: &str, context: &Context, capture: &Capture) -> Ran {
    let words = std::iter::once("controller").chain(words.split_whitespace());
    let verb = match Cli::read(words.map(OsString::from)).unwrap().verb {
        Verb::Plan(args) => FleetVerb::Plan(args),
        Verb::Deploy(args) => FleetVerb::Deploy(args),
        Verb::Attach(args) => FleetVerb::Attach(args),
        Verb::Cancel(args) => FleetVerb::Cancel(args),
        Verb::Confirm(args) => FleetVerb::Confirm(args),
        Verb::Rollback(args) => FleetVerb::Rollback(args),
        Verb::History(args) => FleetVerb::History(args),
        Verb::Audit(args) => FleetVerb::Audit(args),
        Verb::Status(args) => FleetVerb::Status(args),
        Verb::Doctor(args) => FleetVerb::Doctor(args),
        Verb::Logs(args) => FleetVerb::Logs(args),
        Verb::Down(args) => FleetVerb::Down(args),
        Verb::Host(HostVerb::Upgrade(args)) => FleetVerb::Upgrade(args),
        other => panic!("{other:?} needs no fleet"),
    };
    let exit = tokio::time::timeout(Duration::from_secs(20), run(verb, context)).await;
    Ran {
        exit: exit.expect("it hangs"),
        out: capture.out(),
        err: capture.err(),
    }
}

async fn ran(words: &str, fleet: &Arc<FakeFleet>) -> Ran {
    let capture = Capture::new("");
    run_in(words, &context(&capture, Look::default(), fleet), &capture).await
}

fn one(script: Script) -> (Arc<FakeHost>, Arc<FakeFleet>) {
    let host = FakeHost::start(script);
    let fleet = FakeFleet::new(vec![("emilia", Arc::clone(&host))]);
    (host, fleet)
}

/// Ids are made by chance and must not show in a snapshot.
fn redacted(text: &str) -> String {
    let digits = |word: &str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let word = |word: &str| {
        if digits(word) {
            "[deploy]".to_owned()
        } else {
            word.to_owned()
        }
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_deploy_shows_its_plan_runs_and_ends_with_0() {
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran("deploy emilia --yes --remove-orphans", &fleet).await;
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    insta::assert_snapshot!(redacted(&ran.out), @r"
    emilia/opq  in /srv/opq, nothing deployed by longshore yet
      + create    web
      ! warning: ship of [stacks.opq]: *.cfg matches no file
      1 to create

    emilia/opq    0.0s  submitted as deploy [deploy]
    emilia/opq    0.0s  received from ana
    emilia/opq    1.0s  images ready
    emilia/opq    2.0s  applying
    emilia/opq    3.0s  web opq-web-1: running, healthy, ready
    emilia/opq    4.0s  committed
    emilia/opq    5.0s  succeeded, revision abababababab
    ✓ emilia/opq  committed, revision abababababab in 5.0s
    ");
    let seen = host.seen();
    let [deploy] = seen.deploys.as_slice() else {
        panic!("{seen:?}")
    };
    assert!(deploy.remove_orphans);
    assert_eq!(deploy.auths[0].registry, "docker.io");
    assert_eq!(seen.plans[0].auths, deploy.auths);
    assert_eq!(seen.watches[0].deploy, deploy.deploy);
}

#[tokio::test]
async fn nothing_to_change_is_said_and_done() {
    let (host, fleet) = one(Script {
        plan: Ok(plan_of(Action::Keep)),
        ..Script::of("emilia")
    });
    let ran = ran("deploy emilia", &fleet).await;
    assert_eq!(ran.exit, Exit::Done);
    assert!(
        ran.out.ends_with("✓ emilia/opq  nothing to change\n"),
        "{}",
        ran.out
    );
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn a_pipe_is_never_asked() {
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran("deploy emilia", &fleet).await;
    assert_eq!(ran.exit, Exit::Usage);
    insta::assert_snapshot!(ran.err, @r"
    error: there is no terminal to ask on: Deploy to emilia/opq?
    hint: pass --yes to answer it
    ");
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn no_means_no() {
    let (host, fleet) = one(Script::of("emilia"));
    let capture = Capture::new("n\n");
    let look = Look {
        in_tty: true,
        err_tty: true,
        ..Look::default()
    };
    let ran = run_in("deploy emilia", &context(&capture, look, &fleet), &capture).await;
    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(ran.err, "Deploy to emilia/opq? [y/N] nothing was changed\n");
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn a_dead_host_holds_up_no_other() {
    let (good, dead) = (
        FakeHost::start(Script::of("emilia")),
        FakeHost::start(Script::of("konane")),
    );
    dead.kill();
    let fleet = FakeFleet::new(vec![("konane", dead), ("emilia", Arc::clone(&good))]);
    let ran = ran("deploy all --yes", &fleet).await;
    assert_eq!(ran.exit, Exit::Partial);
    assert_eq!(ran.err, "error: no route to the host, on konane\n");
    assert_eq!(good.seen().deploys.len(), 1);
    let end: Vec<&str> = ran.out.lines().rev().take(3).collect();
    assert_eq!(
        end,
        [
            "2 in all: 1 failed, 1 committed",
            "✓ emilia/opq  committed, revision abababababab in 5.0s",
            "✗ konane/opq  failed: no route to the host",
        ]
    );
}

#[tokio::test]
async fn when_every_host_is_dead_the_code_says_so() {
    let dead = || {
        let host = FakeHost::start(Script::of("any"));
        host.kill();
        host
    };
    let fleet = FakeFleet::new(vec![("emilia", dead()), ("konane", dead())]);
    for verb in [
        "deploy all --yes",
        "plan all",
        "status",
        "logs all",
        "down all --yes",
        "attach all",
        "cancel all",
        "rollback all --yes",
        "history all",
    ] {
        assert_eq!(ran(verb, &fleet).await.exit, Exit::Unreachable, "{verb}");
    }
}

#[tokio::test]
async fn a_rolled_back_deploy_ends_with_3_and_tells_why() {
    let mut events = script_of_success();
    events.truncate(3);
    let fault =
        Fault::new(FaultKind::Failed, "web did not become healthy").hint("look at its logs");
    let finished = EventKind::Finished {
        outcome: Outcome::TimedOut,
        state: State::RolledBack,
        revision: None,
        fault: Some(fault),
    };
    events.push(crate::fake::event(4, finished));
    let (_host, fleet) = one(Script {
        events,
        ..Script::of("emilia")
    });
    let ran = ran("deploy emilia -y", &fleet).await;
    assert_eq!(ran.exit, Exit::RolledBack);
    assert_eq!(
        ran.err,
        "error: web did not become healthy, on emilia\nhint: look at its logs\n"
    );
}

#[tokio::test]
async fn ctrl_c_leaves_the_deploy_running_and_says_how_to_come_back() {
    let (host, fleet) = one(Script {
        hold_after: Some(3),
        ..Script::of("emilia")
    });
    let capture = Capture::new("");
    let context = context(&capture, Look::default(), &fleet);
    let (ran, ()) = tokio::join!(run_in("deploy emilia --yes", &context, &capture), async {
        host.state.held.notified().await;
        context.leave.press();
    });
    assert_eq!(ran.exit, Exit::Left);
    insta::assert_snapshot!(ran.err, @r"
    the deploy goes on without this command
      follow it:  controller attach emilia/opq
      cancel it:  controller cancel emilia/opq
    ");
    assert!(
        ran.out.contains("! emilia/opq  left running"),
        "{}",
        ran.out
    );
    assert!(host.seen().cancels.is_empty());
}

#[tokio::test]
async fn ctrl_c_before_anything_was_submitted_changes_nothing() {
    let (host, fleet) = one(Script::of("emilia"));
    let capture = Capture::new("");
    let context = context(&capture, Look::default(), &fleet);
    context.leave.press();
    let ran = run_in("deploy emilia --yes", &context, &capture).await;
    assert_eq!(
        (ran.exit, ran.err.as_str()),
        (Exit::Left, "left; nothing was changed\n")
    );
    assert!(host.seen().deploys.is_empty());
}

#[tokio::test]
async fn a_second_ctrl_c_leaves_at_once_and_says_what_is_not_known() {
    let (host, fleet) = one(Script {
        lose_answers: usize::MAX,
        ..Script::of("emilia")
    });
    let capture = Capture::new("");
    let context = context(&capture, Look::default(), &fleet);
    let (ran, ()) = tokio::join!(run_in("deploy emilia --yes", &context, &capture), async {
        while host.seen().deploys.is_empty() {
            tokio::task::yield_now().await;
        }
        context.leave.press();
        context.leave.press();
    });
    assert_eq!(ran.exit, Exit::Left);
    insta::assert_snapshot!(ran.err, @r"
    left before the answer: the deploy may run or may not have begun
      follow it:  controller attach emilia/opq
      cancel it:  controller cancel emilia/opq
    ");
}

#[tokio::test]
async fn a_detached_deploy_ends_with_0_and_says_how_to_come_back() {
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran("deploy emilia -y -d", &fleet).await;
    assert_eq!(ran.exit, Exit::Done);
    assert!(
        ran.err.contains("controller attach emilia/opq"),
        "{}",
        ran.err
    );
    assert!(host.seen().watches.is_empty());
}

#[tokio::test]
async fn a_deploy_that_takes_too_long_is_left_with_a_word() {
    let (_host, fleet) = one(Script {
        hold_after: Some(3),
        ..Script::of("emilia")
    });
    let ran = ran("deploy emilia -y --timeout 1", &fleet).await;
    assert_eq!(ran.exit, Exit::Failed);
    insta::assert_snapshot!(ran.err, @r"
    error: not judged within 1 s; the deploy goes on, on emilia
    hint: controller attach emilia/opq follows it
    hint: controller cancel emilia/opq stops it
    ");
}

#[tokio::test]
async fn a_link_cut_while_following_is_told_and_healed() {
    let (host, fleet) = one(Script {
        hold_after: Some(2),
        ..Script::of("emilia")
    });
    let capture = Capture::new("");
    let context = context(&capture, Look::default(), &fleet);
    let (ran, ()) = tokio::join!(run_in("attach emilia", &context, &capture), async {
        host.state.held.notified().await;
        host.cut();
    });
    assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""));
    assert_eq!(ran.out.matches("images ready").count(), 1, "{}", ran.out);
    assert!(ran.out.contains("link lost, trying again"), "{}", ran.out);
    assert!(
        ran.out.contains("link restored, nothing was missed"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn an_invalid_stack_stops_before_any_host_is_asked() {
    let (host, fleet) = one(Script::of("emilia"));
    let ran = ran("deploy emilia -y --env BROKEN", &fleet).await;
    assert_eq!(ran.exit, Exit::Invalid);
    assert!(host.seen().plans.is_empty());
}

#[tokio::test]
async fn a_busy_stack_ends_with_5() {
    let (_host, fleet) = one(Script {
        plan: Err(Fault::new(
            FaultKind::Busy,
            "deploy 0123 by ana holds the stack",
        )),
        ..Script::of("emilia")
    });
    assert_eq!(ran("deploy emilia -y", &fleet).await.exit, Exit::Busy);
}

#[tokio::test]
async fn credentials_are_asked_for_once_for_all_hosts() {
    let hosts = ["a", "b", "c"].map(|name| (name, FakeHost::start(Script::of(name))));
    let fleet = FakeFleet::new(hosts.into());
    assert_eq!(ran("deploy all -y", &fleet).await.exit, Exit::Done);
    assert_eq!(*fleet.asked_auths.lock().unwrap(), 1);
}

#[tokio::test]
async fn json_lines_carry_the_whole_deploy_and_nothing_else() {
    let (_host, fleet) = one(Script::of("emilia"));
    let ran = ran("deploy emilia -y -o jsonl", &fleet).await;
    let events: Vec<crate::event::FleetEvent> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert_eq!(ran.exit, Exit::Done);
    assert_eq!(events.len(), 3 + script_of_success().len());
}
