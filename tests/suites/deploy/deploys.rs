//! What a deploy does on a host, and what it leaves alone.

use crate::world::{WEB, eventually, world};

#[test]
fn a_first_deploy_starts_what_the_stack_says_and_a_second_finds_nothing_to_change() {
    let Some(world) = world() else { return };
    let case = world.case("first");
    case.controller(&["plan", "emilia"])
        .with(2, &["create", "web"]);
    let said = case.deploy().done();
    assert!(said.contains("emilia/first"), "{said}");
    assert_eq!(case.containers(), "web org/web:1 running");
    let id = case.id("web");
    let again = case.deploy().done();
    assert!(again.contains("nothing to change"), "{again}");
    assert_eq!(case.id("web"), id);
    case.controller(&["plan", "emilia"]).done();
    assert!(case.controller(&["status"]).done().contains("first"));
}

#[test]
fn a_version_changed_in_env_is_redeployed_and_nothing_else_restarts() {
    let Some(world) = world() else { return };
    let case = world.case("version");
    let other = WEB
        .replace("services:\n", "")
        .replace("  web:", "  other:")
        .replace("${TAG}", "1");
    case.write("compose.yaml", &format!("{WEB}{other}"));
    case.deploy().done();
    let (web, other) = (case.id("web"), case.id("other"));
    case.write(".env", "TAG=2\n");
    let plan = case
        .controller(&["plan", "emilia"])
        .with(2, &["recreate", "web"]);
    assert!(plan.contains("org/web:1 -> 2"), "{plan}");
    case.deploy().done();
    assert_eq!(
        case.containers(),
        "other org/web:1 running\nweb org/web:2 running"
    );
    assert_ne!(case.id("web"), web);
    assert_eq!(case.id("other"), other);
}

#[test]
fn a_changed_mounted_file_recreates_exactly_who_mounts_it() {
    let Some(world) = world() else { return };
    let case = world.case("mounted");
    let mounting = WEB.replace(
        "    restart:",
        "    volumes: [\"./conf:/conf:ro\"]\n    restart:",
    );
    let other = WEB.replace("services:\n", "").replace("  web:", "  other:");
    case.write("compose.yaml", &format!("{mounting}{other}"));
    case.write("conf/a.txt", "one");
    case.deploy().done();
    let (web, other) = (case.id("web"), case.id("other"));
    assert_eq!(
        case.docker(&format!("exec {web} /fixture cat /conf/a.txt")),
        "one"
    );
    case.write("conf/a.txt", "two");
    case.controller(&["plan", "emilia"])
        .with(2, &["conf/a.txt"]);
    case.deploy().done();
    let new = case.id("web");
    assert_ne!(new, web);
    assert_eq!(case.id("other"), other);
    assert_eq!(
        case.docker(&format!("exec {new} /fixture cat /conf/a.txt")),
        "two"
    );
}

#[test]
fn a_json_value_from_a_file_arrives_unharmed_and_stays_out_of_every_output() {
    let Some(world) = world() else { return };
    let case = world.case("json");
    let value = "{\"uri\": \"mongodb://a:canary77@mongo\", \"cost\": \"$5 '\\\"\"}";
    case.fleet("SETTINGS = { file = \"settings.json\" }\n");
    std::fs::write(case.folder.path().join("settings.json"), value).unwrap();
    case.write(
        "compose.yaml",
        &WEB.replace("FIXTURE_SHOW: NOTHING", "SETTINGS: \"${SETTINGS}\""),
    );
    let said = case.controller(&["deploy", "emilia", "--yes", "-o", "jsonl"]);
    assert!(!format!("{said:?}").contains("canary77"));
    said.done();
    let web = case.id("web");
    assert_eq!(
        case.docker(&format!("exec {web} /fixture env SETTINGS")),
        value
    );
    let found = world
        .emilia
        .sh("grep -rl canary77 /var/lib/longshore/deploys || true")
        .unwrap();
    assert_eq!(found, "");
}

