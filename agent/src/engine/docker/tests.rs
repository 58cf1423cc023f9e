//! An engine that is a script behind a socket: what goes out, and what is made of bad answers.

use std::sync::{Arc, Mutex};

use proto::event::LayerPhase;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use super::*;

mod trouble;

const VERSION: &str = r#"{"Version":"29.0.0","ApiVersion":"1.52","MinAPIVersion":"1.44","Os":"linux","Arch":"amd64"}"#;
const IMAGE: &str =
    r#"{"Id":"sha256:aa","Os":"linux","Architecture":"amd64","RepoDigests":["a@sha256:bb"]}"#;

/// The body's pieces, each sent by itself, behind a status line.
struct Answer(u16, Vec<Vec<u8>>);

fn ok(body: &str) -> Answer {
    Answer(200, vec![body.as_bytes().to_vec()])
}

type Script = fn(&str) -> Answer;

struct Fake {
    docker: Docker,
    seen: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
    _folder: TempDir,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    fn new(script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, "Docker/29", script, log.clone()));
            }
        });
        Self {
            docker: Docker::new(socket),
            seen,
            server,
            _folder: folder,
        }
    }

    /// Requests that contain the text, whole.
    fn seen(&self, text: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|request| request.contains(text))
            .cloned()
            .collect()
    }

    async fn pull(
        &self,
        digest: Option<&str>,
        auth: Option<RegistryAuth>,
    ) -> Result<LocalImage, EngineError> {
        let (progress, mut layers) = mpsc::channel(8);
        let pull = Pull {
            reference: "r.example:5000/a:1".to_owned(),
            digest: digest.map(str::to_owned),
            platform: "linux/amd64".to_owned(),
            auth,
        };
        let image = self
            .docker
            .pull(&pull, progress, CancellationToken::new())
            .await?;
        while let Ok(layer) = layers.try_recv() {
            assert_eq!(layer.phase, LayerPhase::Done);
        }
        Ok(image)
    }
}

fn is_version(pieces: &[Vec<u8>]) -> bool {
    let first = pieces.first();
    first.is_some_and(|piece| piece.starts_with(b"{\"Version\""))
}

