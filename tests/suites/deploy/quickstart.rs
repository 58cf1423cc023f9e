//! `deploy/examples/quickstart`: many Compose files, one-shots and health in order, isolated networks, volumes that stay.

use std::fs;
use std::sync::OnceLock;

use crate::examples::{Story, edit, example};
use crate::world::{Case, World, controller, world};

const SERVICES: [&str; 6] = [
    "certificates",
    "database-init",
    "gateway",
    "inventory",
    "postgres",
    "redis",
];

/// The example, deployed once for the tests that only look at it.
struct Deployed {
    case: Case<'static>,
    story: Story,
    said: String,
}

fn deployed(world: &'static World) -> &'static Deployed {
    static DEPLOYED: OnceLock<Deployed> = OnceLock::new();
    DEPLOYED.get_or_init(|| {
        let case = quickstart(world, "quicklook", 18443);
        let story = Story::from_now(world, &case);
        let said = case.deploy().done();
        Deployed { case, story, said }
    })
}

fn quickstart<'w>(world: &'w World, name: &str, port: u16) -> Case<'w> {
    let case = example(world, "quickstart", name);
    let port = format!("GATEWAY_PORT={port}");
    edit(&case, "quickstart/.env", "GATEWAY_PORT=8443", &port);
    case
}

#[test]
fn many_files_start_in_the_order_of_health_and_of_one_shots() {
    let Some(world) = world() else { return };
    let Deployed { case, story, said } = deployed(world);
    for (before, after) in [
        ("postgres health_status: healthy", "database-init start"),
        ("database-init die", "inventory start"),
        ("certificates die", "inventory start"),
        ("redis health_status: healthy", "inventory start"),
        ("inventory health_status: healthy", "gateway start"),
    ] {
        story.in_order(before, after);
    }
    for service in SERVICES {
        assert!(said.contains(service), "{service} is not in:\n{said}");
    }
    for service in ["certificates", "database-init"] {
        let state = inspect(case, service, "{{.State.Status}} {{.State.ExitCode}}");
        assert_eq!(state, "exited 0");
    }
    let before = SERVICES.map(|service| case.id(service));
    let again = case.deploy().done();
    assert!(again.contains("nothing to change"), "{again}");
    assert_eq!(SERVICES.map(|service| case.id(service)), before);
    let tables = "SELECT count(*) FROM components";
    assert_eq!(sql(case, tables), "0");
}

#[test]
fn networks_isolate_and_only_the_gateway_answers_from_outside() {
    let Some(world) = world() else { return };
    let Deployed { case, .. } = deployed(world);
    let root = format!("{}/root_ca.crt", volume(case, "step-root-ca"));
    let place = "quickstart.example.org:18443";
    let get = format!("curl -sf --cacert {root} --connect-to {place}:127.0.0.1: https://{place}/");
    assert_eq!(world.emilia.sh(&get).unwrap(), "inventory 1.0\n");

    // The same name and the same address, from a service of its network and from one that is on others.
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = inspect(case, "postgres", address);
    let reach = |host: &str| format!("exec {} /fixture reach {host} 5432", case.id("inventory"));
    for host in ["postgres", &address] {
        assert_eq!(case.docker(&reach(host)), "reached");
        for service in ["gateway", "redis"] {
            let probe = format!(
                "docker exec {} nc -w 2 {host} 5432 </dev/null",
                case.id(service)
            );
            let refused = world.emilia.sh(&probe);
            assert!(refused.is_err(), "{service} reaches {host}");
        }
    }

    let (ip, open) = (world.emilia.ip(), "exec 3<>/dev/tcp");
    let from_outside = |port: u16| {
        world
            .loa
            .sh(&format!("timeout 5 bash -c '{open}/{ip}/{port}'"))
    };
    from_outside(18443).unwrap();
    for port in [5432, 6379, 8080, 8404] {
        assert!(from_outside(port).is_err(), "port {port} answers");
    }
    for service in SERVICES {
        let published = case.docker(&format!("port {}", case.id(service)));
        assert_eq!(!published.is_empty(), service == "gateway", "{published}");
    }
}

#[test]
fn volumes_outlive_deploys_and_down_and_go_only_when_an_admin_asks() {
    let Some(world) = world() else { return };
    let case = quickstart(world, "quickstay", 18444);
    case.deploy().done();
    sql(&case, "INSERT INTO components VALUES ('x1000', 'ready')");
    let rows = || sql(&case, "SELECT id, state FROM components");
    let root = || {
        let file = format!("{}/root_ca.crt", volume(&case, "step-root-ca"));
        world.emilia.sh(&format!("sha256sum {file}")).unwrap()
    };
    let authority = root();

    let gateway = case.id("gateway");
    let cfg = "quickstart/gateway/haproxy.cfg";
    edit(&case, cfg, "timeout connect 2s", "timeout connect 3s");
    case.deploy().done();
    assert_ne!(case.id("gateway"), gateway);
    case.docker(&format!("restart -t 5 {}", case.id("postgres")));
    crate::world::eventually("postgres is back", || {
        inspect(&case, "postgres", "{{.State.Health.Status}}") == "healthy"
    });
    assert_eq!(
        (rows(), root()),
        ("x1000|ready".to_owned(), authority.clone())
    );

    let deployer = deployer(world, &case);
    let down = ["down", "emilia/quickstay", "--yes", "--volumes"];
    let refused = controller(case.folder.path(), deployer.path(), &down, &[]);
    refused.with(6, &["deployer", "admin"]);
    assert_eq!(rows(), "x1000|ready");
    controller(case.folder.path(), deployer.path(), &down[..3], &[]).done();
    assert_eq!(case.containers(), "");
    case.deploy().done();
    assert_eq!((rows(), root()), ("x1000|ready".to_owned(), authority));

    case.controller(&down).done();
    let left = case.docker("volume ls -q --filter name=^quickstay_");
    assert_eq!((left.as_str(), case.containers().as_str()), ("", ""));
}

/// A workstation whose operator may deploy, and not more.
fn deployer(world: &World, case: &Case<'_>) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let (request, grant) = (home.path().join("request"), home.path().join("grant"));
    let (request, grant) = (request.to_str().unwrap(), grant.to_str().unwrap());
    let at_home = |words: &[&str]| controller(case.folder.path(), home.path(), words, &[]).done();
    at_home(&["operator", "request", "dee", "--out", request]);
    let approve = [
        "operator",
        "approve",
        "dee",
        "--role",
        "deployer",
        "--request",
        request,
    ];
    fs::write(grant, world.admin_does(&approve).done()).unwrap();
    at_home(&["operator", "accept", grant]);
    home
}

fn inspect(case: &Case<'_>, service: &str, format: &str) -> String {
    case.docker(&format!("inspect --format '{format}' {}", case.id(service)))
}

fn volume(case: &Case<'_>, name: &str) -> String {
    let name = format!("{}_{name}", case.stack);
    case.docker(&format!(
        "volume inspect --format {{{{.Mountpoint}}}} {name}"
    ))
}

fn sql(case: &Case<'_>, statement: &str) -> String {
    let psql = "psql -U postgres -d inventory -At -q";
    case.docker(&format!(
        "exec {} {psql} -c \"{statement}\"",
        case.id("postgres")
    ))
}
