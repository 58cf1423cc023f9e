//! Every method of the real engine, once, against a real Docker and Compose.
//!
//! Ignored unless asked for: it needs root, Docker, and in a registry that the engine may pull from an image with
//! `sh`, `sleep`, `head` and `tr` (`LONGSHORE_IMAGE`) and one for another architecture (`LONGSHORE_FOREIGN_IMAGE`).
//! It is self-contained, so that its binary can be copied to a host and run there with `--ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test, in helpers as well"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use agent::engine::{
    Container, Engine as _, EngineError, EngineSettings, LogRange, Placeholders, RealEngine, Run,
    Up,
};
use futures_util::StreamExt as _;
use proto::event::{ContainerState, Health};
use proto::log::Stream;
use proto::registry::RegistryAuth;

use self::host::{COMPOSE, Live, minute, run};

mod host;
mod speed;

#[tokio::test]
#[ignore = "needs Docker, Compose and a registry"]
async fn every_method_once() {
    let live = Live::new();
    live.write("project/compose.yml", COMPOSE);
    live.write(
        "project/.env",
        "COMPOSE_PROFILES=dev\nCOMPOSE_PARALLEL_LIMIT=x\nDOCKER_HOST=tcp://192.0.2.1:1\n",
    );
    facts(&live).await;
    registry(&live).await;
    pulls(&live).await;
    files(&live).await;
    let first = up(&live).await;
    logs(&live).await;
    recreate(&live, &first).await;
    removal(&live).await;
}

async fn facts(live: &Live) {
    let started = Instant::now();
    println!(
        "facts {:?} in {:?}",
        live.engine.facts().await.unwrap(),
        started.elapsed()
    );
    println!("compose {}", live.engine.compose_version().await.unwrap());
}

async fn registry(live: &Live) {
    println!(
        "remote {:?}",
        live.engine
            .remote_image(&live.image, None, None)
            .await
            .unwrap()
    );
    println!(
        "foreign {:?}",
        live.engine
            .remote_image(&live.foreign, None, None)
            .await
            .unwrap()
    );
    let auth = RegistryAuth {
        registry: "x".to_owned(),
        username: "u".to_owned(),
        password: "?>?>~~".to_owned(),
        identity_token: String::new(),
    };
    println!(
        "with a login {:?}",
        live.engine
            .remote_image(&live.image, None, Some(&auth))
            .await
    );
    let missing = format!("{}-missing", live.image);
    for name in [
        missing.as_str(),
        "127.0.0.1:9/a:1",
        "192.0.2.1:5000/a:1",
        "../x",
    ] {
        let started = Instant::now();
        println!(
            "remote {name}: {:?} in {:?}",
            live.engine
                .remote_image(name, None, None)
                .await
                .unwrap_err(),
            started.elapsed()
        );
        if !name.starts_with("192") {
            println!(
                "pull   {name}: {:?}",
                live.pull(name, None).await.unwrap_err()
            );
        }
    }
}

async fn pulls(live: &Live) {
    let digest = live.digest().await;
    let id = live.pull(&live.image, Some(digest.clone())).await.unwrap();
    let tagged = live.engine.image(&live.image).await.unwrap().unwrap();
    assert_eq!(tagged.id, id);
    assert!(tagged.digests.iter().any(|name| name.ends_with(&digest)));
    assert_eq!(live.engine.image(&id).await.unwrap().unwrap().id, id);
    assert_eq!(live.engine.image("never/heard:of").await.unwrap(), None);
    assert_eq!(live.pull(&live.image, None).await.unwrap(), id);
    let error = live.pull(&live.foreign, None).await.unwrap_err();
    println!("foreign by tag: {error:?}");
    assert!(matches!(error, EngineError::Platform { .. }));
    let bad = format!("sha256:{}", "0".repeat(64));
    println!(
        "bad digest: {:?}",
        live.pull(&live.image, Some(bad)).await.unwrap_err()
    );
}

