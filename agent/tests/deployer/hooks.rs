//! Commands before and after a deploy: what they may stop, what is kept of them, and that nothing of them stays.

use std::time::Duration;

use agent::audit::Caller;
use agent::deployer::Submission;
use agent::engine::scripted::{Answer, Method, Trouble};
use agent::journal::Watcher;
use proto::event::{EventKind, Outcome, State};
use proto::fault::FaultKind;
use proto::hook::{Gate, Hook, Names, Save, SavePlace, Saved, TIMEOUT_SECONDS, When};
use serde_json::json;
use tokio::time::Instant;

use crate::bundle::{Bundle, blob};
use crate::world::{DB, End, World, end, ended, entered, id, name, rest, submission, until};

pub(crate) fn hook(when: When, service: &str, program: &str) -> Hook {
    Hook {
        when,
        service: service.parse().unwrap(),
        run: vec![program.to_owned(), "exampleP@$$W0RD".to_owned()],
        one_off: false,
        timeout_seconds: TIMEOUT_SECONDS,
        gate: None,
        save: None,
    }
}

pub(crate) fn saving(place: SavePlace, file: &str) -> Option<Save> {
    let file = file.parse().unwrap();
    Some(Save { place, file })
}

fn gate(at_least: i64) -> Hook {
    Hook {
        gate: Some(Gate {
            at_least: Some(at_least),
            at_most: None,
        }),
        ..hook(When::Before, "web", "idle")
    }
}

fn backup() -> Hook {
    Hook {
        save: saving(SavePlace::Workstation, "backups/{project}-{time}.sql"),
        ..hook(When::Before, "db", "pg_dump")
    }
}

/// web and db, of which web runs this image.
fn shop(web: &str) -> Bundle {
    let services = json!({ "web": { "image": web }, "db": { "image": DB } });
    Bundle::new("shop", services)
}

async fn first_version() -> World {
    let world = World::new();
    let end = world.deploy(&shop("r/web:1"), 1).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    world
}

async fn forced(world: &World, bundle: &Bundle, number: u8) -> End {
    let plan = world.plan(bundle).await.unwrap();
    let submission = Submission {
        force: true,
        ..submission(&plan, id(number))
    };
    world.deployer.deploy(submission).unwrap();
    end(&mut world.deployer.watch(&id(number), 0).unwrap()).await
}

/// How each hook of a deploy ended.
async fn outcomes(world: &World, number: u8) -> Vec<(u32, Outcome)> {
    let events = world.events(number, 0).await;
    let ends = events.into_iter().filter_map(|event| match event.kind {
        EventKind::HookFinished { hook, outcome, .. } => Some((hook, outcome)),
        _ => None,
    });
    ends.collect()
}

fn ana() -> Caller {
    "ana".parse().unwrap()
}

async fn saved(world: &World, number: u8) -> Saved {
    let events = world.events(number, 0).await;
    let mut saved = events.into_iter().filter_map(|event| match event.kind {
        EventKind::HookFinished { saved, .. } => saved.map(|saved| *saved),
        _ => None,
    });
    saved.next().unwrap()
}

fn claim_untouched(world: &World, end: &End) {
    assert_eq!(end.state, State::Failed);
    assert_eq!(end.revision, world.revision("shop"));
    assert_eq!(world.count(Method::Up), 1, "only that of the first deploy");
    assert_eq!(world.count(Method::Pull), 2, "only those of the first");
    claim_nothing_left(world);
}

fn claim_nothing_left(world: &World) {
    assert!(world.engine.running_commands().is_empty());
    let containers = world.engine.all_containers();
    assert!(!containers.iter().any(|container| container.one_off));
}

