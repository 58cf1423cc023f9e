//! What counts as done: an application that exits until its database listens, jobs that end, servers that must not.

use crate::world::{Case, eventually, shell_service, world};

const RUNS: &str = "while :; do sleep 1; done";

fn write(case: &Case<'_>, services: &[String]) {
    case.write("compose.yaml", &format!("services:\n{}", services.concat()));
}

fn state(case: &Case<'_>, service: &str) -> String {
    let format = "'{{.State.Status}} {{.State.ExitCode}}'";
    case.docker(&format!(
        "inspect --format {format} {}-{service}-1",
        case.stack
    ))
}

/// Plain Compose does not care how often it was started before.
#[test]
fn an_application_that_exits_until_its_database_listens_is_good() {
    let Some(world) = world() else { return };
    let case = world.case("impatient");
    let db = shell_service("db", "sleep 7; exec nc -ll -p 5432 -e cat", "", "");
    let app = "nc -w 1 db 5432 </dev/null || { sleep 0.2; exit 1; }; while :; do sleep 1; done";
    let app = shell_service("app", app, "", "depends_on: [db]");
    write(&case, &[db, app]);
    case.deploy().done();
    assert_eq!(state(&case, "app"), "running 0");
    let restarts = case.docker("inspect --format {{.RestartCount}} impatient-app-1");
    assert!(restarts.parse::<u32>().unwrap() >= 3, "{restarts}");
}

#[test]
fn a_job_is_done_when_it_has_ended_and_a_server_is_not() {
    let Some(world) = world() else { return };
    let case = world.case("jobs");
    let never = "deploy: { restart_policy: { condition: none } }";
    let job = shell_service("job", "exit 0", "", never);
    let server =
        shell_service("server", RUNS, "", "").replace("restart: always", "restart: \"no\"");
    write(&case, &[job.clone(), server.clone()]);
    case.deploy().done();
    assert_eq!(state(&case, "job"), "exited 0");
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");

    // It ran when the revision was judged, so that its end is not what is wanted; nor is it unmarked.
    case.docker("stop jobs-server-1");
    eventually("it has ended", || {
        state(&case, "server").starts_with("exited")
    });
    case.controller(&["doctor", "emilia/jobs"])
        .with(1, &["jobs-server-1 does not run"]);
    let plan = case
        .controller(&["plan", "emilia"])
        .with(2, &["start", "server"]);
    assert!(!plan.contains("job  "), "{plan}");
    case.deploy().done();
    assert_eq!(state(&case, "server"), "running 0");

    let checked = shell_service("server", "sleep 1; exit 0", "false", "")
        .replace("restart: always", "restart: \"no\"");
    write(&case, &[job, checked]);
    case.deploy()
        .with(3, &["exited with code 0, and it is meant to run"]);
    assert_eq!(state(&case, "server"), "running 0");
}
