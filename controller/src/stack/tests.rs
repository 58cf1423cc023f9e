//! Folders as teams have them, and what Compose would be started with.

use std::collections::BTreeMap;
use std::fs;

use proto::fault::Fault;
use proto::limits::VALUE_BYTES;

use super::*;
use crate::fleet::Fleet;

/// A fleet in a folder of its own: `stack` is the body of `[stacks.opq]`.
struct Place {
    dir: tempfile::TempDir,
    fleet: Fleet,
    printed: Printed,
}

impl Place {
    fn new(stack: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let text = format!(
            "[fleet]\nname = \"f\"\nca = \"ca.pem\"\n[hosts.h]\naddress = \"h\"\nstacks = [\"opq\"]\n\
             [stacks.opq]\npath = \"opq\"\n{stack}\n"
        );
        let fleet = Fleet::parse(&dir.path().join("fleet.toml"), &text).unwrap();
        let printed = Printed::default();
        Self {
            dir,
            fleet,
            printed,
        }
    }

    fn read(&self, shell: &Shell) -> Result<Layout, StackError> {
        let stack = &self.fleet.stacks[0];
        let host_env = self.fleet.hosts[0].env.get(&stack.name);
        let printed = &self.printed;
        Layout::read(stack, host_env, Outside { shell, printed })
    }

    fn layout(&self) -> Layout {
        self.read(&Shell::default()).unwrap()
    }

    /// What the operator would read.
    fn fault(&self) -> String {
        let Fault {
            what,
            causes,
            hints,
            ..
        } = self.read(&Shell::default()).unwrap_err().into();
        let causes = causes.iter().map(|cause| format!("caused by: {cause}"));
        let hints = hints.iter().map(|hint| format!("hint: {hint}"));
        let lines: Vec<String> = [what].into_iter().chain(causes).chain(hints).collect();
        let root = self.dir.path().display().to_string();
        lines.join("\n").replace(&root, "/fleet")
    }
}

fn paths(layout: &Layout) -> Vec<&str> {
    let files = layout.compose_files.iter();
    files.map(|named| named.path.as_str()).collect()
}

fn value<'l>(layout: &'l Layout, name: &str) -> (&'l str, bool) {
    let found = layout.values.iter().find(|one| one.name.as_str() == name);
    let found = found.unwrap();
    (&found.text, found.secret)
}

const COMPOSE: &str = "services: {}\n";

#[test]
fn compose_files_are_those_that_compose_would_pick() {
    let one = Place::new("", &[("opq/docker-compose.yml", COMPOSE)]);
    assert_eq!(paths(&one.layout()), ["docker-compose.yml"]);

    let several = Place::new(
        "",
        &[
            ("opq/docker-compose.yml", COMPOSE),
            ("opq/compose.yaml", COMPOSE),
            ("opq/docker-compose.override.yml", COMPOSE),
        ],
    );
    let layout = several.layout();
    assert_eq!(
        paths(&layout),
        ["compose.yaml", "docker-compose.override.yml"]
    );
    assert_eq!(
        layout.warnings,
        ["stack opq has compose.yaml, docker-compose.yml; only compose.yaml is used"]
    );
}

#[test]
fn the_env_file_chooses_files_project_and_profiles() {
    let env = "COMPOSE_FILE=a.yaml:prod/b.yaml\nCOMPOSE_PROJECT_NAME=truenth-eu\nCOMPOSE_PROFILES=web, jobs\n";
    let files = [
        ("opq/.env", env),
        ("opq/a.yaml", COMPOSE),
        ("opq/prod/b.yaml", "name: other\n"),
    ];
    let layout = Place::new("", &files).layout();
    assert_eq!(paths(&layout), ["a.yaml", "prod/b.yaml"]);
    assert_eq!(layout.project.as_str(), "truenth-eu");
    assert_eq!(layout.profiles, ["web", "jobs"]);

    let over = "compose_files = [\"c.yaml\"]\nproject_name = \"mine\"\nprofiles = []";
    let files = [("opq/.env", env), ("opq/c.yaml", COMPOSE)];
    let layout = Place::new(over, &files).layout();
    assert_eq!(paths(&layout), ["c.yaml"]);
    assert_eq!(layout.project.as_str(), "mine");
    assert!(layout.profiles.is_empty());
}

#[test]
fn of_several_env_files_the_last_wins() {
    let files = [
        (
            "opq/common.env",
            "COMPOSE_PROFILES=web\nZONE=eu\nNAME=one\n",
        ),
        ("opq/h.env", "NAME=two\nCOMPOSE_PROJECT_NAME=opq-${ZONE}\n"),
        ("opq/compose.yaml", COMPOSE),
    ];
    let layout = Place::new("env_file = [\"common.env\", \"h.env\"]", &files).layout();
    let paths: Vec<&str> = layout.env_files.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["common.env", "h.env"]);
    assert_eq!(layout.project.as_str(), "opq-eu");
    assert_eq!(layout.profiles, ["web"]);
    assert_eq!(layout.dotenv.get("NAME"), Ok(Some("two")));
}

