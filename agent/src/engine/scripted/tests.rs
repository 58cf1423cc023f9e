//! The scripted engine keeps to the script, and otherwise to what Docker and Compose do.

use std::time::Duration;

use futures_util::StreamExt as _;
use proto::event::{ContainerState, Health};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::{ComposeProject, Engine as _, LogRange, Placeholders, Pull, Up};

const FILE: &str = r#"{ "services": {
    "web": { "image": "r/web:${TAG}", "environment": { "A": "${UNSET}", "B": "${OTHER:-b}" },
             "volumes": [{ "type": "bind", "source": "./data", "target": "/d" }] },
    "job": { "image": "r/job:1", "deploy": { "replicas": 2 } },
    "off": { "image": "r/off:1", "profiles": ["dev"] }
}, "configs": { "c": { "file": "c.txt" } } }"#;

struct Case {
    engine: ScriptedEngine,
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        let engine = ScriptedEngine::new();
        for image in ["r/web:1", "r/web:2", "r/job:1"] {
            engine.publish(image, image, &["linux/amd64"]);
            engine.preload(image).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("compose.yml"), FILE).unwrap();
        Self { engine, folder }
    }

    fn project(&self, tag: &str) -> ComposeProject {
        ComposeProject {
            name: "shop".parse().unwrap(),
            unnamed: false,
            directory: self.folder.path().to_owned(),
            files: vec![self.folder.path().join("compose.yml")],
            env_files: Vec::new(),
            profiles: Vec::new(),
            environment: vec![("TAG".to_owned(), tag.to_owned())],
        }
    }

    async fn up(&self, tag: &str, up: &Up) -> Result<(), EngineError> {
        self.engine.up(&self.project(tag), up, run()).await
    }

    async fn container(&self, name: &str) -> Container {
        let all = self
            .engine
            .containers(&"shop".parse().unwrap())
            .await
            .unwrap();
        all.into_iter()
            .find(|container| container.name == name)
            .unwrap()
    }
}

fn run() -> Run {
    Run {
        lines: mpsc::channel(100).0,
        deadline: Duration::from_millis(50),
        stop: CancellationToken::new(),
    }
}

#[tokio::test]
async fn files_are_read_as_compose_would() {
    let case = Case::new();
    let paths = case
        .engine
        .named(&case.project("1"), Placeholders::none(case.folder.path()))
        .await
        .unwrap()
        .paths;
    assert_eq!(paths, ["./data", "c.txt"]);
    let resolution = case.engine.resolve(&case.project("1")).await.unwrap();
    let web = &resolution.config["services"]["web"];
    assert_eq!(
        (&web["image"], &web["environment"]["B"]),
        (&"r/web:1".into(), &"b".into())
    );
    let data = case.folder.path().join("data").display().to_string();
    assert_eq!(web["volumes"][0]["source"], data);
    assert_eq!(resolution.undefined, ["UNSET"]);
    assert!(resolution.config["services"].get("off").is_none());
}

#[tokio::test]
async fn up_replaces_only_what_changed() {
    let case = Case::new();
    case.up("1", &Up::default()).await.unwrap();
    let (web, job) = (
        case.container("shop-web-1").await,
        case.container("shop-job-2").await,
    );
    case.up("1", &Up::default()).await.unwrap();
    assert_eq!(case.container("shop-web-1").await.id, web.id);
    case.up("2", &Up::default()).await.unwrap();
    assert_ne!(case.container("shop-web-1").await.id, web.id);
    assert_eq!(case.container("shop-job-2").await.id, job.id);
    let only = Up {
        only: vec!["job".parse().unwrap()],
        no_deps: true,
        force_recreate: true,
    };
    case.up("2", &only).await.unwrap();
    assert_ne!(case.container("shop-job-2").await.id, job.id);
    let error = case.up("3", &Up::default()).await.unwrap_err();
    assert!(matches!(error, EngineError::Compose { .. }), "{error:?}");
    case.engine
        .down(&case.project("2"), false, run())
        .await
        .unwrap();
    assert!(case.engine.all_containers().is_empty());
}

