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

/// A kit keeps a folder per site, and a base that all extend; a variable picks one.
#[test]
fn what_is_included_and_extended_is_shipped_whoever_names_it() {
    let Some(world) = world() else { return };
    let case = world.case("included");
    let base = shell_service("base", RUNS, "", "volumes: [./conf:/base]");
    case.write("base/compose.yaml", &format!("services:\n{base}"));
    case.write("base/conf/a", "base\n");
    for site in ["one", "two"] {
        let inc = shell_service(
            "inc",
            RUNS,
            "",
            "volumes: [./conf:/conf]\nenv_file: [{ path: ./opt.env, required: false }]",
        );
        case.write(
            &format!("{site}/compose.yaml"),
            &format!("include: [more/compose.yaml]\nservices:\n{inc}"),
        );
        case.write(&format!("{site}/conf/a"), &format!("{site}\n"));
        let more = shell_service(
            "more",
            RUNS,
            "",
            &format!("environment: {{ SITE: {site} }}"),
        );
        let more = format!("services:\n{more}");
        case.write(&format!("{site}/more/compose.yaml"), &more);
    }
    case.write("two/opt.env", "OPT=here\n");
    let web = "  web:\n    extends: { file: \"${BASE:-base}/compose.yaml\", service: base }\n";
    let compose = format!("include: [\"${{SITE:-one}}/compose.yaml\"]\nservices:\n{web}");
    case.write("compose.yaml", &compose);
    let shown = || {
        let inside = [
            "included-web-1 cat /base/a",
            "included-inc-1 sh -c 'cat /conf/a; echo \"[$OPT]\"'",
            "included-more-1 sh -c 'echo $SITE'",
        ];
        inside.map(|what| case.docker(&format!("exec {what}")))
    };
    case.deploy().done();
    assert_eq!(shown(), ["base", "one\n[]", "one"]);
    case.write(".env", "TAG=1\nSITE=two\n");
    case.deploy().done();
    assert_eq!(shown(), ["base", "two\n[here]", "two"]);
    case.write("two/conf/a", "changed\n");
    case.deploy()
        .with(0, &["recreate  inc  mounted file two/conf/a changed"]);
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");
}