#[tokio::test(start_paused = true)]
async fn hooks_run_in_order_around_the_deploy() {
    let world = first_version().await;
    let bundle = shop("r/web:2")
        .hook(hook(When::Before, "db", "first"))
        .hook(hook(When::Before, "web", "second"))
        .hook(hook(When::After, "web", "third"))
        .hook(hook(When::After, "db", "fourth"));
    let end = world.deploy(&bundle, 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    let argv = ["first", "second", "third", "fourth"].map(|it| format!("{it} exampleP@$$W0RD"));
    assert_eq!(world.engine.calls_of(Method::RunExec), argv);
    let kinds: Vec<EventKind> = world
        .events(2, 0)
        .await
        .into_iter()
        .map(|it| it.kind)
        .collect();
    let at = |wanted: &dyn Fn(&EventKind) -> bool| kinds.iter().position(wanted).unwrap();
    let begun = |index| move |kind: &EventKind| matches!(kind, EventKind::HookStarted { hook, .. } if *hook == index);
    assert!(at(&entered(State::Hooks)) < at(&begun(0)));
    assert!(at(&begun(1)) < at(&entered(State::Pulled)));
    assert!(at(&entered(State::Committed)) < at(&begun(2)));
    let plan = world.plan(&bundle).await.unwrap();
    assert!(!plan.has_changes());
    assert_eq!(plan.hooks.len(), 4);
    assert_eq!(plan.hooks[0].command, "first \"exampleP@$$W0RD\"");
}

#[tokio::test(start_paused = true)]
async fn other_hooks_are_no_change_of_a_stack() {
    let world = first_version().await;
    let bundle = shop("r/web:1").hook(hook(When::Before, "db", "x"));
    assert!(!world.plan(&bundle).await.unwrap().has_changes());
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_ends_a_deploy_that_has_changed_nothing() {
    let world = first_version().await;
    world.engine.answer("bad", Answer::fails(3, "no disk\n"));
    let bundle = shop("r/web:2").hook(hook(When::Before, "db", "bad"));
    let end = world.deploy(&bundle, 2).await;
    claim_untouched(&world, &end);
    let fault = end.fault.unwrap();
    assert_eq!(
        fault.what,
        "the hook before the deploy in db failed: exit code 3"
    );
    assert_eq!(fault.output, ["no disk"]);
    assert_eq!(outcomes(&world, 2).await, [(0, Outcome::Failed)]);
}

#[tokio::test(start_paused = true)]
async fn a_gate_refuses_by_its_last_number_and_force_passes_it() {
    let world = first_version().await;
    world
        .engine
        .answer("idle", Answer::prints("2026-11-21 last use 899.5\n"));
    let bundle = shop("r/web:2").hook(gate(900));
    let end = world.deploy(&bundle, 2).await;
    claim_untouched(&world, &end);
    let fault = end.fault.unwrap();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert_eq!(
        fault.what,
        "the gate in web refuses the deploy: it printed 899.5, and 900 is the least"
    );
    assert!(fault.hints.iter().any(|hint| hint.contains("--force")));

    let end = forced(&world, &bundle, 3).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    let warned =
        world.events(3, 0).await.into_iter().any(
            |event| matches!(event.kind, EventKind::Warning { text } if text.contains("refuses")),
        );
    assert!(warned);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_is_content_lets_the_deploy_through() {
    let world = first_version().await;
    world.engine.answer("idle", Answer::prints("900"));
    let end = world.deploy(&shop("r/web:2").hook(gate(900)), 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn force_passes_a_gate_and_no_failing_backup() {
    let world = first_version().await;
    world.engine.answer("pg_dump", Answer::fails(1, "gone\n"));
    let bundle = shop("r/web:2").hook(gate(900)).hook(backup());
    let end = forced(&world, &bundle, 2).await;
    claim_untouched(&world, &end);
    assert_eq!(
        outcomes(&world, 2).await,
        [(0, Outcome::Failed), (1, Outcome::Failed)]
    );
    let left = std::fs::read_dir(world.path("deploys").join(id(2).to_string()));
    let names: Vec<_> = left.unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(
        !names
            .iter()
            .any(|it| it.to_string_lossy().contains("saved"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_kept_as_it_came_and_is_no_event() {
    let world = first_version().await;
    let dump = Answer {
        out: b"\x00\xffdump\n".to_vec(),
        err: b"dumping\n".to_vec(),
        code: 0,
    };
    world.engine.answer("pg_dump", dump.clone());
    let end = world.deploy(&shop("r/web:2").hook(backup()), 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    let saved = saved(&world, 2).await;
    assert_eq!(saved.size, dump.out.len() as u64);
    let Names {
        project,
        time,
        image,
        revision,
    } = saved.names;
    assert_eq!((project.as_str(), time.len()), ("shop", 16));
    assert_eq!((image.len(), revision.len()), (12, 12));
    let mut file = world.deployer.saved(&id(2), 0, &ana()).unwrap();
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut content).unwrap();
    assert_eq!(content, dump.out);
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let lines = world.events(2, 0).await.into_iter();
    let lines = lines.filter_map(|event| match event.kind {
        EventKind::HookLine { text, .. } => Some(text),
        _ => None,
    });
    assert_eq!(lines.collect::<Vec<_>>(), ["dumping"]);
    assert!(world.deployer.saved(&id(2), 1, &ana()).is_err());
    assert!(world.deployer.saved(&id(1), 0, &ana()).is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_on_the_host_lies_where_the_stack_says() {
    let world = first_version().await;
    world.engine.answer("pg_dump", Answer::prints("dump"));
    let target = world.path("out/{project}.sql").display().to_string();
    let on_host = Hook {
        save: saving(SavePlace::Host, &target),
        ..backup()
    };
    world.deploy(&shop("r/web:2").hook(on_host), 2).await;
    let file = world.path("out/shop.sql");
    assert_eq!(
        saved(&world, 2).await.file.unwrap(),
        file.display().to_string()
    );
    assert_eq!(std::fs::read_to_string(file).unwrap(), "dump");
    assert!(world.deployer.saved(&id(2), 0, &ana()).is_err());
}

#[tokio::test(start_paused = true)]
async fn secrets_are_masked_wherever_a_hook_shows_them() {
    let world = first_version().await;
    let secret = "hunter22-and-more";
    world.engine.answer("bad", Answer::fails(1, secret));
    let mut bad = hook(When::Before, "db", "bad");
    bad.run.push(secret.to_owned());
    let bundle = shop("r/web:2").secret("KEY", secret).hook(bad);
    let plan = world.plan(&bundle).await.unwrap();
    assert!(!format!("{plan:?}").contains(secret));
    let end = world.deploy(&bundle, 2).await;
    assert!(!format!("{end:?}").contains(secret));
    assert!(!format!("{:?}", world.events(2, 0).await).contains(secret));
}

#[tokio::test(start_paused = true)]
async fn a_first_deploy_skips_what_runs_in_containers() {
    let world = World::new();
    let once = Hook {
        one_off: true,
        ..hook(When::Before, "web", "tool")
    };
    let bundle = shop("r/web:1")
        .hook(gate(900))
        .hook(backup())
        .hook(once)
        .hook(hook(When::After, "web", "tell"));
    let end = world.deploy(&bundle, 1).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    use Outcome::{Skipped, Succeeded};
    let wanted = [(0, Skipped), (1, Skipped), (2, Skipped), (3, Succeeded)];
    assert_eq!(outcomes(&world, 1).await, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_run_fails_its_hook() {
    let world = first_version().await;
    world.engine.vanish("shop-db-1");
    let end = world.deploy(&shop("r/web:2").hook(backup()), 2).await;
    claim_untouched(&world, &end);
    assert!(
        end.fault
            .unwrap()
            .what
            .ends_with("no container of service db runs")
    );
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_is_ended_at_its_deadline() {
    let world = first_version().await;
    for (number, one_off) in [(2, false), (3, true)] {
        let method = if one_off {
            Method::RunOnce
        } else {
            Method::RunExec
        };
        world.engine.trouble(method, 1, Trouble::Hang);
        let slow = Hook {
            one_off,
            timeout_seconds: 90,
            ..hook(When::Before, "web", "slow")
        };
        let began = Instant::now();
        let end = world.deploy(&shop("r/web:2").hook(slow), number).await;
        assert_eq!(end.outcome, Outcome::TimedOut, "{end:?}");
        assert_eq!(began.elapsed().as_secs(), 90);
        claim_untouched(&world, &end);
    }
}

async fn hanging(world: &World, hook: Hook, method: Method) -> Watcher {
    world.engine.trouble(method, 1, Trouble::Hang);
    let mut watcher = world.begin(&shop("r/web:2").hook(hook), 2).await;
    until(&mut watcher, |kind| {
        matches!(kind, EventKind::HookStarted { .. })
    })
    .await;
    while world.count(method) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    watcher
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_a_hook_and_the_deploy() {
    for one_off in [false, true] {
        let world = first_version().await;
        let method = if one_off {
            Method::RunOnce
        } else {
            Method::RunExec
        };
        let slow = Hook {
            one_off,
            ..hook(When::Before, "web", "slow")
        };
        let mut watcher = hanging(&world, slow, method).await;
        assert!(world.deployer.cancel(&id(2)));
        let end = ended(&rest(&mut watcher).await);
        assert_eq!(end.outcome, Outcome::Cancelled, "{end:?}");
        claim_untouched(&world, &end);
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_stopped_takes_its_hook_along() {
    let world = first_version().await;
    hanging(&world, hook(When::Before, "web", "slow"), Method::RunExec).await;
    world.deployer.shut_down().await;
    claim_nothing_left(&world);
    let end = ended(&world.events(2, 0).await);
    assert_eq!(end.outcome, Outcome::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn a_hook_after_the_deploy_that_fails_leaves_the_new_revision() {
    let world = first_version().await;
    let old = world.revision("shop");
    world.engine.answer("bad", Answer::fails(4, "no mail\n"));
    let bundle = shop("r/web:2")
        .hook(hook(When::After, "web", "bad"))
        .hook(hook(When::After, "web", "never"));
    let end = world.deploy(&bundle, 2).await;
    assert_eq!(
        (end.outcome, end.state),
        (Outcome::Failed, State::Committed)
    );
    assert_eq!(end.revision, world.revision("shop"));
    assert_ne!(end.revision, old);
    let fault = end.fault.unwrap();
    assert_eq!(
        fault.what,
        "the hook after the deploy in web failed: exit code 4"
    );
    assert!(fault.hints.iter().any(|hint| hint.contains("stays")));
    assert_eq!(world.count(Method::RunExec), 1);
    assert_eq!(world.deployer.running(&name("shop")), None);
}

#[tokio::test(start_paused = true)]
async fn a_command_of_its_own_runs_in_what_is_laid_out() {
    let world = first_version().await;
    let once = |when, program| Hook {
        one_off: true,
        ..hook(when, "web", program)
    };
    let bundle = shop("r/web:2")
        .hook(once(When::Before, "old"))
        .hook(once(When::After, "new"));
    let end = world.deploy(&bundle, 2).await;
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
    let ran = ["web old exampleP@$$W0RD", "web new exampleP@$$W0RD"];
    assert_eq!(world.engine.calls_of(Method::RunOnce), ran);
    claim_nothing_left(&world);
}

#[tokio::test(start_paused = true)]
async fn the_content_of_a_kept_output_is_proven() {
    let world = first_version().await;
    world.engine.answer("pg_dump", Answer::prints("dump"));
    world.deploy(&shop("r/web:2").hook(backup()), 2).await;
    assert_eq!(saved(&world, 2).await.blob, blob("dump"));
}
