//! Where values come from: programs of the workstation, and what its shell sets.

use std::fs;

use crate::world::{WEB, controller, world};

#[test]
fn a_value_from_a_program_reaches_the_container_and_no_output() {
    let Some(world) = world() else { return };
    let case = world.case("program");
    // It counts its runs, and looks its secret up where the operator's environment says.
    let store = "echo ran >>runs; echo \"looking\" >&2; cat \"$STORE/db\"";
    let store = format!("{{ command = [\"sh\", \"-c\", '{store}'] }}");
    case.fleet(&format!("DB = {store}\nSAME = {store}\n"));
    case.write(
        "compose.yaml",
        &WEB.replace("FIXTURE_SHOW: NOTHING", "DB: \"${DB}\", SAME: \"${SAME}\""),
    );
    let secrets = tempfile::tempdir().unwrap();
    fs::write(secrets.path().join("db"), "s3 $canary88 '\"\n").unwrap();
    let env = [("STORE", secrets.path().to_str().unwrap())];
    // A workstation that has never seen this fleet's programs.
    let home = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp")
        .args(["-a", "--", &format!("{}/config", case.home().display())])
        .arg(home.path())
        .status();
    assert!(copied.unwrap().success());
    let runs = || fs::read_to_string(case.folder.path().join("runs")).unwrap_or_default();
    let run = |words: &[&str]| {
        let ended = controller(case.folder.path(), home.path(), words, &env);
        assert!(!format!("{ended:?}").contains("canary88"), "{ended:?}");
        ended
    };

    run(&["plan", "all"]).with(
        64,
        &["--allow-commands", "DB (fleet.toml line", "\"sh\", \"-c\""],
    );
    run(&["deploy", "all", "--yes"]).with(64, &["--allow-commands"]);
    run(&["status"]).done();
    assert_eq!((runs().as_str(), case.containers().as_str()), ("", ""));

    run(&["plan", "all", "--allow-commands", "-o", "json"]).with(2, &["\"web\""]);
    assert_eq!(runs(), "ran\n", "once for two values on two hosts");
    run(&["deploy", "emilia", "--yes", "-o", "jsonl"]).done();
    run(&["deploy", "emilia", "--yes"]).done();
    run(&["status", "-o", "json"]).done();
    assert_eq!(runs(), "ran\n".repeat(3));

    let web = case.id("web");
    for name in ["DB", "SAME"] {
        let seen = case.docker(&format!("exec {web} /fixture env {name}"));
        assert_eq!(seen, "s3 $canary88 '\"");
    }
    let kept = "grep -rlF canary88 /var/lib/longshore/deploys /etc/longshore || true";
    assert_eq!(world.emilia.sh(kept).unwrap(), "");
    let kept = case.docker(&format!("logs {web}"));
    assert!(!kept.contains("canary88"), "{kept}");
}

#[test]
fn a_program_that_fails_stops_before_any_host_is_asked_and_env_stands_in_for_it() {
    let Some(world) = world() else { return };
    let case = world.case("refusing");
    case.fleet(
        "DB = { command = [\"sh\", \"-c\", \"echo canary$((90+9)); echo locked >&2; exit 7\"] }\n",
    );
    case.write(
        "compose.yaml",
        &WEB.replace("FIXTURE_SHOW: NOTHING", "DB: \"${DB}\""),
    );
    let deploy = ["deploy", "emilia", "--yes", "--allow-commands"];
    let said = case.controller(&deploy).with(
        1,
        &["DB (fleet.toml line", "code 7", "    locked", "hint: "],
    );
    assert!(!said.contains("canary99"), "{said}");
    assert_eq!(case.containers(), "");
    case.controller(&["deploy", "emilia", "--yes", "--env", "DB=by-hand"])
        .done();
    let web = case.id("web");
    assert_eq!(
        case.docker(&format!("exec {web} /fixture env DB")),
        "by-hand"
    );
}

#[test]
fn what_only_the_shell_sets_is_named_and_never_shown() {
    let Some(world) = world() else { return };
    let case = world.case("shell");
    case.write(
        "compose.yaml",
        &WEB.replace("FIXTURE_SHOW: NOTHING", "A: \"${ONE:-x}\", B: \"${TWO}\""),
    );
    let env = [("ONE", "canary66"), ("TWO", "canary66"), ("OTHER", "o")];
    let said = case.controller_with(&["plan", "emilia"], &env).with(
        65,
        &["TWO is set in your shell: pass --env TWO, or add it to `inherit`"],
    );
    assert!(
        !said.contains("canary66") && !said.contains("OTHER"),
        "{said}"
    );
    let said = case
        .controller_with(&["plan", "emilia", "--env", "TWO"], &env)
        .with(
            2,
            &["set in the shell but not used: ONE (take one with --env ONE"],
        );
    assert!(!said.contains("canary66"), "{said}");
}
