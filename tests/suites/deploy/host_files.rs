//! Nothing that an application or a person wrote on a host is lost unseen: not a line, not an owner, not a mode.

use crate::world::{Case, shell_service, world};

const RUNS: &str = "while :; do sleep 1; done";

/// A service that mounts `state` and is healthy as `healthy` says; `rev` changes what it is made with.
fn write(case: &Case<'_>, rev: u8, healthy: &str) {
    let more = format!("environment: {{ REV: \"{rev}\" }}\nvolumes: [\"./state:/state\"]");
    let app = shell_service("app", RUNS, healthy, &more);
    case.write("compose.yaml", &format!("services:\n{app}"));
}

fn project(case: &Case<'_>, line: &str) -> String {
    let folder = format!("/var/lib/longshore/stacks/{}/project", case.stack);
    case.on_emilia(&format!("cd {folder} && {line}"))
}

#[test]
fn what_an_application_wrote_survives_whatever_is_deployed() {
    let Some(world) = world() else { return };
    let case = world.case("written");
    write(&case, 1, "true");
    case.write("state/app.db", "seed\n");
    case.deploy().done();
    case.docker("exec written-app-1 sh -c 'echo user-1 >>/state/app.db; echo x >/state/later'");
    project(
        &case,
        "chown 999:998 state/app.db && chmod 600 state/app.db",
    );
    let there = || {
        project(
            &case,
            "cat state/app.db; stat -c %u:%g:%a state/app.db; cat state/later",
        )
    };
    let before = there();
    assert_eq!(before.trim(), "seed\nuser-1\n999:998:600\nx");

    let plan = case.controller(&["plan", "emilia"]).done();
    assert!(
        plan.contains("keep file state/app.db  changed on the host"),
        "{plan}"
    );
    for (rev, healthy, code) in [(2, "true", 0), (3, "false", 3), (4, "true", 0)] {
        write(&case, rev, healthy);
        case.deploy().with(code, &["keep file state/app.db"]);
        assert_eq!(there(), before, "after {rev}");
    }
    case.controller(&["rollback", "emilia/written", "--yes"])
        .done();
    assert_eq!(there(), before);
    // It has left the stack, and is nobody's but the application's now.
    std::fs::remove_file(case.path("state/app.db")).unwrap();
    case.deploy().with(
        0,
        &["file      state/app.db  changed on the host, it stays there"],
    );
    assert_eq!(there(), before);
}

#[test]
fn what_both_have_changed_is_replaced_only_with_a_word_and_a_copy() {
    let Some(world) = world() else { return };
    let case = world.case("bothchanged");
    write(&case, 1, "true");
    case.write("state/app.conf", "one\n");
    case.write("state/other.conf", "one\n");
    case.deploy().done();
    let wrote = "echo by the host >state/app.conf && chown 999:998 state/app.conf && chmod 640 state/app.conf";
    project(&case, wrote);
    let there = || project(&case, "cat state/app.conf; stat -c %u:%g:%a state/app.conf");
    let of_the_host = "by the host\n999:998:640";
    case.write("state/app.conf", "two\n");
    case.write("state/other.conf", "two\n");
    let words = [
        "changed on the host and in the stack: state/app.conf",
        "--overwrite state/app.conf",
    ];
    case.deploy().with(1, &words);
    case.controller(&[
        "deploy",
        "emilia",
        "--yes",
        "--overwrite",
        "state/other.conf",
    ])
    .with(1, &words);
    assert_eq!(there().trim(), of_the_host);
    assert_eq!(project(&case, "cat state/other.conf"), "one\n");

    // A version that goes back puts back what it had replaced, whoever it was from.
    write(&case, 2, "false");
    let overwrite = ["deploy", "emilia", "--yes", "--overwrite", "state/app.conf"];
    case.controller(&overwrite)
        .with(3, &["app did not become healthy"]);
    assert_eq!(there().trim(), of_the_host);

    write(&case, 3, "true");
    let said = case.controller(&overwrite).done();
    // Whose it was it is still.
    assert_eq!(there().trim(), "two\n999:998:640");
    let copy = said
        .lines()
        .find_map(|line| line.split_once("a copy of it is "));
    let (_, copy) = copy.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(case.on_emilia(&format!("cat {copy}")), "by the host\n");

    // A rollback is never refused for a file, and keeps a copy, too.
    project(&case, "echo again >state/app.conf");
    let said = case
        .controller(&["rollback", "emilia/bothchanged", "--yes"])
        .done();
    assert!(
        said.contains("state/app.conf was changed on the host and is replaced"),
        "{said}"
    );
    assert_eq!(there().trim(), "one\n999:998:640");
}

