//! Commands before and after a deploy, in real containers: what they print, what they refuse, what stays of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::world::{Case, controller, world};

/// Adds hooks behind everything else in `fleet.toml`.
fn hooks(case: &Case<'_>, hooks: &str) {
    case.fleet(&hooks.replace("STACK", &case.stack));
}

/// The first version runs; the second one is to come.
fn first_version(case: &Case<'_>) {
    case.deploy().done();
    case.write(".env", "TAG=2\n");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// No command of a hook runs, and no container of one is there.
fn claim_nothing_left(case: &Case<'_>) {
    let processes = case.docker(&format!("top {}", case.id("web")));
    assert!(!processes.contains("sleep"), "{processes}");
    let one_offs = format!("ps -aq --filter name={}-hook", case.stack);
    assert_eq!(case.docker(&one_offs), "");
}

const BACKUP: &str = r#"
[[stacks.STACK.hooks.before]]
service = "web"
run     = ["/fixture", "echo", "exampleP@$$W0RD", "a  b", "--flag", "$HOME", "{\"a\": 1}"]
save    = "backups/{project}-{time}-{image}-{revision}.sql"
"#;
const BACKED_UP: &str =
    "\"exampleP@$$W0RD\"\n\"a  b\"\n\"--flag\"\n\"$HOME\"\n\"{\\\"a\\\": 1}\"\n";

#[test]
fn a_backup_lies_on_the_workstation_with_its_arguments_unharmed() {
    let Some(world) = world() else { return };
    let case = world.case("hooks-backup");
    hooks(&case, BACKUP);
    let first = case.deploy().done();
    assert!(
        first.contains("skipped: nothing of this stack is deployed here yet"),
        "{first}"
    );
    let image = case.docker(&format!("inspect -f '{{{{.Image}}}}' {}", case.id("web")));
    case.write(".env", "TAG=2\n");
    let plan = case.controller(&["plan", "emilia"]);
    plan.with(
        2,
        &[
            "» before    web  /fixture echo",
            "kept in backups/{project}-{time}",
        ],
    );
    let out = case.deploy().done();
    assert!(out.contains("running hooks"), "{out}");
    let backups = case.folder.path().join("backups");
    let [file] = files(&backups).try_into().unwrap();
    assert!(out.contains(&format!("saved {}", file.display())), "{out}");
    assert_eq!(fs::read_to_string(&file).unwrap(), BACKED_UP);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let name = file.file_name().unwrap().to_str().unwrap();
    let image: String = image.chars().skip("sha256:".len()).take(12).collect();
    assert!(name.starts_with("hooks-backup-2"), "{name}");
    assert!(name.contains(&format!("Z-{image}-")), "{name}");
    assert_eq!(case.containers(), "web org/web:2 running");

    // Another workstation, which was not there.
    let other = tempfile::tempdir().unwrap();
    for file in ["fleet.toml", "ca.pem", "revoked.crl"] {
        fs::copy(case.folder.path().join(file), other.path().join(file)).unwrap();
    }
    fs::create_dir(other.path().join("stack")).unwrap();
    let attach = || controller(other.path(), &case.home(), &["attach", "emilia"], &[]);
    assert!(attach().done().contains("saved "));
    assert!(attach().done().contains("it was here before"));
    let [theirs] = files(&other.path().join("backups")).try_into().unwrap();
    assert_eq!(fs::read_to_string(theirs).unwrap(), BACKED_UP);

    // Each time that it left the host is on record there.
    let told = case
        .controller(&["audit", "emilia", "-n", "all", "-o", "json"])
        .out;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let taken = told[0]["entries"].as_array().unwrap().iter();
    let taken = taken.filter(|it| it["verb"] == "Saved" && it["stack"] == "hooks-backup");
    let by: Vec<_> = taken.map(|it| (&it["operator"], &it["decision"])).collect();
    assert_eq!(by, [(&"ana".into(), &"let_in".into()); 2]);
}

#[test]
fn a_backup_lies_on_the_host_where_the_stack_says() {
    let Some(world) = world() else { return };
    let case = world.case("hooks-host");
    first_version(&case);
    let on_host = BACKUP
        .replace("backups/", "/srv/backups/hooks/")
        .replace("-{time}-{image}-{revision}", "");
    hooks(&case, &format!("{on_host}save_on = \"host\"\n"));
    let out = case.deploy().done();
    assert!(
        out.contains("in /srv/backups/hooks/hooks-host.sql on the host"),
        "{out}"
    );
    let look =
        "cat /srv/backups/hooks/hooks-host.sql; stat -c %a /srv/backups/hooks /srv/backups/hooks/*";
    let seen = world.emilia.sh(look).unwrap();
    assert_eq!(seen.trim(), format!("{BACKED_UP}700\n600"));
}

#[test]
fn a_command_of_its_own_runs_before_and_after_in_what_is_there_then() {
    let Some(world) = world() else { return };
    let case = world.case("hooks-once");
    first_version(&case);
    hooks(
        &case,
        r#"
[[stacks.STACK.hooks.before]]
service = "web"
run     = ["echo", "exampleP@$$W0RD"]
one_off = true

[[stacks.STACK.hooks.after]]
service = "web"
run     = ["env", "FIXTURE_SHOW"]
one_off = true

[[stacks.STACK.hooks.after]]
service = "web"
run     = ["/fixture", "exit", "7"]
"#,
    );
    let ended = case.deploy();
    let out = ended.with(
        1,
        &[
            "web: \"exampleP@$$W0RD\"",
            "web: NOTHING",
            "committed, and a hook after it failed",
            "exit code 7",
            "is committed and stays",
        ],
    );
    assert!(!out.contains("hooks-once-hook"), "{out}");
    assert_eq!(case.containers(), "web org/web:2 running");
    claim_nothing_left(&case);
}

#[test]
fn a_gate_refuses_until_it_is_forced() {
    let Some(world) = world() else { return };
    let case = world.case("hooks-gate");
    first_version(&case);
    let id = case.id("web");
    hooks(
        &case,
        r#"
[[stacks.STACK.hooks.before]]
service  = "web"
run      = ["/fixture", "echo", "seconds since last use: 899"]
at_least = 900
"#,
    );
    case.deploy().with(
        1,
        &[
            "it printed 899, and 900 is the least",
            "deploy --force",
            "nothing was changed",
        ],
    );
    assert_eq!(case.id("web"), id);
    let forced = case.controller(&["deploy", "emilia", "--yes", "--force"]);
    assert!(forced.done().contains("passed, as asked for"));
    assert_eq!(case.containers(), "web org/web:2 running");
}

#[test]
fn a_command_that_hangs_or_is_not_there_leaves_nothing() {
    let Some(world) = world() else { return };
    let case = world.case("hooks-hang");
    first_version(&case);
    let id = case.id("web");
    for (more, program, words) in [
        ("", "/fixture", "took longer than 2 s"),
        ("one_off = true", "sleep", "took longer than 2 s"),
    ] {
        let run = match program {
            "sleep" => "run = [\"sleep\", \"1000\"]",
            _ => "run = [\"/fixture\", \"sleep\", \"1000\"]",
        };
        hooks(
            &case,
            &format!(
                "\n[[stacks.STACK.hooks.before]]\nservice = \"web\"\n{run}\ntimeout = \"2s\"\n{more}\n"
            ),
        );
        case.deploy().with(1, &[words, "nothing was changed"]);
        claim_nothing_left(&case);
    }
    hooks(
        &case,
        "\n[[stacks.STACK.hooks.before]]\nservice = \"web\"\nrun = [\"/nothing\"]\n",
    );
    case.deploy().with(1, &["/nothing"]);
    hooks(
        &case,
        "\n[[stacks.STACK.hooks.before]]\nservice = \"wbe\"\nrun = [\"/nothing\"]\n",
    );
    case.deploy().with(
        65,
        &["has no service `wbe`", "fleet.toml:", "did you mean `web`"],
    );
    assert_eq!(case.id("web"), id);
}
