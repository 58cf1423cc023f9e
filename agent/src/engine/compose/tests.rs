//! Composes of many versions, none of them real: which are driven and which are refused, and with which switches.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proto::fault::Fault;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;
use crate::process::Printed;

/// The switches of each verb that 2.26, the oldest that is driven, knows. Later ones know these and more.
const KNOWN: &[(&str, &str)] = &[
    (
        "PROJECT",
        "--ansi --compatibility --dry-run --env-file --file --host --parallel --profile --progress --project-directory \
         --project-name",
    ),
    (
        "CONFIG",
        "--dry-run --format --hash --images --no-consistency --no-interpolate --no-normalize --no-path-resolution \
         --output --profiles --quiet --resolve-image-digests --services --volumes",
    ),
    (
        "UP",
        "--abort-on-container-exit --always-recreate-deps --attach --attach-dependencies --build --detach \
         --exit-code-from --force-recreate --no-attach --no-build --no-color --no-deps --no-log-prefix --no-recreate \
         --no-start --pull --quiet-pull --remove-orphans --renew-anon-volumes --scale --timeout --timestamps --wait \
         --wait-timeout --watch",
    ),
    ("DOWN", "--remove-orphans --rmi --timeout --volumes"),
    (
        "RUN",
        "--build --cap-add --cap-drop --detach --entrypoint --env --interactive --label --name --no-TTY --no-deps \
         --publish --quiet-pull --remove-orphans --rm --service-ports --use-aliases --user --volume --workdir",
    ),
];

/// Refuses switches that it does not know as Compose does, and prints what the verb is asked for.
const PLUGIN: &str = r#"#!/bin/sh
[ "$1" = version ] && { ANSWER; }
known="PROJECT"; verb=
for word do
  case $word in
    --) break ;;
    --*) case " $known " in *" ${word%%=*} "*) ;; *) echo "unknown flag: $word" >&2; exit 16 ;; esac ;;
    config) [ "$verb" ] || { verb=config; known="CONFIG"; } ;;
    up) [ "$verb" ] || { verb=up; known="UP"; } ;;
    down) [ "$verb" ] || { verb=down; known="DOWN"; } ;;
    run) [ "$verb" ] || { verb=run; known="RUN"; } ;;
  esac
done
case "$verb $*" in
  config*--hash*) echo "web 0123" ;;
  config*) echo '{"services":{"web":{"image":"r/web:1"}}}' ;;
esac
"#;

struct Host {
    folder: TempDir,
    compose: Compose,
}

impl Host {
    /// Without any Compose.
    fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let compose = Compose::new(EngineSettings {
            plugin: Some(folder.path().join("docker-compose")),
            socket: folder.path().join("docker.sock"),
            empty: folder.path().join("empty"),
            home: None,
        });
        Self { folder, compose }
    }

    /// With one whose `version --short` runs these words.
    fn with(answer: &str) -> Self {
        let host = Self::bare();
        host.install(answer, 0o755);
        host
    }

    fn install(&self, answer: &str, mode: u32) {
        let mut text = PLUGIN.replace("ANSWER", answer);
        for (place, switches) in KNOWN {
            text = text.replace(&format!("\"{place}\""), &format!("\"{switches}\""));
        }
        // Renamed into its place: a file that is still open for writing cannot be run.
        let (new, path) = (
            self.folder.path().join("new"),
            self.folder.path().join("docker-compose"),
        );
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(new, path).unwrap();
    }

    fn project(&self) -> ComposeProject {
        ComposeProject {
            name: "shop".parse().unwrap(),
            unnamed: false,
            directory: self.folder.path().to_owned(),
            files: vec![self.folder.path().join("compose.yaml")],
            env_files: vec![self.folder.path().join(".env")],
            profiles: vec!["web".to_owned()],
            environment: Vec::new(),
        }
    }

    /// What somebody reads who deploys to it.
    async fn refusal(&self) -> String {
        let Fault {
            what,
            hints,
            output,
            ..
        } = self.compose.version().await.unwrap_err().into();
        [vec![what], output, hints].concat().join("\n")
    }
}

fn run() -> (Run, mpsc::Receiver<String>) {
    let (lines, said) = mpsc::channel(64);
    let run = Run {
        lines,
        deadline: Duration::from_secs(30),
        stop: CancellationToken::new(),
    };
    (run, said)
}

