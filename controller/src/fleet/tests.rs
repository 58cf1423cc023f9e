//! What a reader of `fleet.toml`'s errors sees.

use super::value::ValueSource;
use super::*;
use proptest::prelude::*;

const GOOD: &str = r#"
[fleet]
name = "opq"
ca   = "ca.pem"
crl  = "revoked.crl"

[hosts.emilia]
address = "emilia.example.org:7433"
ssh     = "opquser@emilia.example.org:29862"
labels  = ["cloud"]
stacks  = ["opq", "portal"]
dir     = { portal = "/home/opquser/portal" }

[hosts.b]
address = "10.0.0.2"
stacks  = ["opq"]

[stacks.opq]
path = "opq"
inherit = ["DOCKER_IMAGE_TAG"]
ship = ["conf/**/*.yml"]

[stacks.portal]
path = "portal"
compose_files = ["docker-compose.yaml", "./docker-compose.prod.yaml"]
env_file = "prod.env"
profiles = ["web"]
project_name = "truenth"
allow_undefined = ["EXTRA"]

[stacks.opq.env]
NGINX_SERVER_NAME = "emilia.example.org"
PORT = 8_080
DEBUG = true
MAKAI_SETTINGS = { file = "config/makai.json" }
PUBLIC = { file = "/etc/hosts", secret = false }
DB_PASSWORD = { command = ["pass", "show", "opq/db"] }
TOKEN = { env = "CI_TOKEN" }

[[stacks.opq.probes]]
service = "view"
http    = "/health"
port    = 8080
status  = 200
timeout = "2s"

[[stacks.opq.probes]]
service  = "db"
exec     = ["pg_isready", "-q"]
interval = "500ms"

[[stacks.opq.probes]]
service = "db"
tcp     = 5432

[stacks.opq.deadlines]
view = "3m"

[hosts.emilia.env.opq]
VIEW_PORT = "8888"
"#;

fn parse(text: &str) -> Result<Fleet, FleetError> {
    Fleet::parse(Path::new("/srv/fleet/fleet.toml"), text)
}

/// What the operator would read.
fn shown(body: &str) -> String {
    let text = format!("[fleet]\nname = \"f\"\nca = \"ca.pem\"\n{body}");
    let fault = Fault::from(parse(&text).unwrap_err());
    let hints = fault.hints.iter().map(|hint| format!("hint: {hint}"));
    let lines = [fault.what].into_iter().chain(fault.output).chain(hints);
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("/srv/fleet/", "")
}

#[test]
fn the_documented_file_is_read_whole() {
    let fleet = parse(GOOD).unwrap();
    assert_eq!(fleet.ca, Path::new("/srv/fleet/ca.pem"));
    let hosts: Vec<_> = fleet.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(hosts, ["emilia", "b"], "the order of the file is kept");
    let emilia = &fleet.hosts[0];
    assert_eq!(emilia.ssh.as_ref().unwrap().port, Some(29862));
    assert_eq!(emilia.env[&"opq".parse().unwrap()].len(), 1);
    assert_eq!(
        emilia.dirs[&"portal".parse().unwrap()],
        "/home/opquser/portal".parse().unwrap()
    );
    let portal = fleet.stack(&"portal".parse().unwrap()).unwrap();
    assert_eq!(portal.compose_files[1].as_str(), "docker-compose.prod.yaml");
    assert_eq!(portal.profiles.as_deref(), Some(&["web".to_owned()][..]));
}

#[test]
fn values_say_where_they_come_from_and_whether_they_are_secret() {
    let fleet = parse(GOOD).unwrap();
    let env = &fleet.stacks[0].env;
    let of = |name: &str| &env[&name.parse::<VarName>().unwrap()];
    let text = |text: &str| ValueSource::Text(text.to_owned());
    assert_eq!(of("PORT").source, text("8080"));
    assert_eq!(of("DEBUG").source, text("true"));
    let makai = PathBuf::from("/srv/fleet/config/makai.json");
    assert_eq!(of("MAKAI_SETTINGS").source, ValueSource::File(makai));
    assert_eq!(of("MAKAI_SETTINGS").line, 35);
    for (name, secret) in [
        ("PORT", false),
        ("MAKAI_SETTINGS", true),
        ("PUBLIC", false),
        ("DB_PASSWORD", true),
        ("TOKEN", true),
    ] {
        assert_eq!(of(name).secret, secret, "{name}");
    }
}

