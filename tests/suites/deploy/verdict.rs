//! What counts as good on a real host: probes, replicas, one-shots, restarts, and times of its own for each service.

use std::time::{Duration, Instant};

use crate::world::{Case, WEB, eventually, world};

/// One service that runs, healthy or not, with nobody inside checking.
const BARE: &str = "\
services:
  web:
    image: ${REGISTRY}/org/web:${TAG}
    environment: { FIXTURE_SHOW: NOTHING }
    restart: always
";

fn never_healthy(compose: &str) -> String {
    compose.replace("FIXTURE_SHOW: NOTHING", "FIXTURE_NEVER_HEALTHY: \"1\"")
}

/// Probes of service web, and its deadline.
fn probe(case: &Case<'_>, probes: &[&str]) {
    let stack = &case.stack;
    let mut more = String::new();
    for probe in probes {
        more += &format!("[[stacks.{stack}.probes]]\nservice = \"web\"\n{probe}\n");
    }
    more += &format!("[stacks.{stack}.deadlines]\nweb = \"12s\"\n");
    case.fleet(&more);
}

#[test]
fn an_http_probe_that_fails_takes_the_stack_back_with_its_answer() {
    let Some(world) = world() else { return };
    let case = world.case("probehttp");
    case.write("compose.yaml", BARE);
    probe(&case, &["http = \"/health\"\nport = 8080"]);
    let said = case.deploy().done();
    assert!(
        said.contains("http /health on port 8080 answered 200"),
        "{said}"
    );
    case.write("compose.yaml", &never_healthy(BARE));
    case.write(".env", "TAG=2\n");
    case.deploy().with(
        3,
        &[
            "service web did not become healthy within 12 s",
            "probehttp-web-1 runs, but http /health on port 8080 answered 503",
        ],
    );
    assert_eq!(case.containers(), "web org/web:1 running");
}

#[test]
fn tcp_and_exec_probes_pass_or_say_why_not() {
    let Some(world) = world() else { return };
    let case = world.case("probeexec");
    case.write("compose.yaml", BARE);
    let exec = "exec = [\"/fixture\", \"health\"]\ninterval = \"500ms\"";
    probe(&case, &["tcp = 8080", exec]);
    let said = case.deploy().done();
    assert!(said.contains("tcp port 8080 is open"), "{said}");
    assert!(said.contains("exec /fixture health ended with 0"), "{said}");
    case.write("compose.yaml", &never_healthy(BARE));
    let said = case
        .deploy()
        .with(3, &["exec /fixture health ended with 1"]);
    assert!(said.contains("probeexec-web-1 | probe: "), "{said}");
    case.write("compose.yaml", &BARE.replace("TAG}", "TAG}\n    tty: true"));
    probe(&case, &["tcp = 8099"]);
    case.deploy()
        .with(3, &["tcp port 8099 did not answer: Connection refused"]);
}

#[test]
fn a_probe_of_a_container_without_a_network_is_an_error_and_on_the_hosts_network_works() {
    let Some(world) = world() else { return };
    let case = world.case("probenet");
    let on = |network: &str| {
        let network = format!("    network_mode: {network}\n    restart:");
        BARE.replace("    restart:", &network)
            .replace("FIXTURE_SHOW: NOTHING", "FIXTURE_PORT: \"18099\"")
    };
    probe(&case, &["http = \"/health\"\nport = 18099"]);
    case.write("compose.yaml", &on("none"));
    case.deploy().with(
        1,
        &["has no network address, so http /health on port 18099 cannot be asked"],
    );
    case.write("compose.yaml", &on("host"));
    case.deploy().done();
}

#[test]
fn each_replica_is_probed() {
    let Some(world) = world() else { return };
    let case = world.case("probetwo");
    case.write(
        "compose.yaml",
        &BARE.replace("    restart:", "    scale: 2\n    restart:"),
    );
    probe(&case, &["http = \"/\"\nport = 8080\nstatus = 200"]);
    let said = case.deploy().done();
    for number in [1, 2] {
        let line = format!("probetwo-web-{number}: http / on port 8080 answered 200");
        assert!(said.contains(&line), "{said}");
    }
}

#[test]
fn a_probe_of_a_service_that_is_not_there_is_refused() {
    let Some(world) = world() else { return };
    let case = world.case("probenone");
    case.fleet("[[stacks.probenone.probes]]\nservice = \"wbe\"\ntcp = 1\n");
    case.deploy()
        .with(65, &["names service wbe, which the stack does not have"]);
}

#[test]
fn a_slow_service_gives_a_broken_one_no_more_time_than_its_own() {
    let Some(world) = world() else { return };
    let case = world.case("owntime");
    let slow = never_healthy(WEB)
        .replace("services:\n", "")
        .replace("  web:", "  slow:")
        .replace("retries: 3", "retries: 3, start_period: 5m");
    let web = never_healthy(WEB);
    case.write("compose.yaml", &format!("{web}{slow}"));
    let began = Instant::now();
    // 5 s for a check, six of them half a second apart, and ten.
    let said = case
        .deploy()
        .with(1, &["service web did not become healthy within 18 s"]);
    assert!(!said.contains("slow-1 is"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(120), "{began:?}");
}

#[test]
fn a_container_that_comes_and_goes_is_never_good_without_a_healthcheck() {
    let Some(world) = world() else { return };
    let case = world.case("comesgoes");
    // Each run is shorter than what has to be proved.
    case.write(
        "compose.yaml",
        &BARE.replace("FIXTURE_SHOW: NOTHING", "FIXTURE_EXIT_AFTER_MS: \"3500\""),
    );
    case.deploy()
        .with(1, &["web did not start", "comesgoes-web-1 was restarted"]);
    assert_eq!(case.containers(), "");
}

#[test]
fn status_tells_how_old_the_last_health_result_is() {
    let Some(world) = world() else { return };
    let case = world.case("healthage");
    case.deploy().done();
    eventually("an age of the health result", || {
        let said = case.controller(&["status", "emilia/healthage"]).done();
        said.contains("running, healthy 0s ago") || said.contains("running, healthy 1s ago")
    });
    let json = case
        .controller(&["status", "emilia/healthage", "-o", "json"])
        .done();
    assert!(json.contains("\"health_at_millis\":1"), "{json}");
}