async fn files(live: &Live) {
    let paths = live
        .engine
        .named(&live.project(), Placeholders::none(live.directory.path()))
        .await
        .unwrap()
        .paths;
    assert_eq!(paths, ["./data", "off.env", "plain.env"]);
    let error = live.engine.resolve(&live.project()).await.unwrap_err();
    println!("without its env file: {error:?}");
    assert!(matches!(error, EngineError::Config { .. }));
    live.write("project/plain.env", "FROM_FILE=yes ${UNHEARD_OF}\n");
    live.write("project/data/x", "x");
    let started = Instant::now();
    let resolution = live.engine.resolve(&live.project()).await.unwrap();
    println!(
        "resolved in {:?}: {:?} {:?}",
        started.elapsed(),
        resolution.undefined,
        resolution.warnings
    );
    let services = resolution.config["services"].as_object().unwrap();
    assert_eq!(
        services.keys().collect::<Vec<_>>(),
        ["plain", "terminal"],
        "no profile from .env"
    );
    assert_eq!(resolution.undefined, ["UNHEARD_OF"]);
    let mut bare = live.project();
    bare.environment.truncate(1);
    let resolution = live.engine.resolve(&bare).await.unwrap();
    assert_eq!(resolution.undefined, ["SECRET", "UNHEARD_OF"]);
}

async fn up(live: &Live) -> Container {
    let mut nudges = live.engine.nudges(&live.project().name).await.unwrap();
    let (run, printer) = run(Duration::from_secs(60));
    let started = Instant::now();
    live.engine
        .up(&live.project(), &Up::default(), run)
        .await
        .unwrap();
    printer.await.unwrap();
    println!("up in {:?}", started.elapsed());
    let mut count = 0;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let wake = tokio::time::timeout(Duration::from_secs(10), nudges.next()).await;
        wake.unwrap().unwrap();
        count += 1;
        let plain = live.service("plain").await;
        if plain.health == Health::Healthy {
            println!("healthy after {count} nudges, {:?}", started.elapsed());
            println!("{plain:#?}");
            assert_eq!(
                (plain.state, plain.health_output.as_str()),
                (ContainerState::Running, "fine")
            );
            assert_eq!(plain.ports, ["127.0.0.1:18080->80/tcp"]);
            assert_eq!(
                plain.working_dir,
                live.project().directory.to_str().unwrap()
            );
            let quiet = tokio::time::timeout(Duration::from_secs(3), nudges.next()).await;
            println!("nudges while nothing changes: {}", quiet.is_ok());
            return plain;
        }
        assert!(Instant::now() < deadline);
    }
}

async fn logs(live: &Live) {
    let plain = live
        .lines(&live.service("plain").await.id, LogRange::default())
        .await;
    let long = plain.iter().find(|line| line.text.len() > 40_000).unwrap();
    assert!(
        long.text.starts_with(b"a $b 'c' \"d\""[..4].as_ref()) || plain.len() == 4,
        "{plain:?}"
    );
    assert!(
        plain
            .iter()
            .any(|l| l.stream == Stream::Stderr && l.text == b"err")
    );
    let terminal = live.service("terminal").await.id;
    let lines = live.lines(&terminal, LogRange::default()).await;
    let sizes: Vec<usize> = lines.iter().map(|line| line.text.len()).collect();
    println!(
        "plain {:?}, terminal {sizes:?}",
        plain.iter().map(|l| l.text.len()).collect::<Vec<_>>()
    );
    assert_eq!(lines[0].text, b"on a terminal");
    assert!(lines[1].text.iter().all(|b| *b == b'y') && lines[1].text.len() == 40_000);
    // From a line on, the line itself included: that is what `since` means to the engine.
    let from = LogRange {
        since_nanos: Some(long.at_nanos),
        ..LogRange::default()
    };
    let again = live.lines(&live.service("plain").await.id, from).await;
    println!(
        "since: {:?}",
        again.iter().map(|l| l.text.len()).collect::<Vec<_>>()
    );
    let follow = LogRange {
        follow: true,
        tail: Some(1),
        ..LogRange::default()
    };
    let mut following = live.engine.logs(&terminal, follow).await.unwrap();
    let wait = tokio::time::timeout(Duration::from_secs(2), following.next());
    println!(
        "follow gives {:?} bytes",
        wait.await.map(|l| l.unwrap().unwrap().text.len())
    );
    let error = live
        .engine
        .logs("nobody", LogRange::default())
        .await
        .err()
        .unwrap();
    println!("logs of nobody: {error}");
}

