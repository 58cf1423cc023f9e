//! What fails goes back by itself, what was good can be had again, and an agent that is killed forgets nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use tests::lab::Image;

use crate::alone::Alone;
use crate::world::{Case, WEB, command, eventually, world};

/// The revision that a command says it has committed.
fn committed(said: &str) -> String {
    let (_, after) = said.rsplit_once("committed, revision ").expect(said);
    after.split(' ').next().unwrap_or_default().to_owned()
}

/// Every entry of the stack's history, the newest first.
fn history(case: &Case<'_>, host: &str) -> Vec<serde_json::Value> {
    let place = format!("{host}/{}", case.stack);
    let lines = case.controller(&["history", &place, "-o", "jsonl"]).done();
    let entry = |line: &str| serde_json::from_str(line).expect(line);
    lines.lines().map(entry).collect()
}

#[test]
fn a_version_that_is_never_healthy_is_taken_back_by_itself() {
    let Some(world) = world() else { return };
    let case = world.case("sick");
    let first = committed(&case.deploy().done());
    case.write(".env", "TAG=2\n");
    let sick = "FIXTURE_NEVER_HEALTHY: \"1\", FIXTURE_LOG_LINES: \"3\"";
    case.write("compose.yaml", &WEB.replace("FIXTURE_SHOW: NOTHING", sick));
    case.deploy().with(
        3,
        &[
            "web did not become healthy",
            "line 00000003",
            &format!("is back at revision {first}"),
        ],
    );
    assert_eq!(case.containers(), "web org/web:1 running");
    let health = case.docker("inspect --format {{.State.Health.Status}} sick-web-1");
    assert_eq!(health, "healthy");
    let status = case.controller(&["status", "emilia"]).done();
    assert!(status.contains(&format!("revision {first}")), "{status}");
    let [failed, good] = &history(&case, "emilia")[..] else {
        panic!("two deploys")
    };
    assert_eq!(failed["state"], "rolled_back");
    assert_eq!(failed["revision"], good["revision"]);
    assert_eq!(failed["changes"][0], "web: image 1 -> 2");
}

#[test]
fn a_rollback_needs_neither_the_registry_nor_the_stacks_folder() {
    let Some(world) = world() else { return };
    let case = world.case("again");
    let registry = world.lab.registry().unwrap();
    for version in ["1", "2"] {
        let image = Image::fixture("web", version).unwrap();
        image
            .push(&registry, &format!("org/web:{version}"))
            .unwrap();
    }
    let mounting = "    volumes: [\"./conf:/conf:ro\"]\n    restart:";
    let compose = WEB.replace("${REGISTRY}", &registry.address().to_string());
    case.write("compose.yaml", &compose.replace("    restart:", mounting));
    case.write("conf/a.txt", "one");
    let first = committed(&case.deploy().done());
    case.write("conf/a.txt", "two");
    case.write(".env", "TAG=2\n");
    let second = committed(&case.deploy().done());
    registry.stop();
    fs::rename(case.path(""), case.folder.path().join("elsewhere")).unwrap();

    case.controller(&["rollback", "emilia"])
        .with(64, &["--yes", &first]);
    let said = case.controller(&["rollback", "emilia", "--yes"]).done();
    assert!(said.contains(&second), "{said}");
    assert_eq!(committed(&said), first);
    let web = case.id("web");
    let conf = case.docker(&format!("exec {web} /fixture cat /conf/a.txt"));
    assert_eq!(conf, "one");
    let image = case.docker("inspect --format {{.Config.Image}} again-web-1");
    assert_eq!(image, registry.image("org/web:1"));

    let told = history(&case, "emilia");
    let deeds: Vec<&str> = told.iter().filter_map(|it| it["deed"].as_str()).collect();
    assert_eq!(deeds, ["rollback", "deploy", "deploy"]);
    let current: Vec<bool> = told
        .iter()
        .filter_map(|it| it["current"].as_bool())
        .collect();
    assert_eq!(current, [true, false, true]);
    assert!(told.iter().all(|it| it["kept"] == true));

    let there = second.get(..6).unwrap();
    let said = case.controller(&["rollback", "emilia/again", "--to", there, "-y"]);
    assert_eq!(committed(&said.done()), second);
    // The current one is brought once more: it may not be what runs any more.
    let said = case.controller(&["rollback", "emilia/again", "--to", there, "-y"]);
    assert_eq!(committed(&said.done()), second);
    case.controller(&["rollback", "emilia/again/web", "-y"])
        .with(64, &["whole stacks"]);
}

