//! What has to be recreated though Compose sees no change in it comes before whoever waits for it, in every direction.

use crate::world::{Case, eventually, shell_service, world};

const RUNS: &str = "while :; do sleep 1; done";

/// `db` is healthy as long as its mounted file says so; `app` waits for that.
fn database_and_application(case: &Case<'_>, file: &str, more: &str) {
    let db = shell_service(
        "db",
        RUNS,
        "grep -q good /conf/db.conf",
        "volumes: [\"./conf:/conf:ro\"]",
    );
    let waits = format!("depends_on: {{ db: {{ condition: service_healthy }} }}\n{more}");
    let app = shell_service("app", RUNS, "", &waits);
    case.write("compose.yaml", &format!("services:\n{db}{app}"));
    case.write("conf/db.conf", file);
}

fn health(case: &Case<'_>, service: &str) -> String {
    let format = "{{.State.Status}}{{with .State.Health}} {{.Status}}{{end}}";
    case.docker(&format!(
        "inspect --format '{format}' {}-{service}-1",
        case.stack
    ))
}

#[track_caller]
fn claim_both_are_well(case: &Case<'_>) {
    assert_eq!(health(case, "db"), "running healthy");
    assert_eq!(health(case, "app"), "running");
}

#[test]
fn a_bad_file_of_what_others_wait_for_is_taken_back_and_mended() {
    let Some(world) = world() else { return };
    let case = world.case("badfile");
    database_and_application(&case, "good 1", "");
    case.deploy().done();

    case.write("conf/db.conf", "bad");
    case.deploy().with(3, &["badfile-db-1 is unhealthy"]);
    claim_both_are_well(&case);

    case.write("conf/db.conf", "good 2");
    let said = case.deploy().done();
    assert!(said.contains("recreate  db"), "{said}");
    claim_both_are_well(&case);

    case.write("conf/db.conf", "good 3");
    case.deploy().done();
    case.controller(&["rollback", "emilia/badfile", "--yes"])
        .done();
    claim_both_are_well(&case);
    let file = case.docker("exec badfile-db-1 cat /conf/db.conf");
    assert_eq!(file, "good 2");
}

/// Its process namespace ends with the container that it joined.
#[test]
fn who_joins_a_namespace_is_recreated_with_it() {
    let Some(world) = world() else { return };
    let case = world.case("joined");
    database_and_application(&case, "good 1", "pid: \"service:db\"");
    case.deploy().done();
    for (file, code) in [("good 2", 0), ("bad", 3)] {
        let before = case.id("app");
        case.write("conf/db.conf", file);
        let said = case
            .deploy()
            .with(code, &["recreate  app", "it shares what is db"]);
        assert_ne!(case.id("app"), before, "{said}");
        claim_both_are_well(&case);
        let joined = case.docker("inspect --format {{.HostConfig.PidMode}} joined-app-1");
        let db = case.docker("inspect --format {{.Id}} joined-db-1");
        assert_eq!(joined, format!("container:{db}"));
    }
}

#[test]
fn what_fails_by_itself_is_recreated_where_others_are_to_wait_for_it() {
    let Some(world) = world() else { return };
    let case = world.case("failing");
    let db = |more: &str| shell_service("db", "touch /well; sleep 1000", "ls /well", more);
    let app = |value: &str| {
        let more = format!(
            "environment: {{ VALUE: \"{value}\" }}\ndepends_on: {{ db: {{ condition: service_healthy }} }}"
        );
        shell_service("app", RUNS, "", &more)
    };
    let write = |value: &str| {
        case.write(
            "compose.yaml",
            &format!("services:\n{}{}", db(""), app(value)),
        );
    };
    write("1");
    case.deploy().done();
    let fails = || {
        case.docker("exec failing-db-1 rm /well");
        eventually("db is unhealthy", || {
            health(&case, "db") == "running unhealthy"
        });
    };
    fails();
    // Nothing is to start that waits for it: as with Compose, it is nobody's business but an operator's.
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");
    write("2");
    let said = case.deploy().done();
    assert!(
        said.contains("is unhealthy, and app waits for its health"),
        "{said}"
    );
    claim_both_are_well(&case);

    fails();
    case.controller(&["rollback", "emilia/failing", "--yes"])
        .done();
    claim_both_are_well(&case);
}

/// Compose's own hash covers neither what a config holds nor what lies in files of the host.
#[test]
fn whatever_a_container_is_made_from_recreates_it_when_it_changes() {
    let Some(world) = world() else { return };
    let case = world.case("contents");
    let more = "configs: [{ source: page, target: /page }]\nsecrets: [token, certificate]\n\
                env_file: [{ path: /etc/contents/app.env }, { path: /etc/contents/more.env, required: false }]";
    let app = shell_service("app", RUNS, "", more);
    let top = "configs:\n  page:\n    content: \"hello ${GREETING}\"\n\
               secrets:\n  token: { environment: TOKEN }\n  certificate: { file: /etc/contents/cert }\n";
    case.write("compose.yaml", &format!("services:\n{app}{top}"));
    case.on_emilia("mkdir -p /etc/contents && echo COLOR=red >/etc/contents/app.env && echo one >/etc/contents/cert");
    let set = |greeting: &str, token: &str| {
        case.fleet(&format!("GREETING = \"{greeting}\"\nTOKEN = \"{token}\"\n"));
    };
    let inside = |path: &str| case.docker(&format!("exec contents-app-1 cat {path}"));
    set("one", "token-number-1");
    case.deploy().done();
    assert_eq!(inside("/page"), "hello one");
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");

    set("two", "token-number-1");
    case.deploy()
        .with(0, &["recreate  app  config page changed"]);
    assert_eq!(inside("/page"), "hello two");
    set("two", "token-number-2");
    let said = case
        .deploy()
        .with(0, &["recreate  app  secret token changed"]);
    assert!(!said.contains("token-number"), "{said}");
    assert_eq!(inside("/run/secrets/token"), "token-number-2");
    case.on_emilia("echo two >/etc/contents/cert");
    case.deploy()
        .with(0, &["recreate  app  secret certificate changed"]);
    assert_eq!(inside("/run/secrets/certificate"), "two");
    case.on_emilia("echo COLOR=blue >/etc/contents/app.env");
    case.deploy()
        .with(0, &["recreate  app", "environment COLOR"]);
    assert_eq!(
        case.docker("exec contents-app-1 sh -c 'echo $COLOR'"),
        "blue"
    );
    case.on_emilia("echo SIZE=large >/etc/contents/more.env");
    case.deploy().with(0, &["environment SIZE"]);
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");
}