#[test]
fn relative_paths_start_in_the_folder_of_the_first_compose_file() {
    let files = [
        ("opq/.env", "COMPOSE_FILE=docker/compose.yaml:more.yaml\n"),
        ("opq/docker/compose.yaml", COMPOSE),
        ("opq/more.yaml", COMPOSE),
    ];
    let layout = Place::new("", &files).layout();
    assert_eq!(layout.project_folder.unwrap().as_str(), "docker");
    assert_eq!(layout.project.as_str(), "docker");
    assert_eq!(layout.env_files[0].path.as_str(), ".env");

    let files = [("opq/.env", ""), ("opq/compose.yaml", COMPOSE)];
    let place = Place::new("root = \"..\"", &files);
    let layout = place.layout();
    assert_eq!(layout.folder, place.dir.path());
    assert_eq!(paths(&layout), ["opq/compose.yaml"]);
    assert_eq!(layout.env_files[0].path.as_str(), "opq/.env");
    assert_eq!(layout.project_folder.unwrap().as_str(), "opq");
    assert_eq!(layout.project.as_str(), "opq");
}

#[test]
fn another_separator_is_honoured() {
    let env = "COMPOSE_PATH_SEPARATOR=;\nCOMPOSE_FILE=a.yaml;b.yaml\n";
    let files = [
        ("opq/.env", env),
        ("opq/a.yaml", COMPOSE),
        ("opq/b.yaml", COMPOSE),
    ];
    assert_eq!(
        paths(&Place::new("", &files).layout()),
        ["a.yaml", "b.yaml"]
    );
}

#[test]
fn a_project_that_names_itself_keeps_its_name() {
    let files = [("opq/compose.yaml", "name: ${P:-quickstart}\nservices: {}\n")];
    assert_eq!(
        Place::new("", &files).layout().project.as_str(),
        "quickstart"
    );
    let place = Place::new("env.P = \"Eu.1\"", &files);
    assert_eq!(place.layout().project.as_str(), "eu1");
    let files = [("opq/compose.yaml", COMPOSE)];
    assert_eq!(Place::new("", &files).layout().project.as_str(), "opq");
}

#[test]
fn the_nearest_source_of_a_value_wins() {
    let stack = "inherit = [\"TAG\", \"UNSET\"]\n[stacks.opq.env]\nTAG = \"a\"\nHOST = \"a\"\nBOTH = \"a\"\n\
                 [hosts.h.env.opq]\nHOST = \"b\"\nBOTH = \"b\"";
    let place = Place::new(stack, &[("opq/compose.yaml", COMPOSE)]);
    let vars = ["TAG", "OTHER", "HOST"].map(|name| (name.to_owned(), "shell".to_owned()));
    let shell = Shell::new(vars.into(), &["BOTH=c".to_owned()]).unwrap();
    let layout = place.read(&shell).unwrap();
    assert_eq!(value(&layout, "TAG").0, "shell");
    assert_eq!(value(&layout, "HOST").0, "b");
    assert_eq!(value(&layout, "BOTH").0, "c");
    assert_eq!(layout.values.len(), 3, "nothing comes along unnamed");
}

#[test]
fn a_file_is_taken_to_its_last_line_and_is_secret() {
    let stack = "[stacks.opq.env]\nJSON = { file = \"secret.json\" }\nOPEN = { file = \"secret.json\", secret = false }";
    let text = "{\n  \"a\": \"$b\"\n}\n";
    let place = Place::new(
        stack,
        &[("secret.json", text), ("opq/compose.yaml", COMPOSE)],
    );
    let layout = place.layout();
    let text = "{\n  \"a\": \"$b\"\n}";
    assert_eq!(value(&layout, "JSON"), (text, true));
    assert_eq!(value(&layout, "OPEN"), (text, false));
    assert!(!format!("{:?}", layout.values[0]).contains('$'));
}

#[test]
fn the_newline_that_an_editor_leaves_is_no_part_of_a_password() {
    let longest = "x".repeat(VALUE_BYTES);
    let cases = [
        ("hunter22", "hunter22"),
        ("hunter22\n", "hunter22"),
        ("hunter22\r\n", "hunter22"),
        // Only one: whoever means a newline writes it twice.
        ("hunter22\n\n", "hunter22\n"),
        ("hunter22 \n", "hunter22 "),
        ("hunter22\r", "hunter22\r"),
        ("one\r\ntwo\r\n", "one\r\ntwo"),
        ("\n", ""),
        ("", ""),
        (&format!("{longest}\n"), &longest),
        (&format!("{longest}\r\n"), &longest),
    ];
    for (content, wanted) in cases {
        let stack = "[stacks.opq.env]\nDB = { file = \"password\" }";
        let files = [("password", content), ("opq/compose.yaml", COMPOSE)];
        let layout = Place::new(stack, &files).layout();
        assert!(value(&layout, "DB").0 == wanted, "{} bytes", content.len());
    }
}