#[test]
fn a_first_deploy_that_fails_keeps_its_volumes_alone() {
    let Some(world) = world() else { return };
    let case = world.case("firstsick");
    let sick = WEB
        .replace("FIXTURE_SHOW: NOTHING", "FIXTURE_NEVER_HEALTHY: \"1\"")
        .replace(
            "    restart:",
            "    volumes: [\"data:/data\"]\n    restart:",
        );
    case.write("compose.yaml", &format!("{sick}volumes:\n  data:\n"));
    case.deploy().with(1, &["web did not become healthy"]);
    assert_eq!(case.containers(), "");
    let volume = case.docker("volume ls -q --filter name=firstsick_data");
    assert_eq!(volume, "firstsick_data");
    case.controller(&["rollback", "emilia", "-y"])
        .with(1, &["no earlier revision"]);
}

/// The old image has lost its name to the new one, and no container runs it: a clean-up takes what is like that.
#[test]
fn a_clean_up_on_the_host_takes_nothing_that_a_rollback_needs() {
    let Some(world) = world() else { return };
    let alone = Alone::new(world, "pruned");
    let push = |version: &str| {
        let image = Image::fixture("web", version).unwrap();
        image.push(&world.registry, "org/moving:1").unwrap();
    };
    push("5");
    alone
        .case
        .write("compose.yaml", &WEB.replace("web:${TAG}", "moving:1"));
    alone.deploy().done();
    let before = alone
        .host
        .sh("docker inspect --format {{.Image}} pruned-web-1");
    push("6");
    alone.deploy().done();
    let newer = alone
        .host
        .sh("docker inspect --format {{.Image}} pruned-web-1");
    let sick = "FIXTURE_NEVER_HEALTHY: \"1\"";
    let sick = WEB.replace("FIXTURE_SHOW: NOTHING", sick);
    alone
        .case
        .write("compose.yaml", &sick.replace("${TAG}", "2"));
    alone.deploy().with(3, &["did not become healthy"]);
    eventually("what failed is not kept, and three revisions are", || {
        let kept = "docker images -q longshore.local/keep | wc -l";
        alone.host.sh(kept).unwrap().trim() == "3"
    });
    alone.host.sh("docker system prune -f").unwrap();
    let back = ["rollback", alone.name(), "--yes"];
    alone.case.controller(&back).done();
    let after = alone
        .host
        .sh("docker inspect --format {{.Image}} pruned-web-1");
    assert_eq!(after.unwrap(), before.unwrap());

    // Nothing but a container holds an image against this one; the registry still has it under its digest.
    alone.host.sh("docker system prune -af").unwrap();
    let said = alone.case.controller(&back).done();
    assert!(said.contains("it is fetched again as sha256:"), "{said:?}");
    let after = alone
        .host
        .sh("docker inspect --format {{.Image}} pruned-web-1");
    assert_eq!(after.unwrap(), newer.unwrap());
}

/// Two services, the second of which waits for the first; both take their time.
fn slow(case: &Case<'_>) {
    let slow = WEB
        .replace(
            "FIXTURE_SHOW: NOTHING",
            "FIXTURE_HEALTHY_AFTER_MS: \"4000\"",
        )
        .replace("retries: 3", "retries: 30");
    let db = slow.replace("services:\n", "").replace("  web:", "  db:");
    let waiting = "    depends_on: { db: { condition: service_healthy } }\n    restart:";
    let web = slow.replace("    restart:", waiting);
    case.write("compose.yaml", &format!("{web}{db}"));
    case.write(".env", "TAG=2\n");
}

