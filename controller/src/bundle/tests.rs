//! What is shipped of a folder, and what is refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use proptest::prelude::*;
use proto::limits::{BUNDLE_BYTES, BUNDLE_FILES};

use super::*;
use crate::programs::Printed;
use crate::shell::Shell;

struct Place {
    dir: tempfile::TempDir,
    fleet: Fleet,
}

impl Place {
    /// A stack with a Compose file, these files and these lines in its section.
    fn new(section: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "[fleet]\nname = \"f\"\nca = \"ca.pem\"\n[hosts.h]\naddress = \"h\"\nstacks = [\"opq\"]\n\
             [stacks.opq]\npath = \"opq\"\n{section}\n"
        );
        let fleet = Fleet::parse(&dir.path().join("fleet.toml"), &text).unwrap();
        let place = Self { dir, fleet };
        place.write("compose.yaml", "services: {}\n");
        for (path, text) in files {
            place.write(path, text);
        }
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("opq").join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, target: impl AsRef<Path>, path: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    fn read(&self) -> Result<Bundle, BundleError> {
        self.read_with(&Shell::default())
    }

    fn read_with(&self, shell: &Shell) -> Result<Bundle, BundleError> {
        let selection = Selection {
            host: "h".parse().unwrap(),
            stack: "opq".parse().unwrap(),
            service: None,
        };
        let printed = &Printed::default();
        Bundle::new(&self.fleet, &selection, Outside { shell, printed })
    }

    /// What the operator would read when Compose names `path`.
    fn refusal(&self, path: &str) -> String {
        self.shown(
            self.read()
                .unwrap()
                .add_wanted(&[path.to_owned()])
                .unwrap_err(),
        )
    }

    fn shown(&self, error: BundleError) -> String {
        let fault = Fault::from(error);
        let causes = fault
            .causes
            .iter()
            .map(|cause| format!("caused by: {cause}"));
        let hints = fault.hints.iter().map(|hint| format!("hint: {hint}"));
        let output = fault.output.into_iter();
        let lines = [fault.what]
            .into_iter()
            .chain(causes)
            .chain(output)
            .chain(hints);
        let root = self.dir.path().canonicalize().unwrap();
        let text = lines.collect::<Vec<_>>().join("\n");
        text.replace(&root.display().to_string(), "/fleet")
    }
}

fn paths(files: &[ShippedFile]) -> Vec<&str> {
    files.iter().map(|file| file.path.as_str()).collect()
}

fn wanted(bundle: &mut Bundle, paths: &[&str]) -> Vec<String> {
    let wanted: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
    let added = bundle.add_wanted(&wanted).unwrap();
    added.iter().map(|file| file.path.to_string()).collect()
}

#[test]
fn compose_files_env_and_globs_are_shipped_sorted() {
    let place = Place::new(
        "ship = [\"conf/**/*.yml\", \"extra\", \"*.sh\", \"gone/*\"]",
        &[
            (".env", "A=1\n"),
            ("conf/a.yml", "a"),
            ("conf/deep/b.yml", "b"),
            ("conf/c.txt", "c"),
            ("extra/d", "d"),
            ("run.sh", "r"),
            ("not/run.sh", "n"),
        ],
    );
    let bundle = place.read().unwrap();
    assert_eq!(
        paths(&bundle.spec.files),
        [
            ".env",
            "compose.yaml",
            "conf/a.yml",
            "conf/deep/b.yml",
            "extra/d",
            "run.sh"
        ]
    );
    assert_eq!(
        bundle.warnings,
        ["ship of [stacks.opq] in fleet.toml: \"gone/*\" matches no file"]
    );
    assert!(
        bundle
            .spec
            .files
            .iter()
            .all(|file| bundle.content.contains_key(&file.blob))
    );
}

#[test]
fn wanted_paths_that_exist_are_added_once_with_their_modes() {
    let place = Place::new(
        "",
        &[
            ("data/nginx/a", "a"),
            ("data/nginx/b/c", "c"),
            ("x.env", "x"),
        ],
    );
    fs::set_permissions(place.path("x.env"), fs::Permissions::from_mode(0o4640)).unwrap();
    let mut bundle = place.read().unwrap();
    let added = wanted(
        &mut bundle,
        &[
            "./data/nginx",
            "x.env",
            "missing",
            "x.env/below",
            "compose.yaml",
        ],
    );
    assert_eq!(added, ["data/nginx/a", "data/nginx/b/c", "x.env"]);
    assert!(wanted(&mut bundle, &["data"]).is_empty());
    let env = bundle
        .spec
        .files
        .iter()
        .find(|file| file.path.as_str() == "x.env");
    assert_eq!(env.unwrap().mode, 0o640);
    let sorted = bundle
        .spec
        .files
        .windows(2)
        .all(|pair| pair[0].path < pair[1].path);
    assert!(sorted);
}