async fn recreate(live: &Live, first: &Container) {
    let before = live.service("terminal").await;
    let up = Up {
        only: vec!["plain".parse().unwrap()],
        no_deps: true,
        force_recreate: true,
    };
    live.engine
        .up(&live.project(), &up, minute())
        .await
        .unwrap();
    let plain = live.service("plain").await;
    assert_ne!(plain.id, first.id);
    assert_eq!(plain.config_hash, first.config_hash);
    assert_eq!(live.service("terminal").await.id, before.id);
    let tight = Run {
        deadline: Duration::from_millis(300),
        ..minute()
    };
    let started = Instant::now();
    let late = live
        .engine
        .up(
            &live.project(),
            &Up {
                only: Vec::new(),
                no_deps: true,
                force_recreate: true,
            },
            tight,
        )
        .await;
    println!("too late: {late:?} in {:?}", started.elapsed());
    assert!(matches!(late, Err(EngineError::TimedOut { .. })));
    let cancelled = minute();
    cancelled.stop.cancel();
    let cancelled = live
        .engine
        .up(&live.project(), &Up::default(), cancelled)
        .await;
    assert!(
        matches!(cancelled, Err(EngineError::Cancelled)),
        "{cancelled:?}"
    );
    println!(
        "left behind: {:?}",
        live.containers()
            .await
            .iter()
            .map(|c| c.name.clone())
            .collect::<Vec<_>>()
    );
    live.engine
        .up(&live.project(), &Up::default(), minute())
        .await
        .unwrap();
    let mut absent = live.project();
    absent.environment[0].1 = "never/heard:of".to_owned();
    println!(
        "absent image: {:?}",
        live.engine
            .up(&absent, &Up::default(), minute())
            .await
            .unwrap_err()
    );
}

async fn removal(live: &Live) {
    let terminal = live.service("terminal").await.id;
    let follow = LogRange {
        follow: true,
        ..LogRange::default()
    };
    let mut following = live.engine.logs(&terminal, follow).await.unwrap();
    let reader = async {
        let mut lines = Vec::new();
        while let Some(line) = following.next().await {
            lines.push(line.unwrap().text);
        }
        lines
    };
    let started = Instant::now();
    let (removed, lines) = tokio::join!(live.engine.remove_container(&terminal), reader);
    removed.unwrap();
    println!(
        "removed in {:?}; the follower ended with {:?}",
        started.elapsed(),
        lines.last().map(Vec::len)
    );
    live.engine.remove_container(&terminal).await.unwrap();
    assert_eq!(live.containers().await.len(), 1);
    live.engine
        .down(&live.project(), false, minute())
        .await
        .unwrap();
    assert!(live.containers().await.is_empty());
    live.engine
        .down(&live.project(), true, minute())
        .await
        .unwrap();
    let elsewhere = EngineSettings {
        plugin: None,
        socket: Path::new("/nonexistent.sock").into(),
        empty: live.directory.path().join("empty"),
        home: None,
    };
    let engine = RealEngine::new(elsewhere);
    println!("no socket: {:?}", engine.facts().await.unwrap_err());
    println!(
        "no socket, up: {:?}",
        engine
            .up(&live.project(), &Up::default(), minute())
            .await
            .unwrap_err()
    );
    println!(
        "no socket, nudges: {:?}",
        engine.nudges(&live.project().name).await.err()
    );
}
