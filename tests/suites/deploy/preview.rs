//! What a plan shows before anything is touched, and what it refuses.

use std::os::unix::fs::PermissionsExt as _;

use crate::world::{WEB, world};

#[test]
fn a_plan_shows_each_setting_old_and_new_and_no_value_of_the_environment() {
    let Some(world) = world() else { return };
    let case = world.case("settings");
    let stack = |secret: &str, more: &str| {
        let shown = format!("DB_URL: \"{secret}\"");
        let text = WEB.replace("FIXTURE_SHOW: NOTHING", &shown);
        case.write("compose.yaml", &format!("{text}{more}"));
    };
    stack(
        "canary44",
        "    labels: { token: canary44 }\n    hostname: one\n",
    );
    case.deploy().done();
    stack(
        "canary55",
        "    labels: { token: canary55 }\n    hostname: two\n    expose: [\"99\"]\n",
    );
    let plan = case.controller(&["plan", "emilia"]).with(
        2,
        &[
            "~ environment DB_URL  k:",
            "one -> two",
            "+ expose",
            "99",
            "~ labels token",
        ],
    );
    assert!(!plan.contains("canary"), "{plan}");
    let json = case.controller(&["plan", "emilia", "-o", "json"]);
    let json = json.with(2, &["\"environment DB_URL\"", "\"before\":\"k:"]);
    assert!(!json.contains("canary"), "{json}");
}