#[test]
fn a_project_is_called_what_compose_calls_it() {
    let Some(world) = world() else { return };
    let case = world.case("named");
    case.section("path = \"stack\"");
    let app = shell_service("app", RUNS, "", "labels: { project: *n }");
    for (name, project) in [
        ("name: &n anchored", "anchored"),
        ("\"name\": &n \"quoted\"", "quoted"),
        ("name: &n !!str tagged", "tagged"),
        ("name: &n ${NAMED:-by-a-variable}", "by-a-variable"),
        ("x-n: &n none", "stack"),
    ] {
        case.write("compose.yaml", &format!("{name}\nservices:\n{app}"));
        let said = case.controller(&["plan", "emilia", "-o", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        let plan = &plan["plans"][0]["plan"];
        assert_eq!(plan["project"], project, "{name}: {plan}");
    }
    case.write(
        "compose.yaml",
        &format!("name: &n anchored\nservices:\n{app}"),
    );
    case.deploy().done();
    assert_eq!(
        case.docker("inspect -f '{{.Config.Labels.project}}' anchored-app-1"),
        "anchored"
    );
    // What another stack has is refused, whatever the workstation takes the name for.
    let other = world.case("named-too");
    other.section("path = \"stack\"");
    other.write(
        "compose.yaml",
        &format!("name: &n anchored\nservices:\n{app}"),
    );
    other
        .deploy()
        .with(1, &["project anchored already belongs to stack named"]);
    case.controller(&["down", "emilia", "--yes"]).done();
}

/// `COMPOSE_FILE=docker/compose.yaml`, as many repositories have it: relative paths start beside that file.
#[test]
fn relative_paths_start_beside_the_first_compose_file() {
    let Some(world) = world() else { return };
    let case = world.case("subfolder");
    let app = shell_service(
        "app",
        RUNS,
        "",
        "volumes: [./conf:/conf, ../shared:/shared]",
    );
    case.write("docker/compose.yaml", &format!("services:\n{app}"));
    case.write(".env", "COMPOSE_FILE=docker/compose.yaml\n");
    case.write("docker/conf/a", "beside\n");
    case.write("conf/a", "not this\n");
    case.write("shared/b", "shared\n");
    std::fs::remove_file(case.path("compose.yaml")).unwrap();
    case.deploy().done();
    let inside = case.docker("exec subfolder-app-1 cat /conf/a /shared/b");
    assert_eq!(inside, "beside\nshared");
    let folder = "/var/lib/longshore/stacks/subfolder/project/docker";
    let label = "'{{index .Config.Labels \"com.docker.compose.project.working_dir\"}}'";
    assert_eq!(
        case.docker(&format!("inspect -f {label} subfolder-app-1")),
        folder
    );
    // Plain Compose there sees nothing to do either.
    let up = format!(
        "cd {folder}/.. && REGISTRY={} docker compose -p subfolder up -d --dry-run 2>&1",
        world.registry.address()
    );
    let said = case.on_emilia(&up);
    assert!(
        said.contains("Running") && !said.contains("Recreate"),
        "{said}"
    );
}

/// A stack of a repository whose stacks share files: `root` is the repository.
#[test]
fn a_stack_may_take_files_from_the_folder_above_that_it_names() {
    let Some(world) = world() else { return };
    let case = world.case("rooted");
    std::fs::remove_file(case.path("compose.yaml")).unwrap();
    let base = shell_service("base", RUNS, "", "labels: { from: base }");
    case.write("base.yaml", &format!("services:\n{base}"));
    case.write("shared/common.env", "ZONE=eu\n");
    case.write("stacks/c/conf/a", "own\n");
    case.write("stacks/c/.env", "NAME=own\n");
    let app = "services:\n  app:\n    extends: { file: ../../base.yaml, service: base }\n    env_file: [../../shared/common.env]\n    \
               environment: { NAME: \"${NAME}\" }\n    volumes: [./conf:/conf]\n";
    case.write("stacks/c/compose.yaml", app);
    let path = "path = \"stack/stacks/c\"\nproject_name = \"rooted\"";
    case.section(path);
    case.deploy()
        .with(65, &["open ../../base.yaml: no such file", "root = \"..\""]);
    case.section(&format!("{path}\nroot = \"../..\""));
    case.deploy().done();
    let inside = case.docker("exec rooted-app-1 sh -c 'cat /conf/a; echo $ZONE $NAME'");
    assert_eq!(inside, "own\neu own");
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");
    case.write("shared/common.env", "ZONE=us\n");
    case.deploy()
        .with(0, &["recreate  app  ~ environment ZONE"]);
}

#[test]
fn of_several_env_files_the_last_one_wins_also_in_a_takeover() {
    let Some(world) = world() else { return };
    let case = world.case("envfiles");
    let app = shell_service(
        "app",
        RUNS,
        "",
        "environment: { NAME: \"${NAME}\", ZONE: \"${ZONE}\" }",
    );
    case.write("compose.yaml", &format!("services:\n{app}"));
    case.write("common.env", "NAME=one\nZONE=eu\n");
    case.write("h.env", "NAME=two\n");
    let section =
        "path = \"stack\"\nproject_name = \"envfiles\"\nenv_file = [\"common.env\", \"h.env\"]";
    case.section(section);
    case.deploy().done();
    let shown = || case.docker("exec envfiles-app-1 sh -c 'echo $NAME $ZONE'");
    assert_eq!(shown(), "two eu");
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");
    case.controller(&["down", "emilia", "--yes"]).done();

    // The same by hand, then taken over as it runs.
    let folder = "/srv/envfiles";
    case.on_emilia(&format!(
        "cp -r /var/lib/longshore/stacks/envfiles/project {folder}"
    ));
    let registry = world.registry.address();
    case.on_emilia(&format!(
        "cd {folder} && REGISTRY={registry} docker compose -p envfiles --env-file common.env --env-file h.env up -d 2>&1"
    ));
    let id = case.id("app");
    let fleet = case.folder.path().join("fleet.toml");
    let text = std::fs::read_to_string(&fleet).unwrap();
    let line = format!("[hosts.emilia]\ndir = {{ envfiles = \"{folder}\" }}\n");
    std::fs::write(&fleet, text.replace("[hosts.emilia]\n", &line)).unwrap();
    case.controller(&["deploy", "emilia", "--adopt", "--yes"])
        .done();
    assert_eq!((case.id("app"), shown()), (id, "two eu".to_owned()));
}

#[test]
fn undefined_variables_are_told_with_place_service_and_profile_all_at_once() {
    let Some(world) = world() else { return };
    let case = world.case("unset");
    let write = |key: &str, more: &str| {
        let app = shell_service("app", RUNS, "", more);
        let backup = format!("profiles: [backup]\nenvironment: {{ KEY: \"{key}\" }}");
        let backup = shell_service("backup", RUNS, "", &backup);
        case.write("compose.yaml", &format!("services:\n{app}{backup}"));
    };
    // Nothing that is deployed uses it.
    write("${BACKUP_KEY}", "");
    let note = "not defined, and used by nothing that is deployed: BACKUP_KEY  compose.yaml:13  service backup (profile backup)";
    case.deploy().with(0, &[note]);
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");

    write(
        "${BACKUP_KEY}",
        "environment: { TWO: \"${TWO}\" }\nports: [\"${PORT}:80\"]\nenv_file: [app.env]",
    );
    case.write("app.env", "PRICE=5$DOLLARS\n");
    let said = case.deploy().with(
        65,
        &[
            "variables are not defined: DOLLARS, PORT, TWO",
            "TWO  compose.yaml:7  service app",
            "PORT  compose.yaml:8  service app",
            "DOLLARS  app.env:1  service app",
            "[stacks.unset.env]",
            "KEY='a$b'",
        ],
    );
    assert!(!said.contains("BACKUP_KEY"), "{said}");
    // With the profile it is needed.
    write("${BACKUP_KEY}", "");
    case.section("path = \"stack\"\nproject_name = \"unset\"\nprofiles = [\"backup\"]");
    case.deploy()
        .with(65, &["variable is not defined: BACKUP_KEY"]);
}

/// A stack that talks to Docker itself: what it calls by Docker's names is its own.
#[test]
fn variables_mean_what_the_stack_says_and_never_what_the_agent_runs_with() {
    let Some(world) = world() else { return };
    let case = world.case("whose");
    let values = "environment:\n  DOCKER_HOST: ${DOCKER_HOST}\n  FILES: ${COMPOSE_FILE}\n  HERE: ${PWD}\n  \
                  PLATFORM: ${DOCKER_DEFAULT_PLATFORM:-linux/amd64}\nenv_file: [app.env]\nvolumes: [\"${PWD}/conf:/conf\"]";
    let app = shell_service("app", RUNS, "", values);
    case.write("compose.yaml", &format!("services:\n{app}"));
    case.write(
        ".env",
        "DOCKER_HOST=tcp://proxy:2375\nCOMPOSE_FILE=compose.yaml\n",
    );
    case.write("app.env", "HOME=/srv/home\nDOCKER_CONFIG=/srv/docker\n");
    case.write("conf/a", "shipped\n");
    case.deploy().done();
    let shown = case.docker(
        "exec whose-app-1 sh -c 'echo $DOCKER_HOST $FILES $PLATFORM $HOME $DOCKER_CONFIG; echo $HERE; cat /conf/a'",
    );
    assert_eq!(
        shown,
        "tcp://proxy:2375 compose.yaml linux/amd64 /srv/home /srv/docker\n\
         /var/lib/longshore/stacks/whose/project\nshipped"
    );
    let said = case.controller(&["plan", "emilia"]).done();
    assert!(said.contains("nothing to change"), "{said}");
    // As for plain Compose there, which has the folder from its shell.
    let up = format!(
        "cd /var/lib/longshore/stacks/whose/project && REGISTRY={} docker --host unix:///var/run/docker.sock compose -p whose \
         up -d --dry-run 2>&1",
        world.registry.address()
    );
    let said = case.on_emilia(&up);
    assert!(
        said.contains("Running") && !said.contains("Recreate"),
        "{said}"
    );

    case.write(".env", "HOME=/srv/home\n");
    let home = shell_service("app", RUNS, "", "environment: { DATA: \"${HOME}\" }");
    case.write("compose.yaml", &format!("services:\n{home}"));
    case.deploy().with(65, &["reserved: HOME of .env"]);
}

#[test]
fn what_the_hosts_compose_leaves_out_is_told() {
    let Some(world) = world() else { return };
    let case = world.case("leftout");
    let hook = "post_start: [{ command: [touch, /by-hook] }]\nvolumes: [_data:/data]";
    let app = shell_service("_app", RUNS, "", hook);
    case.write(
        "compose.yaml",
        &format!("services:\n{app}volumes: {{ _data: {{}} }}\n"),
    );
    let said = case.deploy().done();
    let version = case.docker("compose version --short");
    let newer = proto::compose::numbers(&version).unwrap() >= (2, 30);
    let told =
        said.contains("post_start of service _app is left out: Docker Compose has it from 2.30 on");
    assert_eq!(told, !newer, "{said}");
    if newer {
        case.docker("exec leftout-_app-1 test -e /by-hook");
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
    case.write("notes/sub/more.yaml", "services: {}\n");
    let said = case
        .deploy()
        .with(65, &["sub/more.yaml: no such file", "ship = "]);
    assert!(!said.contains("staging"), "{said}");
}