#[test]
fn a_first_deploy_that_is_never_healthy_fails_and_leaves_nothing_behind() {
    let Some(world) = world() else { return };
    let case = world.case("never");
    case.write(
        "compose.yaml",
        &WEB.replace("FIXTURE_SHOW: NOTHING", "FIXTURE_NEVER_HEALTHY: \"1\""),
    );
    case.deploy().with(
        1,
        &["web did not become healthy", "removed again", "healthcheck"],
    );
    assert_eq!(case.containers(), "");
    // The same stack, mended, goes through.
    case.write("compose.yaml", WEB);
    case.deploy().done();
}

#[test]
fn a_crash_loop_is_told_with_its_last_lines() {
    let Some(world) = world() else { return };
    let case = world.case("crash");
    let crash = "services:\n  web:\n    image: ${REGISTRY}/org/web:1\n    restart: always\n    \
                 environment: { FIXTURE_EXIT_AFTER_MS: \"50\", FIXTURE_EXIT_CODE: \"7\" }\n";
    case.write("compose.yaml", crash);
    case.deploy().with(
        1,
        &[
            "service web did not start",
            "exit code was 7",
            "crash-web-1 |",
        ],
    );
}

#[test]
fn a_one_shot_that_exits_zero_is_good_and_one_that_exits_one_is_not() {
    let Some(world) = world() else { return };
    let case = world.case("oneshot");
    let one_shot = |code: u8| {
        format!(
            "{WEB}  job:\n    image: ${{REGISTRY}}/org/web:1\n    entrypoint: [/fixture, exit, \"{code}\"]\n"
        )
    };
    case.write("compose.yaml", &one_shot(0));
    case.deploy().done();
    assert!(case.deploy().done().contains("nothing to change"));
    case.write("compose.yaml", &one_shot(1));
    case.deploy().with(3, &["job", "exited with code 1"]);
}

#[test]
fn an_orphan_goes_only_when_asked_for() {
    let Some(world) = world() else { return };
    let case = world.case("orphan");
    let old = WEB.replace("services:\n", "").replace("  web:", "  old:");
    case.write("compose.yaml", &format!("{WEB}{old}"));
    case.deploy().done();
    case.write("compose.yaml", WEB);
    case.deploy().done();
    assert_eq!(case.containers().lines().count(), 2);
    let plan = case
        .controller(&["plan", "emilia", "--remove-orphans"])
        .with(2, &["orphan-old-1"]);
    assert!(plan.contains("remove"), "{plan}");
    case.controller(&["deploy", "emilia", "--yes", "--remove-orphans"])
        .done();
    assert_eq!(case.containers(), "web org/web:1 running");
}

#[test]
fn down_removes_containers_and_keeps_volumes_unless_asked() {
    let Some(world) = world() else { return };
    let case = world.case("downed");
    let volume = WEB.replace(
        "    restart:",
        "    volumes: [\"data:/data\"]\n    restart:",
    );
    case.write("compose.yaml", &format!("{volume}volumes:\n  data:\n"));
    case.deploy().done();
    case.controller(&["down", "emilia", "--yes"]).done();
    assert_eq!(case.containers(), "");
    assert_eq!(
        case.docker("volume ls -q --filter name=downed_data"),
        "downed_data"
    );
    case.deploy().done();
    case.controller(&["down", "emilia", "--yes", "--volumes"])
        .done();
    assert_eq!(case.docker("volume ls -q --filter name=downed_data"), "");
}

#[test]
fn logs_show_lines_by_service_and_make_control_sequences_harmless() {
    let Some(world) = world() else { return };
    let case = world.case("logging");
    case.write(
        "compose.yaml",
        &WEB.replace(
            "FIXTURE_SHOW: NOTHING",
            "FIXTURE_LOG_LINES: \"5\", FIXTURE_LOG_CONTROL: \"1\"",
        ),
    );
    case.deploy().done();
    eventually("the lines are there", || {
        case.docker("logs logging-web-1 | wc -l")
            .parse::<u32>()
            .unwrap()
            >= 5
    });
    let text = case.controller(&["logs", "emilia"]).done();
    assert!(text.contains("web-1 | line 00000005"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert_eq!(
        case.controller(&["logs", "emilia", "-n", "2"])
            .done()
            .lines()
            .count(),
        2
    );
    for line in case
        .controller(&["logs", "emilia", "-o", "jsonl"])
        .done()
        .lines()
    {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}
