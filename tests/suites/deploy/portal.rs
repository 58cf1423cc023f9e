//! `deploy/examples/portal`: one stack twice on a host, values from several places, tags that move, files that change.

use std::fs;
use std::path::PathBuf;

use tests::lab::Image;

use crate::examples::{edit, example};
use crate::world::{Case, WEB, World, world};

const SERVICES: [&str; 5] = ["celerybeat", "celeryworker", "db", "redis", "web"];

fn portal<'w>(world: &'w World, name: &str) -> Case<'w> {
    // Made by hand, once: several tests may be first.
    let make = "docker network inspect ingress >/dev/null 2>&1 || docker network create ingress || \
                docker network inspect ingress";
    world.emilia.sh(make).unwrap();
    example(world, "portal", name)
}

fn deploy(case: &Case<'_>, target: &str) -> String {
    case.controller(&["deploy", target, "--yes"]).done()
}

fn ids(case: &Case<'_>) -> [String; 5] {
    SERVICES.map(|service| case.id(service))
}

/// The services whose container is another one now, and the ids of all.
fn renewed(case: &Case<'_>, before: &[String; 5]) -> (Vec<&'static str>, [String; 5]) {
    let now = ids(case);
    let pairs = SERVICES.iter().zip(before.iter().zip(&now));
    let renewed = pairs.filter(|(_, (before, now))| before != now);
    (renewed.map(|(service, _)| *service).collect(), now.clone())
}

fn inspect(case: &Case<'_>, service: &str, format: &str) -> String {
    case.docker(&format!("inspect --format '{format}' {}", case.id(service)))
}

fn inside(case: &Case<'_>, service: &str, words: &str) -> String {
    case.docker(&format!("exec {} {words}", case.id(service)))
}

fn sql(case: &Case<'_>, statement: &str) -> String {
    let psql = "psql -U postgres -d portaldb -At -q";
    inside(case, "db", &format!("{psql} -c \"{statement}\""))
}

/// Name and content of each backup, the oldest first.
fn backups(case: &Case<'_>) -> Vec<(String, String)> {
    let files = fs::read_dir(case.folder.path().join("backups")).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort_unstable();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let both = |path| (name(path), fs::read_to_string(path).unwrap());
    paths.iter().map(both).collect()
}

#[test]
fn two_projects_of_one_stack_share_a_host_and_one_is_redeployed_alone() {
    let Some(world) = world() else { return };
    let case = portal(world, "twice");
    deploy(&case, "emilia");
    let trial =
        |service: &str| case.docker(&format!("ps -q --filter name=^twice-trial-{service}-1$"));
    let (mine, others) = (ids(&case), SERVICES.map(trial));
    assert!(mine.iter().chain(&others).all(|id| !id.is_empty()));

    // What the files say has arrived: those that COMPOSE_FILE names, the project's name, defaults, and the rest.
    let label = "{{index .Config.Labels \"traefik.http.routers.web-twice.rule\"}}";
    assert_eq!(inspect(&case, "web", label), "Host(`portal.example.org`)");
    assert_eq!(
        inspect(&case, "db", "{{.HostConfig.RestartPolicy.Name}}"),
        "unless-stopped"
    );
    let image = world.registry.image("uwcirg/portal:develop");
    assert_eq!(inspect(&case, "web", "{{.Config.Image}}"), image);
    let start = inspect(&case, "web", "{{.Config.Healthcheck.StartPeriod}}");
    assert_eq!(start, "5m0s");
    let mounts = "{{range .Mounts}}{{.Type}}:{{.Destination}} {{end}}";
    assert!(inspect(&case, "web", mounts).contains("tmpfs:/tmp"));
    assert_eq!(inside(&case, "web", "/fixture env SESSION_MINUTES"), "30");
    assert_eq!(
        inside(&case, "celerybeat", "/fixture env FIXTURE_NAME"),
        "celerybeat"
    );
    let uri = "postgresql://postgres:only-for-trying-it-out@db/portaldb";
    assert_eq!(
        inside(&case, "celerybeat", "/fixture env SQLALCHEMY_DATABASE_URI"),
        uri
    );
    let networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
    assert_eq!(inspect(&case, "web", networks), "ingress twice_default");
    assert_eq!(inspect(&case, "celeryworker", networks), "twice_default");

    // The shell's tag wins over the file's, and only for whom it is inherited.
    edit(
        &case,
        "portal/.env",
        "POSTGRES_IMAGE",
        "DOCKER_IMAGE_TAG=develop\nPOSTGRES_IMAGE",
    );
    let image = Image::fixture("portal", "stable").unwrap();
    image.push(&world.registry, "uwcirg/portal:stable").unwrap();
    let shell = [("DOCKER_IMAGE_TAG", "stable")];
    let said = case
        .controller_with(&["deploy", "emilia/twice", "--yes"], &shell)
        .done();
    let (renewed, now) = renewed(&case, &mine);
    assert_eq!(renewed, ["celerybeat", "celeryworker", "web"], "{said}");
    assert_eq!(SERVICES.map(trial), others);
    assert_eq!(
        inside(&case, "web", "/fixture env FIXTURE_VERSION"),
        "stable"
    );
    let plan = case.controller_with(&["plan", "emilia"], &shell).done();
    assert!(plan.contains("twice-trial"), "{plan}");
    assert_eq!(ids(&case), now);
}