#[test]
fn a_plan_shows_which_image_runs_which_comes_and_how_much_that_is() {
    let Some(world) = world() else { return };
    let case = world.case("digests");
    case.deploy().done();
    case.docker(&format!(
        "image rm -f {}/org/web:2 || true",
        world.registry.address()
    ));
    case.write(".env", "TAG=2\n");
    let plan = case.controller(&["plan", "emilia", "-o", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&plan.out).unwrap();
    let plan = &plan["plans"][0]["plan"];
    let image = &plan["images"][0];
    let digest = |name: &str| image[name].as_str().unwrap_or_default().to_owned();
    for name in ["before", "digest"] {
        assert!(digest(name).starts_with("sha256:"), "{image}");
    }
    assert_ne!(digest("before"), digest("digest"));
    let field = &plan["services"][0]["fields"][0];
    assert_eq!(field["name"], "image", "{plan}");
    // Another test may have brought it meanwhile.
    if image["pull"] == true {
        assert!(image["bytes"].as_u64().unwrap() > 300_000, "{image}");
        assert!(plan["disk"]["free"].as_u64().unwrap() > 0, "{plan}");
    }
}

#[test]
fn a_missing_external_network_is_refused_with_the_command_that_makes_it() {
    let Some(world) = world() else { return };
    let case = world.case("external");
    let network =
        "    networks: [shared]\nnetworks:\n  shared: { external: true, name: external_shared }\n";
    case.write("compose.yaml", &format!("{WEB}{network}"));
    let words = [
        "external network external_shared",
        "docker network create external_shared",
    ];
    case.controller(&["plan", "emilia"]).with(1, &words);
    case.deploy().with(1, &words);
    assert_eq!(case.containers(), "");
    case.docker("network create external_shared");
    case.deploy().done();
    case.controller(&["down", "emilia", "--yes"]).done();
    case.docker("network rm external_shared");
}

#[test]
fn a_volume_that_was_made_otherwise_is_refused_and_its_data_kept() {
    let Some(world) = world() else { return };
    let case = world.case("diverged");
    let mounting = WEB.replace(
        "    restart:",
        "    volumes: [\"data:/data\"]\n    restart:",
    );
    case.write("compose.yaml", &format!("{mounting}volumes:\n  data:\n"));
    case.deploy().done();
    let web = case.id("web");
    let kept = case.docker("volume inspect --format {{.Mountpoint}} diverged_data");
    world
        .emilia
        .sh(&format!("echo kept > {kept}/file"))
        .unwrap();

    let options = "volumes:\n  data: { driver_opts: { type: tmpfs, device: tmpfs } }\n";
    case.write("compose.yaml", &format!("{mounting}{options}"));
    let words = [
        "volume diverged_data is not as the stack defines it",
        "made without the option device",
        "docker volume rm diverged_data",
    ];
    case.controller(&["plan", "emilia"]).with(1, &words);
    case.deploy().with(1, &words);
    assert_eq!(case.id("web"), web);
    let data = world.emilia.sh(&format!("cat {kept}/file")).unwrap();
    assert_eq!(data.trim(), "kept");
    // Docker adds nothing of its own to the options that it was given.
    case.write(
        "compose.yaml",
        &format!(
            "{mounting}volumes:\n  other: {{ driver_opts: {{ type: tmpfs, device: tmpfs }} }}\n"
        )
        .replace("data:/data", "other:/data"),
    );
    case.deploy().done();
    case.write(
        "compose.yaml",
        &std::fs::read_to_string(case.path("compose.yaml"))
            .unwrap()
            .replace("restart: always", "restart: unless-stopped"),
    );
    let plan = case
        .controller(&["plan", "emilia"])
        .with(2, &["restart", "unless-stopped"]);
    assert!(!plan.contains("not as the stack defines"), "{plan}");
    case.controller(&["down", "emilia", "--yes", "--volumes"])
        .done();
    case.docker("volume rm -f diverged_data");
}

#[test]
fn a_port_that_a_container_or_a_program_holds_is_refused_with_its_name() {
    let Some(world) = world() else { return };
    let case = world.case("ports");
    let publish = |port: u16| {
        let ports = format!("    ports: [\"{port}:8080\"]\n");
        case.write("compose.yaml", &format!("{WEB}{ports}"));
    };
    publish(18_341);
    let image = format!("{}/org/web:1", world.registry.address());
    let other = case.docker(&format!("run -d --name ports-other -p 18341:8080 {image}"));
    let words = ["port 18341/tcp of web", "container ports-other"];
    case.controller(&["plan", "emilia"]).with(1, &words);
    case.deploy().with(1, &words);
    assert_eq!(case.containers(), "");
    case.docker(&format!("rm -f {other}"));
    case.deploy().done();

    // What it publishes itself is no collision.
    case.write(".env", "TAG=2\n");
    case.deploy().done();
    publish(7433);
    case.controller(&["plan", "emilia"])
        .with(1, &["port 7433/tcp of web is taken by program agent"]);
    case.controller(&["down", "emilia", "--yes"]).done();
}

#[test]
fn how_long_a_service_will_be_away_is_known_from_its_last_deploy() {
    let Some(world) = world() else { return };
    let case = world.case("away");
    let deploy = |tag: u8| {
        case.write(".env", &format!("TAG={tag}\n"));
        case.deploy().done()
    };
    deploy(1);
    case.write(".env", "TAG=2\n");
    case.controller(&["plan", "emilia"])
        .with(2, &["at least", "without web", "not measured yet"]);
    deploy(2);
    case.write(".env", "TAG=1\n");
    let plan = case.controller(&["plan", "emilia"]);
    plan.with(2, &["about", "s without web (measured at its last start)"]);
}

#[test]
fn a_saved_plan_is_deployed_without_the_stack_and_holds_no_secret() {
    let Some(world) = world() else { return };
    let case = world.case("saved");
    let secret = "DB = { command = [\"echo\", \"canary31\"] }\n";
    case.fleet(secret);
    let text = WEB.replace("FIXTURE_SHOW: NOTHING", "DB: \"${DB}\"");
    case.write("compose.yaml", &text);
    case.controller(&["plan", "emilia", "--allow-commands", "--out", "p.plan"])
        .with(2, &["deploy --plan p.plan", "1 to create"]);
    let file = case.folder.path().join("p.plan");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("canary"));
    // Neither the stack's folder nor its programs are asked.
    std::fs::rename(case.path(""), case.folder.path().join("away")).unwrap();
    case.fleet("DB = { command = [\"false\"] }\n");
    case.controller(&["deploy", "--plan", "p.plan"])
        .with(64, &["--yes"]);
    let said = case
        .controller(&["deploy", "--plan", "p.plan", "--yes"])
        .done();
    assert!(said.contains("committed"), "{said}");
    let web = case.id("web");
    assert_eq!(
        case.docker(&format!("exec {web} /fixture env DB")),
        "canary31"
    );

    // It has been done; what it would do now is nothing.
    case.controller(&["deploy", "--plan", "p.plan", "--yes"])
        .with(
            1,
            &[
                "the host has moved on since this plan was saved",
                "was at none",
            ],
        );
    assert_eq!(case.id("web"), web);
}

#[test]
fn a_saved_plan_is_refused_once_the_host_has_moved_on() {
    let Some(world) = world() else { return };
    let case = world.case("moved");
    case.deploy().done();
    case.write(".env", "TAG=2\n");
    case.controller(&["plan", "emilia", "--out", "p.plan"])
        .with(2, &["recreate"]);
    case.write(
        "compose.yaml",
        &WEB.replace("restart: always", "restart: unless-stopped"),
    );
    case.write(".env", "TAG=1\n");
    case.deploy().done();
    let web = case.id("web");
    let refused = case.controller(&["deploy", "--plan", "p.plan", "--yes"]);
    refused.with(
        1,
        &["has moved on", "the host is at revision", "service web"],
    );
    assert_eq!(case.id("web"), web);
    let wrong = case.controller(&["deploy", "emilia", "--plan", "p.plan"]);
    wrong.with(64, &["cannot be used with"]);
    case.write("../p.plan", "{\"longshore_plan\": 7}");
    case.controller(&["deploy", "--plan", "p.plan"])
        .with(1, &["form 7 of plans"]);
}