/// A deploy that is followed until it says `word`, and goes on being followed.
fn until_it_says(alone: &Alone<'_>, word: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let words = ["deploy", alone.name(), "--yes"];
    let mut child = command(alone.case.folder.path(), &alone.case.home(), &words)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap);
    let seen = lines.by_ref().any(|line| line.contains(word));
    assert!(seen, "it ended before it said {word:?}");
    (child, lines)
}

/// One container of each service, of the new version, and nothing else that has to do with them.
#[track_caller]
fn claim_whole(alone: &Alone<'_>) {
    let format = "{{.Label \"com.docker.compose.service\"}} {{.Names}}";
    let all = format!("docker ps -a --format '{format}' | sort");
    let name = alone.name();
    let wanted = format!("db {name}-db-1\nweb {name}-web-1\n");
    assert_eq!(alone.host.sh(&all).unwrap(), wanted);
    let images = alone.host.sh("docker ps --format {{.Image}} | sort -u");
    let images = images.unwrap();
    assert!(images.trim().ends_with("/org/web:2"), "{images}");
    assert!(!images.trim().contains('\n'), "{images}");
    let compose = alone.host.sh("pgrep -x docker-compose || true").unwrap();
    assert_eq!(compose, "", "a Compose is left");
    let place = format!("{name}/{name}");
    let attach = ["attach", &place, "-o", "jsonl"];
    let told = alone.case.controller(&attach).done();
    let events = told.lines().map(|line| serde_json::from_str(line).unwrap());
    let seen: Vec<u64> = events
        .filter_map(|event: serde_json::Value| event["agent"]["seq"].as_u64())
        .filter(|seq| *seq > 0)
        .collect();
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
    assert!(told.contains("\"state\":\"applying\""), "{told}");
    assert!(told.contains("the agent was restarted"), "{told}");
    let last = told.lines().rfind(|line| line.contains("\"agent\""));
    assert!(last.unwrap_or_default().contains("succeeded"), "{told}");
}

/// Kills the agent once `ready`, starts another, and sees the deploy end well.
fn killed(alone: &mut Alone<'_>, word: &str, ready: impl Fn(&Alone<'_>) -> bool) {
    let (mut child, rest) = until_it_says(alone, word);
    eventually("the deploy is where it is to be killed", || ready(alone));
    alone.kill_agent();
    alone.start_agent();
    let unpause = "docker ps -q --filter status=paused | xargs -r docker unpause";
    alone.host.sh(unpause).unwrap();
    let rest: Vec<String> = rest.collect();
    let code = child.wait().unwrap().code();
    let said = rest.join("\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("link restored"), "{said}");
    claim_whole(alone);
}

#[test]
fn an_agent_killed_while_compose_runs_is_followed_by_one_that_goes_on() {
    let Some(world) = world() else { return };
    let mut alone = Alone::new(world, "killapply");
    slow(&alone.case);
    // Compose has made the first container and waits for its health.
    killed(&mut alone, "applying", |alone| {
        let made = "docker ps -q --filter name=^killapply-db-1$; pgrep -x docker-compose || true";
        alone.host.sh(made).unwrap().lines().count() == 2
    });
}

#[test]
fn an_agent_killed_while_verifying_is_followed_by_one_that_goes_on() {
    let Some(world) = world() else { return };
    let mut alone = Alone::new(world, "killverify");
    slow(&alone.case);
    // It does not become healthy before the agent is killed, however busy the machine is.
    killed(&mut alone, "verifying", |alone| {
        alone.host.sh("docker pause killverify-web-1").is_ok()
    });
    let kinds: BTreeSet<String> = history(&alone.case, alone.name())
        .iter()
        .map(|it| it["outcome"].to_string())
        .collect();
    assert_eq!(kinds, BTreeSet::from(["\"succeeded\"".to_owned()]));
}
