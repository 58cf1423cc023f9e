//! Bad input gets a clear error and loses nothing.

use std::fs;
use std::os::unix::fs::symlink;

use tests::lab::{Fault, Image};

use crate::world::{WEB, world};

#[test]
fn an_invalid_fleet_key_shows_its_line() {
    let Some(world) = world() else { return };
    let case = world.case("key");
    let file = case.folder.path().join("fleet.toml");
    let text = fs::read_to_string(&file)
        .unwrap()
        .replace("project_name", "project_nam");
    fs::write(&file, text).unwrap();
    case.deploy()
        .with(65, &["fleet.toml", "project_nam", "project_name"]);
    fs::remove_file(&file).unwrap();
    case.deploy().with(65, &["fleet.toml"]);
}

#[test]
fn a_missing_fleet_key_is_named() {
    let Some(world) = world() else { return };
    let case = world.case("nokey");
    let file = case.folder.path().join("fleet.toml");
    let text = fs::read_to_string(&file).unwrap();
    for key in ["name", "address", "path"] {
        let kept = text.lines();
        let kept = kept.filter(|line| !line.starts_with(&format!("{key} = ")));
        fs::write(&file, kept.collect::<Vec<_>>().join("\n")).unwrap();
        case.deploy().with(65, &["fleet.toml", key]);
    }
}

#[test]
fn an_unknown_target_suggests_the_nearest() {
    let Some(world) = world() else { return };
    world
        .case("target")
        .controller(&["deploy", "emila", "--yes"])
        .with(64, &["emila", "emilia"]);
}

#[test]
fn a_stack_that_compose_rejects_is_refused_in_composes_words_and_nothing_is_touched() {
    let Some(world) = world() else { return };
    let case = world.case("yaml");
    case.deploy().done();
    let id = case.id("web");
    for (text, words) in [
        ("services:\n  web:\n   image: [\n", "yaml"),
        ("services:\n  web: { image: a, nonsense: 1 }\n", "nonsense"),
        (
            "services:\n  web: { image: a, networks: [nowhere] }\n",
            "nowhere",
        ),
        ("services:\n  web: { build: . }\n", "web has no image"),
        (
            "services:\n  web: { image: \"${REGISTRY}/org/web:${UNDEFINED_ONE}\" }\n",
            "UNDEFINED_ONE",
        ),
        (
            "services:\n  web: { image: \"${REGISTRY}/org/web:1\", env_file: missing.env }\n",
            "missing.env",
        ),
    ] {
        case.write("compose.yaml", text);
        case.deploy().with(65, &[words, "on emilia"]);
    }
    assert_eq!(case.id("web"), id);
    case.write("compose.yaml", WEB);
    assert!(case.deploy().done().contains("nothing to change"));
}

#[test]
fn an_undefined_variable_is_an_error_unless_it_may_be_blank() {
    let Some(world) = world() else { return };
    let case = world.case("undefined");
    case.write(
        "compose.yaml",
        &WEB.replace("FIXTURE_SHOW: NOTHING", "NAME: \"${NOBODY}\""),
    );
    case.deploy().with(65, &["NOBODY", "allow_undefined"]);
    case.controller(&["deploy", "emilia", "--yes", "--env", "NOBODY=somebody"])
        .done();
}

#[test]
fn a_missing_value_file_names_key_and_path() {
    let Some(world) = world() else { return };
    let case = world.case("value");
    case.fleet("SETTINGS = { file = \"nowhere.json\" }\n");
    case.deploy().with(65, &["SETTINGS", "nowhere.json"]);
}