async fn answer(
    mut stream: UnixStream,
    name: &'static str,
    script: Script,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let request = String::from_utf8(request).unwrap();
    let Answer(status, pieces) = if request.contains(" /version ") {
        match script(&request) {
            // Most scripts do not care which engine they are.
            Answer(200, pieces) if is_version(&pieces) => Answer(200, pieces),
            _ => ok(VERSION),
        }
    } else if request.contains(" /_ping ") {
        ok("")
    } else {
        script(&request)
    };
    seen.lock().unwrap().push(request);
    let head =
        format!("HTTP/1.1 {status} X\r\nServer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok();
    for piece in pieces {
        if piece.is_empty() {
            // An empty piece in the script: the connection breaks here.
            return;
        }
        let length = format!("{:x}\r\n", piece.len());
        let chunk = [length.as_bytes(), &piece, b"\r\n"].concat();
        stream.write_all(&chunk).await.ok();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stream.write_all(b"0\r\n\r\n").await.ok();
}

mod versions;

#[tokio::test]
async fn credentials_go_out_in_the_url_safe_alphabet() {
    let fake = Fake::new(|request| match request.contains("/images/create") {
        true => ok("{\"status\":\"Pull complete\",\"id\":\"l\"}\r\n"),
        false => ok(IMAGE),
    });
    let auth = RegistryAuth {
        registry: "r.example:5000".to_owned(),
        username: "u".to_owned(),
        password: "~?~?>>~~".to_owned(),
        identity_token: String::new(),
    };
    fake.pull(Some("sha256:bb"), Some(auth)).await.unwrap();
    let pulls = fake.seen("POST /v1.44/images/create?fromImage=r.example%3A5000%2Fa%40sha256%3Abb&platform=linux%2Famd64");
    let header = pulls[0]
        .lines()
        .find_map(|line| line.strip_prefix("x-registry-auth: "))
        .unwrap();
    assert!(
        header.contains(['-', '_']) && !header.contains(['+', '/']),
        "{header}"
    );
    let tags = fake
        .seen("POST /v1.44/images/r.example:5000/a@sha256:bb/tag?repo=r.example%3A5000%2Fa&tag=1");
    assert_eq!(tags.len(), 1);
}

#[tokio::test]
async fn line_ends_may_come_apart_from_their_messages() {
    let fake = Fake::new(|request| match request.contains("/images/create") {
        true => Answer(
            200,
            vec![
                b"{\"status\":\"Already ex".to_vec(),
                b"ists\",\"id\":\"l\"}".to_vec(),
                b"\r".to_vec(),
                b"\n{\"status\":\"Status: done\"}".to_vec(),
                b"\r\n".to_vec(),
            ],
        ),
        false => ok(IMAGE),
    });
    assert_eq!(fake.pull(None, None).await.unwrap().id, "sha256:aa");
}

#[tokio::test]
async fn an_error_inside_a_good_answer_is_an_error() {
    let fake = Fake::new(|_| {
        ok(
            "{\"errorDetail\":{\"message\":\"unauthorized: no\"},\"error\":\"unauthorized: no\"}\r\n",
        )
    });
    let error = fake.pull(None, None).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::Image { hint: Some(hint), .. } if hint.contains("docker login")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_pull_that_ends_well_without_an_image_has_failed() {
    let fake = Fake::new(|request| match request.contains("/images/create") {
        true => ok("{\"status\":\"Status: Downloaded newer image\"}\r\n"),
        false => Answer(404, vec![b"{\"message\":\"No such image\"}".to_vec()]),
    });
    let error = fake.pull(Some("sha256:bb"), None).await.unwrap_err();
    assert!(error.to_string().contains("does not have it"), "{error}");
}

#[tokio::test]
async fn a_broken_stream_is_forgiven_only_when_the_digest_is_there() {
    let script: Script = |request| match request.contains("/images/create") {
        true => Answer(
            200,
            vec![
                b"{\"status\":\"Downloading\",\"id\":\"l\"}\r\n".to_vec(),
                Vec::new(),
            ],
        ),
        false => ok(IMAGE),
    };
    let (progress, _layers) = mpsc::channel(1);
    let pull = |digest: Option<&str>| Pull {
        reference: "a:1".to_owned(),
        digest: digest.map(str::to_owned),
        platform: "linux/amd64".to_owned(),
        auth: None,
    };
    let fake = Fake::new(script);
    let stop = CancellationToken::new();
    let pinned = fake
        .docker
        .pull(&pull(Some("sha256:bb")), progress.clone(), stop.clone())
        .await;
    assert_eq!(pinned.unwrap().id, "sha256:aa");
    let by_name = fake.docker.pull(&pull(None), progress, stop).await;
    assert!(matches!(by_name, Err(EngineError::Down(_))), "{by_name:?}");
}

#[tokio::test]
async fn an_image_of_another_platform_is_found_out() {
    let fake = Fake::new(|request| match request.contains("/images/create") {
        true => ok("{\"status\":\"Status: Image is up to date\"}\r\n"),
        false => ok(&IMAGE.replace("amd64", "arm64")),
    });
    let error = fake.pull(Some("sha256:bb"), None).await.unwrap_err();
    assert!(matches!(error, EngineError::Platform { .. }), "{error:?}");
    assert!(fake.seen("/tag?").is_empty(), "and it got no name");
}

#[tokio::test]
async fn errors_of_the_engine_are_told_in_its_words() {
    let fake = Fake::new(|_| Answer(500, vec![b"{\"message\":\"out of luck\"}".to_vec()]));
    let error = fake
        .docker
        .containers(&"shop".parse().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "containers of shop: out of luck");
    let fake = Fake::new(|_| ok("{ not json"));
    let error = fake.docker.image("a").await.unwrap_err();
    assert!(matches!(error, EngineError::Api { .. }), "{error:?}");
}

#[tokio::test]
async fn a_container_that_goes_between_list_and_look_is_left_out() {
    let fake = Fake::new(|request| {
        if request.contains("/containers/json") {
            ok(r#"[{"Id":"gone"},{"Id":"here"}]"#)
        } else if request.contains("gone") {
            Answer(404, vec![b"{\"message\":\"No such container\"}".to_vec()])
        } else {
            ok(
                r#"{"Id":"here","Name":"/x","Config":{"Labels":{"com.docker.compose.service":"web"}}}"#,
            )
        }
    });
    let containers = fake
        .docker
        .containers(&"shop".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(containers.len(), 1);
}

/// An engine that answers one connection after the other under a name, until it is dropped.
struct Named {
    seen: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
    socket: std::path::PathBuf,
}

impl Named {
    fn start(folder: &TempDir, name: &'static str) -> Self {
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, name, |_| ok("[]"), log.clone()).await;
            }
        });
        Self {
            seen,
            server,
            socket,
        }
    }

    fn versions_asked(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|s| s.contains(" /version ")).count()
    }

    async fn stop(self) {
        self.server.abort();
        self.server.await.ok();
        std::fs::remove_file(self.socket).unwrap();
    }
}

#[tokio::test]
async fn an_engine_that_came_up_late_is_found_and_one_that_went_away_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let docker = Docker::new(folder.path().join("docker.sock"));
    let project: ProjectName = "shop".parse().unwrap();
    assert!(matches!(docker.facts().await, Err(EngineError::Down(_))));
    for _ in 0..2 {
        let engine = Named::start(&folder, "Docker/29");
        docker.containers(&project).await.unwrap();
        assert_eq!(engine.versions_asked(), 1);
        engine.stop().await;
        let gone = docker.containers(&project).await;
        assert!(matches!(gone, Err(EngineError::Down(_))));
    }
}