#[tokio::test]
async fn a_compose_that_cannot_be_driven_is_refused_with_what_to_install() {
    let wanted = "install the Compose plugin on the host, 2.26 or newer";
    let cases: [(&str, &[&str]); 8] = [
        (
            "echo 1.29.2; exit",
            &["Docker Compose 1.29.2 is too old", wanted],
        ),
        (
            "echo 'docker-compose version 1.29.2, build unknown'; exit",
            &["Docker Compose 1.29.2 is too old", wanted],
        ),
        (
            "echo 2.2.3; exit",
            &["Docker Compose 2.2.3 is too old", wanted],
        ),
        (
            "echo v2.25.0; exit",
            &["Docker Compose 2.25.0 is too old", wanted],
        ),
        ("echo dev; exit", &["unreadable answer \"dev", wanted]),
        ("exit 0", &["unreadable answer \"\"", wanted]),
        (
            "echo 'unknown flag: --short' >&2; exit 125",
            &[
                "docker compose version ended with exit code 125",
                "unknown flag: --short",
            ],
        ),
        (
            "kill -9 $$",
            &["docker compose version ended with signal 9"],
        ),
    ];
    for (answer, words) in cases {
        let said = Host::with(answer).refusal().await;
        for word in words {
            assert!(said.contains(word), "{answer}: {word:?} is not in:\n{said}");
        }
    }
    let said = Host::bare().refusal().await;
    assert!(
        said.contains("Docker Compose is not installed") && said.contains(wanted),
        "{said}"
    );
    assert!(said.contains("a docker-compose 1.x"), "{said}");
    let closed = Host::bare();
    closed.install("echo 2.40.3; exit", 0o644);
    let said = closed.refusal().await;
    assert!(
        said.contains("cannot start") && said.contains("Permission denied"),
        "{said}"
    );
}

#[tokio::test]
async fn one_that_is_installed_or_renewed_after_a_refusal_is_taken_without_a_restart() {
    let host = Host::bare();
    host.refusal().await;
    host.install("echo 2.2.3; exit", 0o755);
    assert!(host.refusal().await.contains("too old"));
    host.install("echo 5.0.0; exit", 0o755);
    assert_eq!(host.compose.version().await.unwrap(), "5.0.0");
}

#[tokio::test]
async fn every_compose_from_the_oldest_on_is_driven_without_a_switch_that_it_lacks() {
    for (answer, version) in [
        ("echo 2.26.1-4; exit", "2.26.1-4"),
        ("echo v2.40.3; exit", "2.40.3"),
        ("echo 'Docker Compose version v2.40.3'; exit", "2.40.3"),
        ("echo 5.0.0; exit", "5.0.0"),
        ("echo v5.5.0-rc.1; exit", "5.5.0-rc.1"),
    ] {
        let host = Host::with(answer);
        let (compose, project) = (&host.compose, host.project());
        assert_eq!(compose.version().await.unwrap(), version);
        compose
            .named(&project, Placeholders::none(host.folder.path()))
            .await
            .unwrap();
        compose.resolve(&project).await.unwrap();
        let hashes = compose.config_hashes(&project).await.unwrap();
        assert_eq!(hashes.len(), 1);
        let part = Up {
            only: vec!["web".parse().unwrap()],
            no_deps: true,
            force_recreate: true,
        };
        for up in [Up::default(), part] {
            compose.up(&project, &up, run().0).await.unwrap();
        }
        for volumes in [false, true] {
            compose.down(&project, volumes, run().0).await.unwrap();
        }
        let once = Once {
            service: "web".parse().unwrap(),
            name: "shop-hook-1".to_owned(),
            argv: vec!["dump".to_owned(), "--newer-than-compose".to_owned()],
        };
        let (output, _said) = mpsc::channel::<Printed>(16);
        let attach = Attach {
            output,
            deadline: Duration::from_secs(30),
            stop: CancellationToken::new(),
        };
        assert_eq!(compose.run_once(&project, &once, attach).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_plugin_of_these_claims_knows_what_it_does_not_know() {
    let host = Host::with("echo 2.26.1; exit");
    let mut args = argv::project(&host.project(), &host.compose.settings).unwrap();
    args.extend(["up", "--yes"].map(str::to_owned));
    let program = Program {
        path: host.folder.path().join("docker-compose"),
        args,
        environment: Vec::new(),
        directory: host.folder.path().to_owned(),
    };
    let captured = capture(&program, 4096, VERSION_DEADLINE, "up")
        .await
        .unwrap();
    assert_eq!(captured.how, How::Exited(16));
    assert_eq!(captured.stderr, ["unknown flag: --yes"]);
}