#[test]
fn what_is_gone_on_the_host_is_made_again_and_what_lies_there_is_not_ours() {
    let Some(world) = world() else { return };
    let case = world.case("lost");
    write(&case, 1, "true");
    case.write("state/a.conf", "one\n");
    case.deploy().done();
    project(&case, "rm state/a.conf");
    case.deploy().with(
        0,
        &[
            "file      state/a.conf  gone on the host, made again",
            "recreate  app",
        ],
    );
    assert_eq!(project(&case, "cat state/a.conf"), "one\n");

    // Somebody has put a file where the stack gets one.
    project(&case, "echo mine >state/b.conf");
    case.write("state/b.conf", "theirs\n");
    case.deploy()
        .with(1, &["changed on the host and in the stack: state/b.conf"]);
    assert_eq!(project(&case, "cat state/b.conf"), "mine\n");
    case.controller(&["deploy", "emilia", "--yes", "--overwrite", "all"])
        .done();
    assert_eq!(project(&case, "cat state/b.conf"), "theirs\n");
}

#[test]
fn a_file_becomes_a_folder_and_a_folder_a_file() {
    let Some(world) = world() else { return };
    let case = world.case("shapes");
    write(&case, 1, "true");
    case.write("state/shape", "a file\n");
    case.deploy().done();
    std::fs::remove_file(case.path("state/shape")).unwrap();
    case.write("state/shape/deep/part", "in a folder\n");
    case.deploy().done();
    assert_eq!(project(&case, "cat state/shape/deep/part"), "in a folder\n");
    project(&case, "echo mine >state/shape/mine");
    std::fs::remove_dir_all(case.path("state/shape")).unwrap();
    case.write("state/shape", "a file again\n");
    let words = ["state/shape is a folder on the host, with state/shape/mine in it"];
    case.deploy().with(1, &words);
    assert_eq!(
        project(&case, "cat state/shape/deep/part state/shape/mine"),
        "in a folder\nmine\n"
    );
    project(&case, "rm state/shape/mine");
    case.deploy().done();
    assert_eq!(project(&case, "cat state/shape"), "a file again\n");
    case.controller(&["rollback", "emilia/shapes", "--yes"])
        .done();
    assert_eq!(project(&case, "cat state/shape/deep/part"), "in a folder\n");
}

/// Docker makes a folder of a file that is missing when a container starts.
#[test]
fn a_file_can_take_the_place_of_the_folder_that_docker_made_for_it() {
    let Some(world) = world() else { return };
    let case = world.case("dockermade");
    let app = shell_service("app", RUNS, "", "volumes: [\"./late.conf:/late.conf\"]");
    case.write("compose.yaml", &format!("services:\n{app}"));
    case.deploy().done();
    assert_eq!(project(&case, "stat -c %F late.conf").trim(), "directory");
    case.write("late.conf", "here now\n");
    case.deploy().done();
    assert_eq!(
        case.docker("exec dockermade-app-1 cat /late.conf"),
        "here now"
    );
}

#[test]
fn whoever_mounts_the_whole_folder_runs_what_lies_there() {
    let Some(world) = world() else { return };
    let case = world.case("wholefolder");
    let app = shell_service("app", RUNS, "", "working_dir: /app\nvolumes: [\".:/app\"]");
    case.write("compose.yaml", &format!("services:\n{app}"));
    case.write("page1", "one\n");
    case.deploy().done();
    case.docker("exec wholefolder-app-1 touch made");
    let before = case.id("app");
    case.write("page2", "two\n");
    case.deploy()
        .with(0, &["recreate  app  mounted file page2 changed"]);
    assert_ne!(case.id("app"), before);
    assert_eq!(
        case.docker("exec wholefolder-app-1 cat page1 page2 made"),
        "one\ntwo"
    );
    std::fs::remove_file(case.path("page1")).unwrap();
    case.deploy().done();
    let listed = case.docker("exec wholefolder-app-1 ls -A");
    assert!(
        listed.contains("made") && !listed.contains("page1"),
        "{listed}"
    );
    case.write("made", "by the stack\n");
    case.deploy()
        .with(1, &["changed on the host and in the stack: made"]);
}