#[tokio::test]
async fn an_engine_is_asked_for_its_version_once_and_another_one_again() {
    let folder = tempfile::tempdir().unwrap();
    let docker = Docker::new(folder.path().join("docker.sock"));
    for name in ["Docker/29", "Docker/30"] {
        let engine = Named::start(&folder, name);
        for _ in 0..3 {
            assert_eq!(docker.facts().await.unwrap().version, "29.0.0");
        }
        assert_eq!(engine.versions_asked(), 1, "{name}");
        engine.stop().await;
    }
}

#[tokio::test]
async fn logs_are_read_by_the_containers_own_setting() {
    let fake = Fake::new(|request| {
        if request.contains("/logs?") {
            // A first byte below three: a frame to a decoder that guesses.
            Answer(
                200,
                vec![
                    b"2024-02-29T23:59:59.000000001Z \x01\x00".to_vec(),
                    b"x\r\nno end".to_vec(),
                ],
            )
        } else {
            ok(r#"{"Id":"c","Config":{"Tty":true}}"#)
        }
    });
    let range = LogRange {
        since_nanos: Some(1_500_000_001),
        ..LogRange::default()
    };
    let lines: Vec<_> = fake.docker.logs("c", &range).await.unwrap().collect().await;
    let texts: Vec<_> = lines.into_iter().map(|line| line.unwrap().text).collect();
    assert_eq!(texts, [b"\x01\x00x".to_vec(), b"no end".to_vec()]);
    assert_eq!(fake.seen("since=1.500000001").len(), 1);
}

#[tokio::test]
async fn a_log_that_breaks_off_says_so() {
    let fake = Fake::new(|request| match request.contains("/logs?") {
        true => Answer(200, vec![b"\x01\0\0\0\0\0\0\x02x\n".to_vec(), Vec::new()]),
        false => ok(r#"{"Id":"c"}"#),
    });
    let lines: Vec<_> = fake
        .docker
        .logs("c", &LogRange::default())
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].is_ok() && matches!(lines[1], Err(EngineError::Down(_))),
        "{lines:?}"
    );
}

#[tokio::test]
async fn many_events_at_once_are_one_nudge_and_the_end_is_the_end() {
    let fake = Fake::new(|_| {
        Answer(
            200,
            vec![b"{}\n{}\n{}\n".to_vec(), b"{}\n".to_vec(), Vec::new()],
        )
    });
    let nudges = fake.docker.nudges(&"shop".parse().unwrap()).await.unwrap();
    assert_eq!(nudges.collect::<Vec<_>>().await.len(), 2);
    let asked = fake.seen("GET /v1.44/events?since=1&filters=");
    assert!(!asked[0].contains("exec_"), "healthchecks are no changes");
}

/// The same registry's name, for an engine that says it speaks plain HTTP there.
fn engine_of_a_registry(request: &str) -> Answer {
    let path = request.split(' ').nth(1).unwrap_or_default();
    if path.ends_with("/info") {
        return ok(r#"{"RegistryConfig":{"InsecureRegistryCIDRs":["127.0.0.0/8"]}}"#);
    }
    if let Some((_, name)) = path.split_once("/images/") {
        let repository = name.trim_end_matches("/a:1/json");
        let image = json!({
            "Id": "sha256:aa", "Os": "linux", "Architecture": "amd64",
            "RepoDigests": [format!("{repository}/a@sha256:{}", "0".repeat(64))],
        });
        return ok(&image.to_string());
    }
    ok(r#"{"Descriptor":{"digest":"sha256:the-engine-was-asked"},"Platforms":[]}"#)
}

#[tokio::test]
async fn the_engine_is_asked_only_about_names_that_mean_something_new() {
    let fake = Fake::new(engine_of_a_registry);
    for (digit, wanted) in [("0", None), ("1", Some("sha256:the-engine-was-asked"))] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = format!("{}/a:1", listener.local_addr().unwrap());
        let digest = format!("sha256:{}", digit.repeat(64));
        let told = digest.clone();
        let registry = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let head = format!(
                "HTTP/1.1 200 OK\r\nDocker-Content-Digest: {told}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
        });
        let here = fake.docker.image(&name).await.unwrap();
        let image = fake.docker.remote_image(&name, here.as_ref(), None).await;
        let image = image.unwrap();
        registry.await.unwrap();
        assert_eq!(image.digest, wanted.unwrap_or(&digest));
    }
    assert_eq!(fake.seen("/distribution/").len(), 1);
    assert_eq!(fake.seen("/info").len(), 1, "asked once");
}