#[test]
fn probes_and_deadlines_are_read() {
    let fleet = parse(GOOD).unwrap();
    let opq = &fleet.stacks[0];
    let told: Vec<_> = opq.probes.iter().map(|it| it.check.to_string()).collect();
    assert_eq!(
        told,
        [
            "http /health on port 8080",
            "exec pg_isready -q",
            "tcp port 5432"
        ]
    );
    let seconds = |it: &Probe| (it.timeout.as_secs_f64(), it.interval.as_secs_f64());
    let times: Vec<_> = opq.probes.iter().map(seconds).collect();
    assert_eq!(times, [(2.0, 1.0), (5.0, 0.5), (5.0, 1.0)]);
    assert_eq!(
        opq.deadlines[&"view".parse().unwrap()],
        Duration::from_secs(180)
    );
}

#[test]
fn a_wrong_probe_shows_its_line_and_what_to_do() {
    let stack = "[stacks.opq]\npath = \"opq\"\n";
    let probe = format!("{stack}[[stacks.opq.probes]]\n");
    let cases = [
        ("not a list", format!("{stack}probes = {{ tcp = 1 }}\n")),
        ("no service", format!("{probe}tcp = 5432\n")),
        ("asks nothing", format!("{probe}service = \"db\"\n")),
        (
            "asks two things",
            format!("{probe}service = \"db\"\ntcp = 1\nexec = [\"x\"]\n"),
        ),
        (
            "http without a port",
            format!("{probe}service = \"db\"\nhttp = \"/\"\n"),
        ),
        (
            "a port without http",
            format!("{probe}service = \"db\"\ntcp = 1\nport = 2\n"),
        ),
        (
            "no such port",
            format!("{probe}service = \"db\"\ntcp = 65536\n"),
        ),
        (
            "no such status",
            format!("{probe}service = \"db\"\nhttp = \"/\"\nport = 1\nstatus = 99\n"),
        ),
        (
            "no path",
            format!("{probe}service = \"db\"\nhttp = \"health\"\nport = 1\n"),
        ),
        (
            "no program",
            format!("{probe}service = \"db\"\nexec = []\n"),
        ),
        (
            "a shell's line",
            format!("{probe}service = \"db\"\nexec = \"pg_isready -q\"\n"),
        ),
        (
            "times",
            format!("{probe}service = \"db\"\ntcp = 1\ntimeout = 5\ninterval = \"soon\"\n"),
        ),
        (
            "too hasty",
            format!("{probe}service = \"db\"\ntcp = 1\ninterval = \"1ms\"\n"),
        ),
        (
            "unknown key",
            format!("{probe}service = \"db\"\ntcp = 1\ntimout = \"5s\"\n"),
        ),
        (
            "a deadline that never comes",
            format!("{stack}[stacks.opq.deadlines]\nview = \"48h\"\n"),
        ),
    ];
    let shown = cases.map(|(title, body)| format!("== {title}\n{}\n", shown(&body)));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn errors_show_the_line_and_what_to_do() {
    let stack = "[stacks.opq]\npath = \"opq\"\n";
    let host = "[hosts.a]\naddress = \"a:1\"\n";
    let cases = [
        ("unknown keys", format!("{host}label = [\"x\"]\n")),
        (
            "unknown section",
            "[host.a]\naddress = \"a:1\"\n".to_owned(),
        ),
        (
            "two wrong types",
            "[hosts.a]\naddress = 7433\nlabels = \"cloud\"\n".to_owned(),
        ),
        (
            "a number that is a version",
            format!("{stack}[stacks.opq.env]\nTAG = 1.10\n"),
        ),
        (
            "duplicate host",
            format!("{host}[hosts.a]\naddress = \"b:1\"\n"),
        ),
        ("duplicate word", format!("{host}labels = [\"x\", \"x\"]\n")),
        (
            "dangling stack",
            format!("{stack}{host}stacks = [\"opk\"]\n"),
        ),
        (
            "values for a stack not there",
            format!("{stack}{host}[hosts.a.env.opq]\nX = \"1\"\n"),
        ),
        (
            "bad name",
            "[hosts.\"Emilia 1\"]\naddress = \"a:1\"\n".to_owned(),
        ),
        (
            "reserved host name",
            "[hosts.all]\naddress = \"a:1\"\n".to_owned(),
        ),
        ("path that leaves", format!("{stack}ship = [\"../x\"]\n")),
        (
            "a folder of this machine",
            format!("{stack}inherit = [\"PWD\"]\n"),
        ),
        (
            "root that leads down",
            format!("{stack}root = \"shared\"\n"),
        ),
        (
            "env files",
            format!("{stack}env_file = [\"a\", \"a\", 1]\n"),
        ),
        (
            "reserved variable",
            format!("{stack}[stacks.opq.env]\nDOCKER_HOST = \"x\"\n"),
        ),
        ("no way for ssh", format!("{host}transport = \"ssh\"\n")),
        ("transport", format!("{host}transport = \"sssh\"\n")),
        ("dir without a stack", format!("{host}dir = \"/srv\"\n")),
        (
            "two sources",
            format!("{stack}env.A = {{ file = \"x\", env = \"Y\" }}\n"),
        ),
        ("no source", format!("{stack}env.A = {{ fil = \"x\" }}\n")),
        (
            "syntax",
            "[hosts.a\naddress = \"a:1\"\nnonsense = 1\n".to_owned(),
        ),
        (
            "one project twice on a host",
            format!(
                "{stack}project_name = \"p\"\n[stacks.b]\npath = \"opq\"\nproject_name = \"p\"\n{host}stacks = [\"opq\", \"b\"]\n"
            ),
        ),
    ];
    let shown = cases.map(|(title, body)| format!("== {title}\n{}\n", shown(&body)));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn missing_sections_are_named() {
    let text = |error: FleetError| error.to_string();
    assert!(text(parse("").unwrap_err()).contains("lacks `fleet`"));
    assert!(text(parse("[fleet]\nca = \"x\"\n").unwrap_err()).contains("lacks `name`"));
}

#[test]
fn the_file_is_found_by_walking_up() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    std::fs::create_dir_all(&deep).unwrap();
    let file = dir.path().join("a").join(FILE_NAME);
    std::fs::write(&file, GOOD).unwrap();
    assert_eq!(Fleet::find(&deep, None).unwrap(), file);
    assert_eq!(Fleet::find(dir.path(), Some(Path::new("a"))).unwrap(), file);
    assert_eq!(Fleet::load(&file).unwrap().hosts.len(), 2);
    assert!(matches!(
        Fleet::load(dir.path()),
        Err(FleetError::Unreadable(..))
    ));
}

#[test]
fn errors_in_hooks_show_the_line_and_what_to_do() {
    let hook =
        |keys: &str| format!("[stacks.opq]\npath = \"opq\"\n[[stacks.opq.hooks.before]]\n{keys}\n");
    let good = "service = \"db\"\nrun = [\"pg_dump\"]\n";
    let with = |keys: &str| hook(&format!("{good}{keys}"));
    let after = |keys: &str| with(keys).replace("before", "after");
    let cases = [
        ("unknown key", with("savee = \"x\"")),
        ("unknown side", with("").replace("before", "befor")),
        ("no service, no command", hook("timeout = \"1m\"")),
        (
            "a command for a shell",
            hook("service = \"db\"\nrun = \"pg_dump -U postgres\""),
        ),
        ("nothing to run", hook("service = \"db\"\nrun = []")),
        ("a bad service", hook("service = \"d b\"\nrun = [\"x\"]")),
        ("an odd time", with("timeout = \"soon\"")),
        ("a long time", with("timeout = \"25h\"")),
        ("unknown placeholder", with("save = \"backups/{host}.sql\"")),
        ("no file", with("save = \"backups/\"")),
        ("outside", with("save = \"../x\"")),
        ("somewhere without a file", with("save_on = \"host\"")),
        ("an odd place", with("save = \"x\"\nsave_on = \"server\"")),
        (
            "a relative file on the host",
            with("save = \"x\"\nsave_on = \"host\""),
        ),
        ("a gate that saves", with("save = \"x\"\ngate = true")),
        ("a gate that is none", with("gate = false\nat_least = 1")),
        ("a gate of nothing", with("at_least = 2\nat_most = 1")),
        ("a bound that is no number", with("at_least = \"900\"")),
        ("a gate after the deploy", after("gate = true")),
        (
            "no list",
            "[stacks.opq]\npath = \"opq\"\nhooks.before = 1\n".to_owned(),
        ),
    ];
    let shown = cases.map(|(title, body)| format!("== {title}\n{}\n", shown(&body)));
    insta::assert_snapshot!(shown.join("\n"));
}

const HOOKS: &str = r#"
[stacks.opq]
path = "opq"

[[stacks.opq.hooks.after]]
service = "web"
run     = ["flask", "notify", "exampleP@$$W0RD"]
one_off = true
timeout = "90s"

[[stacks.opq.hooks.before]]
service = "db"
run     = ["pg_dump", "-U", "postgres", "portaldb"]
save    = "backups/{project}-{time}-{image}.sql"

[[stacks.opq.hooks.before]]
service  = "web"
run      = ["flask", "last-usage"]
at_least = 900
"#;

fn with_hooks() -> Stack {
    let text = format!("[fleet]\nname = \"f\"\nca = \"ca.pem\"\n{HOOKS}");
    parse(&text).unwrap().stacks.remove(0)
}

#[test]
fn hooks_are_read_in_the_order_in_which_they_run() {
    let hooks = with_hooks().hooks.into_iter().map(|it| it.hook);
    let [backup, gate, notify]: [Hook; 3] = hooks.collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(backup.run.len(), 4);
    assert_eq!(backup.timeout_seconds, 600);
    let save = backup.save.unwrap();
    assert_eq!(save.file.as_str(), "backups/{project}-{time}-{image}.sql");
    assert_eq!(save.place, proto::hook::SavePlace::Workstation);
    assert_eq!(gate.gate.unwrap().at_least, Some(900));
    assert_eq!(gate.save, None);
    assert_eq!(notify.run.last().unwrap(), "exampleP@$$W0RD");
    assert!(notify.one_off && notify.gate.is_none());
    assert_eq!(notify.timeout_seconds, 90);
}

#[test]
fn a_hook_for_a_service_that_is_not_there_shows_the_line() {
    let stack = with_hooks();
    let name = &stack.name;
    assert!(
        stack.hooks[0]
            .check(name, ["db", "web"].into_iter())
            .is_ok()
    );
    let error = stack.hooks[0].check(name, ["dbs", "web"].into_iter());
    let fault = Fault::from(error.unwrap_err());
    insta::assert_snapshot!(
        [vec![fault.what], fault.output, fault.hints].concat().join("\n"),
        @r#"
    /srv/fleet/fleet.toml:15:11: stack opq has no service `db`, or not with these profiles
       |
    15 | service = "db"
       |           ^^^^
    did you mean `dbs`?
    "#
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_text_makes_the_reader_panic(cut in 0usize..1300, insert in "[\\[\\]{}='\"a-z.\n#0-9 ]{0,12}") {
        let (before, after) = GOOD.split_at_checked(cut).unwrap_or((GOOD, ""));
        let text = format!("{before}{insert}{after}");
        if let Err(error) = parse(&text) {
            prop_assert!(!Fault::from(error).what.is_empty());
        }
    }
}

#[test]
fn the_reference_is_a_fleet_file() {
    let text = include_str!("../../../deploy/examples/fleet.toml");
    let fleet = parse(text).unwrap();
    let stack = fleet.stack(&"opq".parse().unwrap()).unwrap();
    assert_eq!((stack.probes.len(), stack.hooks.len()), (3, 3));
    assert_eq!(stack.env.len(), 4);
}

#[test]
fn through_ssh_an_address_is_only_a_port() {
    for (address, port) in [("", 7433), ("address = \"emilia:7444\"\n", 7444)] {
        let text = format!(
            "[fleet]\nname = \"opq\"\nca = \"ca.pem\"\n[hosts.a]\nssh = \"captain@emilia\"\ntransport = \"ssh\"\n{address}"
        );
        let fleet = parse(&text).unwrap();
        let host = &fleet.hosts[0];
        assert_eq!((host.transport, host.address.port), (Transport::Ssh, port));
    }
}