#[tokio::test]
async fn containers_live_as_scripted_and_nudge_when_they_change() {
    let case = Case::new();
    case.engine
        .behave("web", Behaviour::healthy_after(Duration::from_millis(30)));
    let bad = Behaviour::unhealthy_after(Duration::from_millis(30), "no database");
    case.engine.behave("r/web:2", bad);
    let mut nudges = case.engine.nudges(&"shop".parse().unwrap()).await.unwrap();
    for (tag, end) in [("1", Health::Healthy), ("2", Health::Unhealthy)] {
        case.up(tag, &Up::default()).await.unwrap();
        assert_eq!(case.container("shop-web-1").await.health, Health::Starting);
        while case.container("shop-web-1").await.health != end {
            let nudge = timeout(Duration::from_secs(5), nudges.next()).await;
            nudge.unwrap().unwrap();
        }
    }
    assert_eq!(
        case.container("shop-web-1").await.health_output,
        "no database"
    );
}

#[tokio::test]
async fn crashes_and_ends_show() {
    let case = Case::new();
    case.engine
        .behave("web", Behaviour::crashes_every(Duration::from_millis(10)));
    case.engine
        .behave("job", Behaviour::exits_after(Duration::from_millis(10), 3));
    case.up("1", &Up::default()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(case.container("shop-web-1").await.restarts >= 2);
    let job = case.container("shop-job-1").await;
    assert_eq!((job.state, job.exit_code), (ContainerState::Exited, 3));
}

#[tokio::test]
async fn calls_go_wrong_when_they_should() {
    let case = Case::new();
    let error = EngineError::Down("gone".to_owned());
    case.engine
        .trouble(Method::Up, 2, Trouble::Fail(error.clone()));
    case.engine.trouble(Method::Up, 3, Trouble::Midway(error));
    case.engine.trouble(Method::Up, 4, Trouble::Hang);
    case.up("1", &Up::default()).await.unwrap();
    case.engine
        .down(&case.project("1"), false, run())
        .await
        .unwrap();
    assert!(matches!(
        case.up("1", &Up::default()).await,
        Err(EngineError::Down(_))
    ));
    assert!(case.engine.all_containers().is_empty());
    assert!(matches!(
        case.up("1", &Up::default()).await,
        Err(EngineError::Down(_))
    ));
    assert_eq!(case.engine.all_containers().len(), 2, "one service of two");
    assert!(matches!(
        case.up("1", &Up::default()).await,
        Err(EngineError::TimedOut { .. })
    ));
    case.up("1", &Up::default()).await.unwrap();
    assert_eq!(case.engine.calls_of(Method::Up).len(), 5);
    assert_eq!(case.engine.calls_of(Method::Down), ["shop"]);
}

#[tokio::test]
async fn the_registry_keeps_what_a_tag_no_longer_means() {
    let case = Case::new();
    let old = case
        .engine
        .publish("r/x", "one", &["linux/amd64", "linux/arm64"]);
    let new = case.engine.publish("r/x", "two", &["linux/arm64"]);
    assert_eq!(
        case.engine
            .remote_image("r/x:latest", None, None)
            .await
            .unwrap()
            .digest,
        new
    );
    let pull = |digest: Option<&str>| Pull {
        reference: "r/x".to_owned(),
        digest: digest.map(str::to_owned),
        platform: "linux/amd64".to_owned(),
        auth: None,
    };
    let (progress, _layers) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let image = case
        .engine
        .pull(&pull(Some(&old)), progress.clone(), stop.clone())
        .await
        .unwrap();
    assert_eq!(case.engine.image("r/x").await.unwrap(), Some(image.clone()));
    assert_eq!(case.engine.image(&image.id).await.unwrap(), Some(image));
    let error = case
        .engine
        .pull(&pull(None), progress.clone(), stop.clone())
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Platform { .. }), "{error:?}");
    case.engine.trouble(Method::Pull, 1, Trouble::Hang);
    stop.cancel();
    let error = case
        .engine
        .pull(&pull(None), progress, stop)
        .await
        .unwrap_err();
    assert!(matches!(error, EngineError::Cancelled), "{error:?}");
}

#[tokio::test]
async fn followers_end_with_their_container() {
    let case = Case::new();
    case.up("1", &Up::default()).await.unwrap();
    for text in ["one", "two"] {
        case.engine.say("shop-web-1", Stream::Stdout, text);
    }
    let range = LogRange {
        follow: true,
        tail: Some(1),
        ..LogRange::default()
    };
    let mut lines = case.engine.logs("shop-web-1", range).await.unwrap();
    assert_eq!(lines.next().await.unwrap().unwrap().text, b"two");
    case.engine.say("shop-web-1", Stream::Stderr, "three");
    assert_eq!(lines.next().await.unwrap().unwrap().stream, Stream::Stderr);
    case.engine.vanish("shop-web-1");
    assert!(lines.next().await.is_none());
    assert!(
        case.engine
            .logs("shop-web-1", LogRange::default())
            .await
            .is_err()
    );
}