#[test]
fn a_secret_given_by_hand_stays_secret() {
    let stack = "[stacks.opq.env]\nDB = { command = [\"pass\", \"db\"] }";
    let place = Place::new(stack, &[("opq/compose.yaml", COMPOSE)]);
    let shell = Shell::new(BTreeMap::new(), &["DB=hunter22".to_owned()]).unwrap();
    assert_eq!(
        value(&place.read(&shell).unwrap(), "DB"),
        ("hunter22", true)
    );
}

#[test]
fn what_a_command_printed_is_a_value_and_secret_unless_said_otherwise() {
    let stack = "[stacks.opq.env]\nDB = { command = [\"pass\", \"db\"] }\n\
                 OPEN = { command = [\"pass\", \"open\"], secret = false }";
    let mut place = Place::new(stack, &[("opq/compose.yaml", COMPOSE)]);
    for word in ["db", "open"] {
        let argv = ["pass", word].map(str::to_owned).into();
        place.printed.insert(argv, format!("{word} $1").into());
    }
    let layout = place.layout();
    assert_eq!(value(&layout, "DB"), ("db $1", true));
    assert_eq!(value(&layout, "OPEN"), ("open $1", false));
    assert!(!format!("{:?}{:?}", place.printed, layout.values).contains("db $1"));
}

#[test]
fn only_commands_whose_value_is_used_are_to_be_run() {
    let stack = "inherit = [\"D\"]\n[stacks.opq.env]\nZ = { command = [\"z\"] }\n\
                 A = { command = [\"a\"] }\nB = { command = [\"b\"] }\nC = \"c\"\n\
                 D = { command = [\"d\"] }\n[hosts.h.env.opq]\nA = \"here\"\nC = { command = [\"c\"] }";
    let place = Place::new(stack, &[]);
    let names = |vars: &[(&str, &str)], args: &[&str]| -> Vec<String> {
        let vars = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let shell = Shell::new(vars.collect(), &args).unwrap();
        let (stack, host) = (&place.fleet.stacks[0], &place.fleet.hosts[0]);
        let all = commands(stack, host.env.get(&stack.name), &shell);
        all.into_iter().map(|(argv, ..)| argv.concat()).collect()
    };
    assert_eq!(names(&[("A", "1"), ("B", "1")], &[]), ["z", "b", "d", "c"]);
    assert_eq!(names(&[("D", "1"), ("B", "1")], &["B", "Z=0"]), ["c"]);
}

#[test]
fn references_in_the_env_file_see_the_values_that_win() {
    let files = [
        ("opq/.env", "P=file\nCOMPOSE_PROJECT_NAME=${P}-x\n"),
        ("opq/compose.yaml", COMPOSE),
    ];
    assert_eq!(Place::new("", &files).layout().project.as_str(), "file-x");
    let place = Place::new("env.P = \"value\"", &files);
    assert_eq!(place.layout().project.as_str(), "value-x");
}

#[test]
fn errors_say_what_to_do() {
    let compose = ("opq/compose.yaml", COMPOSE);
    let big = "x".repeat(200_000);
    let cases = [
        ("no folder", Place::new("", &[])),
        ("no compose file", Place::new("", &[("opq/README", "")])),
        (
            "no value file",
            Place::new(
                "[stacks.opq.env]\nA = { file = \"conf/a.json\" }",
                &[compose],
            ),
        ),
        (
            "a folder as value",
            Place::new("[stacks.opq.env]\nA = { file = \"opq\" }", &[compose]),
        ),
        (
            "a value too long",
            Place::new(
                "[stacks.opq.env]\nA = { file = \"big\" }",
                &[compose, ("big", &big)],
            ),
        ),
        (
            "a command",
            Place::new(
                "[stacks.opq.env]\nA = { command = [\"pass\", \"x\"] }",
                &[compose],
            ),
        ),
        (
            "not set",
            Place::new("[stacks.opq.env]\nA = { env = \"CI_TOKEN\" }", &[compose]),
        ),
        (
            "bad .env",
            Place::new("", &[compose, ("opq/.env", "A=1\nB=\"x\n")]),
        ),
        (
            "unresolved",
            Place::new("", &[compose, ("opq/.env", "COMPOSE_FILE=${X:?no}\n")]),
        ),
        (
            "leaves",
            Place::new("", &[compose, ("opq/.env", "COMPOSE_FILE=../a.yaml\n")]),
        ),
        (
            "missing",
            Place::new("", &[("opq/.env", "COMPOSE_FILE=gone.yaml\n")]),
        ),
        (
            "bad project",
            Place::new(
                "",
                &[compose, ("opq/.env", "COMPOSE_PROJECT_NAME=My.App\n")],
            ),
        ),
        (
            "bad name",
            Place::new("", &[compose, ("opq/.env", "COMPOSE_PROJECT_NAME=Ä\n")]),
        ),
        (
            "bad profile",
            Place::new("", &[compose, ("opq/.env", "COMPOSE_PROFILES=--help\n")]),
        ),
        (
            "no env_file",
            Place::new("env_file = \"prod.env\"", &[compose]),
        ),
    ];
    let shown = cases.map(|(title, place)| format!("== {title}\n{}\n", place.fault()));
    insta::assert_snapshot!(shown.join("\n"));
}