#[test]
fn changed_files_renew_exactly_their_users_and_a_rollback_brings_the_old_ones_back() {
    let Some(world) = world() else { return };
    let case = portal(world, "filed");
    let target = "emilia/filed";
    deploy(&case, target);
    sql(
        &case,
        "CREATE TABLE people (name text); INSERT INTO people VALUES ('ana')",
    );
    let first = ids(&case);

    edit(
        &case,
        "portal/portal.env",
        "SESSION_MINUTES=30",
        "SESSION_MINUTES=45",
    );
    let said = deploy(&case, target);
    let (anew, second) = renewed(&case, &first);
    assert_eq!(anew, ["celerybeat", "celeryworker", "web"], "{said}");
    let [backup] = backups(&case).try_into().unwrap();
    assert!(backup.0.starts_with("filed-2"), "{}", backup.0);
    assert!(backup.1.contains("CREATE TABLE public.people") && backup.1.contains("\nana\n"));
    let told = "new containers: filed-celerybeat-1, filed-celeryworker-1, filed-web-1\n";
    assert!(said.contains(told), "{said}");
    assert_eq!(
        inside(&case, "celerybeat", "/fixture env SESSION_MINUTES"),
        "45"
    );

    edit(
        &case,
        "portal/config/site.cfg",
        "workers = 2",
        "workers = 4",
    );
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let address = inspect(&case, "web", address);
    let (address, _) = address.split_once(' ').unwrap();
    world
        .emilia
        .sh(&format!("curl -sf {address}:8080"))
        .unwrap();
    let refused = case.controller(&["deploy", target, "--yes"]);
    refused.with(1, &["900 is the least", "--force"]);
    assert_eq!(ids(&case), second);
    assert_eq!(backups(&case).len(), 1);
    let said = case.controller(&["deploy", target, "--yes", "--force"]);
    let said = said.done();
    assert_eq!(backups(&case).len(), 2, "{said}");
    let (anew, third) = renewed(&case, &second);
    assert_eq!(anew, ["celeryworker", "web"], "{said}");
    for service in anew {
        let text = inside(&case, service, "/fixture cat /etc/portal/site.cfg");
        assert_eq!(text, "title = A portal\nworkers = 4");
    }

    case.controller(&["rollback", target, "--yes"]).done();
    let (anew, _) = renewed(&case, &third);
    assert_eq!(anew, ["celeryworker", "web"]);
    for service in anew {
        let text = inside(&case, service, "/fixture cat /etc/portal/site.cfg");
        assert_eq!(text, "title = A portal\nworkers = 2");
    }
    assert_eq!(inside(&case, "web", "/fixture env SESSION_MINUTES"), "45");
    assert_eq!(case.id("db"), first[2]);
    assert_eq!(sql(&case, "SELECT name FROM people"), "ana");
}

#[test]
fn a_moving_tag_is_looked_up_on_each_deploy_and_one_service_brings_what_it_depends_on() {
    let Some(world) = world() else { return };
    let case = portal(world, "floating");
    let target = "emilia/floating";
    let push = |version: &str| {
        let image = Image::fixture("portal", version).unwrap();
        image
            .push(&world.registry, "moving/portal:develop")
            .unwrap();
    };
    edit(&case, "portal/.env", "/uwcirg/", "/moving/");
    push("one");
    deploy(&case, target);
    let first = ids(&case);
    let again = deploy(&case, target);
    assert!(again.contains("nothing to change"), "{again}");

    // No file is another one: what is asked for is the registry's business.
    push("two");
    let said = deploy(&case, target);
    let (anew, second) = renewed(&case, &first);
    assert_eq!(anew, ["celerybeat", "celeryworker", "web"], "{said}");
    assert_eq!(inside(&case, "web", "/fixture env FIXTURE_VERSION"), "two");

    push("three");
    edit(
        &case,
        "portal/docker-compose.yaml",
        "POSTGRES_DB: portaldb",
        "POSTGRES_DB: portaldb\n      PGTZ: UTC",
    );
    let said = deploy(&case, "emilia/floating/web");
    let (anew, _) = renewed(&case, &second);
    assert_eq!(anew, ["db", "web"], "{said}");
    assert_eq!(
        inside(&case, "web", "/fixture env FIXTURE_VERSION"),
        "three"
    );
    assert_eq!(
        inside(&case, "celerybeat", "/fixture env FIXTURE_VERSION"),
        "two"
    );
}

#[test]
fn a_network_that_nobody_made_is_named_and_what_runs_stays() {
    let Some(world) = world() else { return };
    let case = world.case("moored");
    case.deploy().done();
    let id = case.id("web");
    let joined = "    networks: [default, quay]\n    restart:";
    let external = "networks:\n  quay:\n    external: true\n";
    let compose = WEB.replace("    restart:", joined);
    case.write("compose.yaml", &format!("{compose}{external}"));
    case.controller(&["plan", "emilia"]).with(1, &["quay"]);
    case.deploy().with(1, &["quay"]);
    assert_eq!(case.id("web"), id);
    case.docker("network create quay");
    case.deploy().done();
}