#[test]
fn a_path_that_leaves_the_stack_is_refused() {
    let Some(world) = world() else { return };
    let case = world.case("escape");
    let mounting = |path: &str| {
        WEB.replace(
            "    restart:",
            &format!("    volumes: [\"{path}:/x\"]\n    restart:"),
        )
    };
    fs::write(case.folder.path().join("outside"), "secret").unwrap();
    case.write("compose.yaml", &mounting("../outside"));
    case.deploy().with(65, &["../outside"]);
    symlink("../outside", case.path("link")).unwrap();
    case.write("compose.yaml", &mounting("./link"));
    case.deploy().with(65, &["link"]);
    assert_eq!(case.containers(), "");
}

#[test]
fn an_image_that_cannot_be_had_is_told_before_anything_stops() {
    let Some(world) = world() else { return };
    let case = world.case("image");
    case.deploy().done();
    let id = case.id("web");
    case.write(".env", "TAG=9\n");
    case.deploy().with(1, &["org/web:9", "web"]);
    let faulty = world.registry.faulty().unwrap();
    case.write(
        "compose.yaml",
        &WEB.replace("${REGISTRY}", faulty.address().to_string().as_str()),
    );
    for (code, word) in [(401, "docker login"), (500, "org/web:9")] {
        faulty.clear();
        faulty.fail("/manifests/", Fault::Status(code));
        case.deploy().with(1, &[word]);
    }
    case.write("compose.yaml", &WEB.replace("${REGISTRY}", "127.0.0.1:9"));
    case.deploy().with(1, &["127.0.0.1:9", "refused"]);
    assert_eq!(case.id("web"), id);
}

#[test]
fn a_registry_that_wants_a_login_gets_the_one_of_the_workstation() {
    let Some(world) = world() else { return };
    let case = world.case("login");
    let registry = world.lab.registry_with_login().unwrap();
    Image::fixture("web", "1")
        .unwrap()
        .push(&registry, "org/web:1")
        .unwrap();
    case.write(
        "compose.yaml",
        &WEB.replace("${REGISTRY}", registry.address().to_string().as_str()),
    );
    case.deploy().with(1, &["docker login"]);
    let config = tempfile::tempdir().unwrap();
    // ana:harbour, as `docker login` writes it.
    let auths = format!(
        "{{\"auths\": {{\"{}\": {{\"auth\": \"YW5hOmhhcmJvdXI=\"}}}}}}",
        registry.address()
    );
    fs::write(config.path().join("config.json"), auths).unwrap();
    let env = [("DOCKER_CONFIG", config.path().to_str().unwrap())];
    case.controller_with(&["deploy", "emilia", "--yes"], &env)
        .done();
    let kept = world
        .emilia
        .sh("grep -rls -e harbour -e YW5hOmhhcmJvdXI /var/lib/longshore /etc/longshore || true");
    assert_eq!(kept.unwrap(), "", "the login is on the host's disk");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let Some(world) = world() else { return };
    let (first, second) = (world.case("porta"), world.case("portb"));
    let publishing = WEB.replace("    restart:", "    ports: [\"18099:8080\"]\n    restart:");
    first.write("compose.yaml", &publishing);
    first.deploy().done();
    second.write("compose.yaml", &publishing);
    second.deploy().with(1, &["18099"]);
    assert_eq!(second.containers(), "");
}

#[test]
fn a_project_that_somebody_else_started_is_refused() {
    let Some(world) = world() else { return };
    let case = world.case("foreign");
    let image = world.registry.image("org/web:1");
    let compose = format!("services: {{ web: {{ image: \"{image}\" }} }}");
    world.emilia.sh(&format!("mkdir -p /srv/foreign && echo '{compose}' >/srv/foreign/compose.yaml && cd /srv/foreign && docker compose up -d")).unwrap();
    let id = case.id("web");
    case.deploy()
        .with(1, &["was not started by longshore", "/srv/foreign"]);
    assert_eq!(case.id("web"), id);
}

#[test]
fn a_prompt_never_blocks_a_pipe() {
    let Some(world) = world() else { return };
    let case = world.case("prompt");
    case.controller(&["deploy", "emilia"]).with(64, &["--yes"]);
    assert_eq!(case.containers(), "");
}