#[test]
fn the_whole_folder_can_be_wanted() {
    let place = Place::new("", &[("src/main.py", "x")]);
    assert_eq!(wanted(&mut place.read().unwrap(), &["."]), ["src/main.py"]);
}

#[test]
fn symlinks_inside_the_folder_are_shipped_as_content() {
    let place = Place::new("", &[("real/a", "same"), ("b", "same")]);
    place.link("real", "alias");
    place.link("../b", "real/up");
    let mut bundle = place.read().unwrap();
    assert_eq!(wanted(&mut bundle, &["alias"]), ["alias/a", "alias/up"]);
    assert_eq!(bundle.content.len(), 2, "one content for both names");
}

#[test]
fn a_content_can_be_read_back_whatever_its_size() {
    let big = "0123456789abcdef".repeat(20_000);
    let place = Place::new("", &[("big", &big), ("small", "abc")]);
    let mut bundle = place.read().unwrap();
    let wanted = bundle
        .add_wanted(&["big".to_owned(), "small".to_owned()])
        .unwrap();
    for (file, text) in wanted.iter().zip([big.as_str(), "abc"]) {
        let mut read = String::new();
        let mut source = bundle.content[&file.blob].open().unwrap();
        source.read_to_string(&mut read).unwrap();
        assert_eq!((read.as_str(), file.size), (text, text.len() as u64));
    }
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(wanted[1].blob.to_string(), known);
    assert!(
        !format!("{:?}", bundle.content).contains("97"),
        "no bytes in Debug"
    );
}

#[test]
fn what_is_not_in_the_folder_is_refused_by_name() {
    let place = Place::new("", &[("conf/a", "a")]);
    fs::write(place.dir.path().join("secret"), "s").unwrap();
    fs::create_dir(place.dir.path().join("opq-other")).unwrap();
    place.link("../secret", "link");
    place.link("../../secret", "conf/nested");
    place.link("../opq-other", "sibling");
    place.link("nowhere", "dangling");
    fs::create_dir(place.path("round")).unwrap();
    place.link("..", "round/again");
    drop(UnixListener::bind(place.path("socket")).unwrap());
    place.link("/dev/null", "null");
    let cases = [
        "../secret",
        "/etc/passwd",
        "link",
        "conf",
        "sibling",
        "dangling",
        "round",
        "socket",
        "null",
    ];
    let shown = cases.map(|path| format!("== {path}\n{}\n", place.refusal(path)));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_compose_file_that_leads_out_is_refused() {
    let place = Place::new("compose_files = [\"prod.yaml\"]", &[]);
    fs::write(place.dir.path().join("prod.yaml"), "services: {}\n").unwrap();
    place.link("../prod.yaml", "prod.yaml");
    let error = place.read().unwrap_err();
    assert!(place.shown(error).starts_with(
        "prod.yaml, named by compose_files of [stacks.opq] in fleet.toml, leads to /fleet/prod.yaml"
    ));
}

#[test]
fn what_composes_own_process_has_is_refused_where_the_files_refer_to_it() {
    let env = "HOME=/srv/home\nLD_PRELOAD=x\nDOCKER_HOST=tcp://proxy\nDOCKER_CONFIG=/srv/docker\nPATH=/x\n";
    let compose = "services:\n  app:\n    image: x\n    environment: { A: \"${HOME}\", B: $DOCKER_HOST, C: \"${DOCKER_CONFIG:-x}\", D: $$PATH }\n";
    let place = Place::new("", &[(".env", env), ("compose.yaml", compose)]);
    let shown = place.shown(place.read().unwrap_err());
    assert_eq!(
        shown,
        "reserved: DOCKER_CONFIG, HOME of .env would change how Compose itself runs\n\
         hint: give it another name in .env and in the Compose file; a service's own env_file may have it"
    );
    place.write(
        "compose.yaml",
        "services: { app: { image: x, env_file: .env } }\n",
    );
    place.read().unwrap();
    // In what is included it is found when that is asked for.
    place.write("sub/more.yaml", compose);
    let shown = place.refusal("sub/more.yaml");
    assert!(
        shown.starts_with("reserved: DOCKER_CONFIG, HOME"),
        "{shown}"
    );
}

#[test]
fn the_stack_folder_itself_may_be_a_symlink() {
    let place = Place::new("", &[("a", "a")]);
    let moved = place.dir.path().join("elsewhere");
    fs::rename(place.path(""), &moved).unwrap();
    symlink(&moved, place.dir.path().join("opq")).unwrap();
    let mut bundle = place.read().unwrap();
    assert_eq!(bundle.spec.project.as_str(), "opq");
    assert_eq!(wanted(&mut bundle, &["a"]), ["a"]);
}

#[test]
fn limits_name_who_exceeds_them() {
    let place = Place::new("", &[("data/small", "x")]);
    let sparse = fs::File::create(place.path("data/huge")).unwrap();
    sparse.set_len(BUNDLE_BYTES).unwrap();
    let too_large = place.refusal("data");

    let place = Place::new("", &[("data/cache/0", "x")]);
    for n in 0..BUNDLE_FILES {
        fs::write(place.path(&format!("data/cache/f{n}")), "").unwrap();
    }
    insta::assert_snapshot!(format!("{too_large}\n\n{}", place.refusal("data")));
}

#[test]
fn variables_left_in_the_shell_are_named() {
    let place = Place::new(
        "inherit = [\"TAG\"]\nenv.PORT = \"80\"\n",
        &[(".env", "SAME=x\nOTHER=y\n")],
    );
    let vars = [
        ("TAG", "t"),
        ("PORT", "81"),
        ("SAME", "x"),
        ("OTHER", "z"),
        ("HOME", "/h"),
    ];
    let vars = vars.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let shell = Shell::new(vars.into(), &[]).unwrap();
    let bundle = place.read_with(&shell).unwrap();
    let names = ["TAG", "PORT", "SAME", "OTHER", "HOME", "UNSET"];
    assert_eq!(
        bundle.only_in_shell(&shell, names),
        ["PORT", "OTHER", "HOME"]
    );
}

#[test]
fn a_plan_says_which_variables_were_left_in_the_shell() {
    let compose = "a: ${TAG:-$PORT} $HOME $PWD $UNSET $SAME\n# $COMMENT\n";
    let files = [
        ("compose.yaml", compose),
        (".env", "SAME=x\n"),
        ("more/db.yml", "b: $DB\n"),
        ("run.sh", "echo $SCRIPT"),
    ];
    let place = Place::new("ship = [\"more\", \"run.sh\"]", &files);
    let names = [
        "TAG", "PORT", "HOME", "PWD", "COMMENT", "DB", "SCRIPT", "OTHER",
    ];
    let vars = names.map(|name| (name.to_owned(), "canary".to_owned()));
    let same = ("SAME".to_owned(), "x".to_owned());
    let vars: BTreeMap<_, _> = vars.into_iter().chain([same]).collect();
    let warnings = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let shell = Shell::new(vars.clone(), &args).unwrap();
        place.read_with(&shell).unwrap().warnings
    };
    assert_eq!(
        warnings(&[]),
        [
            "set in the shell but not used: DB, PORT, TAG (take one with --env DB, or add it to `inherit`)"
        ]
    );
    assert!(warnings(&["DB", "PORT", "TAG"]).is_empty());
    assert!(place.read().unwrap().warnings.is_empty());
}

