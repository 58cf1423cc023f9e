//! Compose's arguments and environment: nothing is left to a default that a file could change.

use std::path::{Path, PathBuf};

use crate::engine::{ComposeProject, EngineError, EngineSettings, Once, Up};

/// `config` that shows what the files say rather than what they mean.
pub(super) const AS_WRITTEN: &[&str] = &[
    "--no-interpolate",
    "--no-path-resolution",
    "--no-normalize",
    "--no-consistency",
];

/// `config` that knows the values, for what stands behind a variable. With `--no-path-resolution` Compose would look for
/// env files in the working directory of its process.
pub(super) const AS_MEANT: &[&str] = &["--no-normalize", "--no-consistency"];

/// The process environment wins over an env file, and Compose takes its own switches from both: so each switch
/// that a stack's `.env` could turn is set here. What an argument decides is not among them, and is the stack's own as a
/// value: `COMPOSE_FILE`, `COMPOSE_ENV_FILES`, `DOCKER_HOST`.
const SWITCHES: &[(&str, &str)] = &[
    ("COMPOSE_ANSI", "never"),
    ("COMPOSE_COMPATIBILITY", "0"),
    ("COMPOSE_CONVERT_WINDOWS_PATHS", "0"),
    ("COMPOSE_DISABLE_ENV_FILE", "0"),
    ("COMPOSE_EXPERIMENTAL", "0"),
    // `include` and `extends` of something that we neither ship nor record.
    ("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "0"),
    ("COMPOSE_EXPERIMENTAL_OCI_REMOTE", "0"),
    ("COMPOSE_IGNORE_ORPHANS", "1"),
    ("COMPOSE_MENU", "0"),
    // Refused unless it is a number.
    ("COMPOSE_PARALLEL_LIMIT", "-1"),
    ("COMPOSE_PROGRESS", "plain"),
    ("COMPOSE_REMOVE_ORPHANS", "0"),
    ("COMPOSE_STATUS_STDOUT", "0"),
    ("DOCKER_API_VERSION", ""),
    ("DOCKER_CERT_PATH", ""),
    ("DOCKER_CONTEXT", ""),
    ("DOCKER_DEFAULT_PLATFORM", ""),
    ("DOCKER_TLS_VERIFY", ""),
];

/// What every run of the plugin gets.
pub(super) fn surroundings(settings: &EngineSettings) -> Vec<(String, String)> {
    let empty = settings.empty.display().to_string();
    let home = settings.home.as_deref().unwrap_or(&settings.empty);
    let mut all: Vec<_> = SWITCHES
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    all.push(("PATH".to_owned(), empty.clone()));
    all.push(("DOCKER_CONFIG".to_owned(), empty));
    all.push(("HOME".to_owned(), home.display().to_string()));
    all
}

/// The project's values, and ours after them, so that ours win.
pub(super) fn environment(
    project: &ComposeProject,
    settings: &EngineSettings,
) -> Vec<(String, String)> {
    let here = project.directory.display().to_string();
    let mut all = vec![("PWD".to_owned(), here)];
    all.extend(project.environment.iter().cloned());
    all.extend(surroundings(settings));
    // Without `--profile` Compose would ask `.env`.
    all.push(("COMPOSE_PROFILES".to_owned(), project.profiles.join(",")));
    all
}

/// What stands in front of the verb.
pub(super) fn project(
    project: &ComposeProject,
    settings: &EngineSettings,
) -> Result<Vec<String>, EngineError> {
    // Wins over `DOCKER_HOST`, and is taken in front of everything else alone.
    let mut args = vec![
        "--host".to_owned(),
        format!("unix://{}", settings.socket.display()),
    ];
    args.extend(words(&["--ansi", "never", "--progress", "plain"]));
    if !project.unnamed {
        args.extend(["-p".to_owned(), project.name.to_string()]);
    }
    for file in &project.files {
        args.extend(["-f".to_owned(), text(file)?]);
    }
    args.extend(["--project-directory".to_owned(), text(&project.directory)?]);
    // Without one, Compose would take the `.env` of the project directory, shipped or not.
    let none = [PathBuf::from("/dev/null")];
    let env_files = match project.env_files.as_slice() {
        [] => none.as_slice(),
        files => files,
    };
    for file in env_files {
        args.extend(["--env-file".to_owned(), text(file)?]);
    }
    for profile in &project.profiles {
        // In one word: a profile may begin with a dash.
        args.push(format!("--profile={profile}"));
    }
    Ok(args)
}

/// `config` with more switches.
pub(super) fn config(switches: &[&str]) -> Vec<String> {
    let mut args = words(&["config", "--format", "json"]);
    args.extend(words(switches));
    args
}

/// `config` that shows one hash for each service.
pub(super) fn config_hashes() -> Vec<String> {
    words(&["config", "--hash", "*"])
}

/// `up`. Never `--yes` (it agrees to lose data), `--wait` (its verdict is a coin toss), `--remove-orphans`.
pub(super) fn up(up: &Up) -> Vec<String> {
    let mut args = words(&["up", "--detach", "--no-build", "--pull", "never"]);
    if up.force_recreate {
        args.push("--force-recreate".to_owned());
    }
    if up.no_deps {
        args.push("--no-deps".to_owned());
    }
    if !up.only.is_empty() {
        args.push("--".to_owned());
        args.extend(up.only.iter().map(ToString::to_string));
    }
    args
}

/// `run`. What stands behind the service is the command's own, dashes and all.
pub(super) fn run(once: &Once) -> Vec<String> {
    let mut args = words(&[
        "run",
        "--rm",
        "--no-TTY",
        "--interactive=false",
        "--no-deps",
    ]);
    args.extend(["--name".to_owned(), once.name.clone()]);
    args.extend(["--".to_owned(), once.service.to_string()]);
    args.extend(once.argv.iter().cloned());
    args
}

/// `down`.
pub(super) fn down(volumes: bool) -> Vec<String> {
    let mut args = words(&["down"]);
    if volumes {
        args.push("--volumes".to_owned());
    }
    args
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn text(path: &Path) -> Result<String, EngineError> {
    match path.to_str() {
        Some(text) if path.is_absolute() => Ok(text.to_owned()),
        _ => Err(super::local(
            "cannot run docker compose",
            format!("{} is not an absolute path in UTF-8", path.display()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ComposeProject {
        ComposeProject {
            name: "shop".parse().unwrap(),
            unnamed: false,
            directory: "/srv/shop".into(),
            files: vec!["/srv/shop/a.yml".into(), "/srv/shop/b.yml".into()],
            env_files: Vec::new(),
            profiles: Vec::new(),
            environment: vec![("TAG".to_owned(), "1".to_owned())],
        }
    }

    fn settings() -> EngineSettings {
        EngineSettings {
            plugin: None,
            socket: "/run/docker.sock".into(),
            empty: "/e".into(),
            home: None,
        }
    }

    #[test]
    fn every_choice_is_an_argument() {
        let args = project(&sample(), &settings()).unwrap().join(" ");
        assert_eq!(
            args,
            "--host unix:///run/docker.sock --ansi never --progress plain -p shop -f /srv/shop/a.yml -f /srv/shop/b.yml \
             --project-directory /srv/shop --env-file /dev/null"
        );
        let with_more = ComposeProject {
            env_files: vec!["/srv/shop/.env".into()],
            profiles: vec!["web".to_owned(), "-odd".to_owned()],
            ..sample()
        };
        let args = project(&with_more, &settings()).unwrap().join(" ");
        assert!(args.ends_with("--env-file /srv/shop/.env --profile=web --profile=-odd"));
    }

    #[test]
    fn a_relative_path_is_refused() {
        let relative = ComposeProject {
            directory: "shop".into(),
            ..sample()
        };
        assert!(project(&relative, &settings()).is_err());
    }

    #[test]
    fn up_names_services_behind_two_dashes() {
        let whole = Up::default();
        let only = Up {
            only: vec!["a".parse().unwrap(), "b.c".parse().unwrap()],
            no_deps: false,
            force_recreate: true,
        };
        let alone = Up {
            no_deps: true,
            ..only.clone()
        };
        for (ask, want) in [
            (whole, "up --detach --no-build --pull never"),
            (
                only,
                "up --detach --no-build --pull never --force-recreate -- a b.c",
            ),
            (
                alone,
                "up --detach --no-build --pull never --force-recreate --no-deps -- a b.c",
            ),
        ] {
            assert_eq!(up(&ask).join(" "), want);
        }
    }

    #[test]
    fn a_command_stands_behind_its_service_as_it_is() {
        let once = Once {
            service: "web".parse().unwrap(),
            name: "shop-hook-1".to_owned(),
            argv: vec![
                "flask".to_owned(),
                "--password".to_owned(),
                "exampleP@$$W0RD".to_owned(),
            ],
        };
        assert_eq!(
            run(&once).join(" "),
            "run --rm --no-TTY --interactive=false --no-deps --name shop-hook-1 -- web flask --password exampleP@$$W0RD"
        );
    }

    #[test]
    fn nothing_that_loses_data_is_ever_asked_for() {
        let all = Up {
            only: vec!["a".parse().unwrap()],
            no_deps: true,
            force_recreate: true,
        };
        let lines = [
            up(&all),
            up(&Up::default()),
            down(false),
            config(AS_WRITTEN),
            config_hashes(),
        ];
        for args in &lines {
            for never in [
                "--yes",
                "-y",
                "--wait",
                "--remove-orphans",
                "--dry-run",
                "--volumes",
            ] {
                assert!(!args.iter().any(|arg| arg == never), "{args:?}");
            }
        }
        assert_eq!(down(true), ["down", "--volumes"]);
    }

    #[test]
    fn the_environment_cannot_be_steered_by_values() {
        let mut hostile = sample();
        hostile.profiles = vec!["web".to_owned(), "db".to_owned()];
        for name in [
            "DOCKER_HOST",
            "PATH",
            "COMPOSE_PROFILES",
            "COMPOSE_REMOVE_ORPHANS",
        ] {
            hostile
                .environment
                .push((name.to_owned(), "evil".to_owned()));
        }
        // As the operating system does it: the last one wins.
        let last: std::collections::BTreeMap<_, _> =
            environment(&hostile, &settings()).into_iter().collect();
        assert_eq!(last["TAG"], "1");
        // An argument says where the engine is: as a value it is the stack's own.
        assert_eq!(last["DOCKER_HOST"], "evil");
        assert_eq!(last["PWD"], "/srv/shop");
        assert_eq!(last["PATH"], "/e");
        assert_eq!(last["HOME"], "/e");
        assert_eq!(last["COMPOSE_PROFILES"], "web,db");
        assert_eq!(last["COMPOSE_REMOVE_ORPHANS"], "0");
    }
}
