//! What Compose takes, longshore takes: paths, lists and conditions that are made of variables.

use crate::world::{shell_service, world};

const RUNS: &str = "while :; do sleep 1; done";

/// As a volume with a default and an option is written everywhere; without values Compose 2.26 refuses it.
#[test]
fn a_path_with_a_default_and_an_option_is_shipped() {
    let Some(world) = world() else { return };
    let case = world.case("defaulted");
    let more = "volumes:\n- ${CONF_DIR:-./conf}:/conf:ro\n- ./data:/data:${MODE:-ro}\n- ${DATA:-./jobs}:${TO:-/jobs}";
    let app = shell_service("app", RUNS, "", more);
    case.write("compose.yaml", &format!("services:\n{app}"));
    for path in ["conf/a", "data/b", "jobs/c"] {
        case.write(path, &format!("{path}\n"));
    }
    case.deploy().done();
    let inside = case.docker("exec defaulted-app-1 cat /conf/a /data/b /jobs/c");
    assert_eq!(inside, "conf/a\ndata/b\njobs/c");
    case.write("jobs/c", "changed\n");
    case.deploy()
        .with(0, &["recreate  app  mounted file jobs/c changed"]);
    assert_eq!(case.docker("exec defaulted-app-1 cat /jobs/c"), "changed");
    // The same variable means another folder now.
    case.write(".env", "TAG=1\nCONF_DIR=./other\n");
    case.write("other/a", "other\n");
    case.deploy().done();
    assert_eq!(case.docker("exec defaulted-app-1 cat /conf/a"), "other");
}

/// Where files are merged, a list becomes a mapping before the names in it are known.
#[test]
fn what_a_service_waits_for_may_be_named_by_a_variable() {
    let Some(world) = world() else { return };
    let case = world.case("chosen");
    let all = ["maria", "postgres"].map(|name| shell_service(name, RUNS, "true", ""));
    let admin = shell_service("admin", RUNS, "", "");
    case.write(
        "compose.yaml",
        &format!("services:\n{}{admin}", all.concat()),
    );
    let waits = "services:\n  admin:\n    depends_on:\n    - ${DB_ENGINE}\n    networks:\n    - ${NET:-default}\n";
    case.write("compose.override.yaml", waits);
    for engine in ["postgres", "maria"] {
        case.write(".env", &format!("TAG=1\nDB_ENGINE={engine}\n"));
        case.deploy().done();
        let said = case.controller(&["plan", "emilia"]).done();
        assert!(said.contains("nothing to change"), "{said}");
    }
}

#[test]
fn the_private_folder_in_which_a_stack_is_read_is_in_no_message() {
    let Some(world) = world() else { return };
    let case = world.case("private");
    let app = shell_service("app", RUNS, "", "");
    case.write(
        "compose.yaml",
        &format!("include: [sub/more.yaml]\nservices:\n{app}"),
    );
    case.write("sub/more.yaml", "services: {}\n");
    let said = case
        .deploy()
        .with(65, &["sub/more.yaml: no such file", "ship = "]);
    assert!(!said.contains("staging"), "{said}");
}