#[test]
fn the_same_folder_makes_the_same_bundle() {
    let files = [("b/c", "1"), ("a", "2"), ("b/a", "3")];
    let bundles = [files, [files[2], files[0], files[1]]].map(|files| {
        let place = Place::new("ship = [\"**\"]", &files);
        place.read().unwrap().spec.files
    });
    assert_eq!(bundles[0], bundles[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_wanted_path_ships_what_is_outside(path in "(\\.|\\.\\.|in|out|up|/|x){0,6}") {
        let place = Place::new("", &[("in/x", "inside")]);
        fs::create_dir(place.dir.path().join("out")).unwrap();
        fs::write(place.dir.path().join("out/x"), "outside").unwrap();
        place.link("../out", "out");
        place.link("..", "up");
        let mut bundle = place.read().unwrap();
        if let Ok(files) = bundle.add_wanted(&[path]) {
            for file in files {
                prop_assert_eq!(file.size, "inside".len() as u64);
            }
        }
    }
}

#[test]
fn what_is_excluded_is_neither_shipped_nor_looked_at() {
    let files = [
        ("conf/a", "a"),
        ("conf/a.log", "noise"),
        ("pgdata/base", "a database"),
        (".git/config", "a login"),
        ("conf/.git/HEAD", "a submodule's"),
    ];
    let place = Place::new(
        "exclude = [\"/pgdata\", \"*.log\"]\nship = [\"**\"]",
        &files,
    );
    let socket = UnixListener::bind(place.path("pgdata/.s.PGSQL.5432")).unwrap();
    let mut bundle = place.read().unwrap();
    let added = bundle.add_wanted(&[".", "./pgdata", "./conf"].map(str::to_owned));
    assert!(added.unwrap().is_empty());
    let paths: Vec<&str> = bundle
        .spec
        .files
        .iter()
        .map(|it| it.path.as_str())
        .collect();
    assert_eq!(paths, ["compose.yaml", "conf/a"]);
    drop(socket);
}

#[test]
fn data_that_cannot_be_shipped_names_the_way_to_leave_it_out() {
    let place = Place::new("", &[("pgdata/base", "a database")]);
    let socket = UnixListener::bind(place.path("pgdata/.s.PGSQL.5432")).unwrap();
    let mut bundle = place.read().unwrap();
    let fault: Fault = bundle
        .add_wanted(&["./pgdata".to_owned()])
        .unwrap_err()
        .into();
    assert!(
        fault.hints[0].contains("exclude = [\"/pgdata\"]"),
        "{fault:?}"
    );
    drop(socket);
}