#[test]
fn a_variable_that_leads_into_the_agents_own_state_is_refused() {
    let Some(world) = world() else { return };
    let case = world.case("leadsout");
    let app = shell_service("app", RUNS, "", "volumes: [\"${CODE}:/code\"]");
    case.write("compose.yaml", &format!("services:\n{app}"));
    case.write(".env", "CODE=../\n");
    let words = ["the Compose files name a file outside the stack: path \"..\""];
    let said = case.deploy().with(65, &words);
    assert!(!said.contains("/var/lib/longshore"), "{said}");
}

#[test]
fn a_mounted_file_that_is_missing_now_is_no_empty_folder() {
    let Some(world) = world() else { return };
    let case = world.case("missing");
    let app = shell_service("app", RUNS, "", "volumes: [\"./low.xml:/low.xml:ro\"]");
    case.write("compose.yaml", &format!("services:\n{app}"));
    case.write("low.xml", "low\n");
    case.deploy().done();
    std::fs::remove_file(case.path("low.xml")).unwrap();
    case.deploy().with(
        65,
        &[
            "a mounted file is no longer in the stack's folder",
            "app mounts low.xml",
        ],
    );
    assert_eq!(case.docker("exec missing-app-1 cat /low.xml"), "low");
}

/// A named volume over a folder of the project.
#[test]
fn a_volume_over_a_folder_of_the_stack_has_its_files() {
    let Some(world) = world() else { return };
    let case = world.case("seeded");
    let app = shell_service("app", RUNS, "", "volumes: [\"seed:/seed\"]");
    let volume = "volumes:\n  seed:\n    driver: local\n    driver_opts: { type: none, o: bind, device: ./seed }\n";
    case.write("compose.yaml", &format!("services:\n{app}{volume}"));
    case.write("seed/a", "one\n");
    case.deploy()
        .with(1, &["volume seed is the folder", "ship = [\"seed/**\"]"]);
    let toml = case.folder.path().join("fleet.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(
        &toml,
        text.replace("path = \"stack\"", "path = \"stack\"\nship = [\"seed/**\"]"),
    )
    .unwrap();
    case.deploy().done();
    assert_eq!(case.docker("exec seeded-app-1 cat /seed/a"), "one");
    case.write("seed/a", "two\n");
    case.deploy()
        .with(0, &["recreate  app  mounted file seed/a changed"]);
    assert_eq!(case.docker("exec seeded-app-1 cat /seed/a"), "two");
}

/// A data folder that was shipped by mistake, and is not any more.
#[test]
fn what_is_excluded_stays_where_it_was_shipped_once() {
    let Some(world) = world() else { return };
    let case = world.case("excluded");
    let app = shell_service("app", RUNS, "", "volumes: [\"./pgdata:/data\"]");
    case.write("compose.yaml", &format!("services:\n{app}"));
    case.write("pgdata/PG_VERSION", "15\n");
    case.write("pgdata/base", "rows\n");
    case.deploy().done();
    case.docker("exec excluded-app-1 sh -c 'echo more >>/data/base'");
    let before = case.id("app");
    let toml = case.folder.path().join("fleet.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    let line = "path = \"stack\"\nexclude = [\"/pgdata\"]";
    std::fs::write(&toml, text.replace("path = \"stack\"", line)).unwrap();
    case.write(".env", "TAG=2\n");
    let said = case.deploy().done();
    assert!(!said.contains("pgdata"), "{said}");
    assert_eq!(
        project(&case, "cat pgdata/PG_VERSION pgdata/base"),
        "15\nrows\nmore\n"
    );
    assert_eq!(case.id("app"), before);
}
