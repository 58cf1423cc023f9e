//! A project on a real host, and short ways to ask about it.

use std::time::Duration;

use agent::engine::{
    ComposeProject, Container, Engine as _, EngineError, EngineSettings, LogRange, Pull, RawLine,
    RealEngine, Run,
};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) const COMPOSE: &str = r#"
services:
  plain:
    image: ${IMAGE}
    command:
      - sh
      - -c
      - "echo out; echo err >&2; printf '%s' \"$$SECRET\"; head -c 40000 /dev/zero | tr '\\0' x; echo; sleep 600"
    environment: { SECRET: "${SECRET}" }
    volumes: ["./data:/data:ro", "kept:/kept"]
    env_file: [plain.env]
    ports: ["127.0.0.1:18080:80"]
    stop_grace_period: 1s
    healthcheck: { test: [CMD, sh, -c, "echo fine"], interval: 1s }
  terminal:
    image: ${IMAGE}
    tty: true
    stop_grace_period: 1s
    command: [sh, -c, "echo on a terminal; head -c 40000 /dev/zero | tr '\\0' y; echo; printf 'no newline'; sleep 600"]
  off:
    image: ${IMAGE}
    profiles: [dev]
    env_file: off.env
volumes: { kept: {} }
"#;

pub(crate) struct Live {
    pub(crate) engine: RealEngine,
    pub(crate) image: String,
    pub(crate) foreign: String,
    pub(crate) directory: tempfile::TempDir,
}

impl Live {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = EngineSettings {
            plugin: None,
            socket: "/var/run/docker.sock".into(),
            empty: directory.path().join("empty"),
            home: None,
        };
        Self {
            engine: RealEngine::new(settings),
            image: std::env::var("LONGSHORE_IMAGE").unwrap(),
            foreign: std::env::var("LONGSHORE_FOREIGN_IMAGE").unwrap(),
            directory,
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn project(&self) -> ComposeProject {
        let directory = self.directory.path().join("project");
        ComposeProject {
            unnamed: false,
            name: "enginelive".parse().unwrap(),
            files: vec![directory.join("compose.yml")],
            env_files: vec![directory.join(".env")],
            directory,
            profiles: Vec::new(),
            environment: vec![
                ("IMAGE".to_owned(), self.image.clone()),
                ("SECRET".to_owned(), "a $b 'c' \"d\"\n{}".to_owned()),
            ],
        }
    }

    pub(crate) async fn digest(&self) -> String {
        self.engine
            .remote_image(&self.image, None, None)
            .await
            .unwrap()
            .digest
    }

    pub(crate) async fn pull(
        &self,
        reference: &str,
        digest: Option<String>,
    ) -> Result<String, EngineError> {
        let (progress, mut seen) = mpsc::channel(1000);
        let pull = Pull {
            reference: reference.to_owned(),
            digest,
            platform: format!("linux/{}", self.engine.facts().await?.architecture),
            auth: None,
        };
        let image = self
            .engine
            .pull(&pull, progress, CancellationToken::new())
            .await?;
        let mut phases = Vec::new();
        while let Ok(layer) = seen.try_recv() {
            phases.push(layer);
        }
        println!("pulled {image:?}, progress {:?}", phases.last());
        Ok(image.id)
    }

    pub(crate) async fn containers(&self) -> Vec<Container> {
        self.engine.containers(&self.project().name).await.unwrap()
    }

    pub(crate) async fn service(&self, name: &str) -> Container {
        let found = self
            .containers()
            .await
            .into_iter()
            .find(|c| c.service.as_str() == name);
        found.unwrap()
    }

    pub(crate) async fn lines(&self, container: &str, range: LogRange) -> Vec<RawLine> {
        let stream = self.engine.logs(container, range).await.unwrap();
        stream.map(Result::unwrap).collect().await
    }
}

/// A run whose lines are printed.
pub(crate) fn run(deadline: Duration) -> (Run, tokio::task::JoinHandle<()>) {
    let (lines, mut receiver) = mpsc::channel(16);
    let printer = tokio::spawn(async move {
        while let Some(line) = receiver.recv().await {
            println!("    | {line}");
        }
    });
    let stop = CancellationToken::new();
    (
        Run {
            lines,
            deadline,
            stop,
        },
        printer,
    )
}

pub(crate) fn minute() -> Run {
    run(Duration::from_secs(60)).0
}
