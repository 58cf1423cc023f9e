//! A registry that is a script: what is asked of it, and when the engine is asked instead.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The first line and the login of each request, and what was answered to it.
type Script = fn(&str, &str, &str) -> String;

struct Registry {
    name: String,
    seen: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Registry {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, own) = (seen.clone(), host.clone());
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, script, &own, &log).await;
            }
        });
        let name = format!("{host}/org/a:1");
        Self { name, seen, server }
    }

    async fn digest(&self, auth: Option<&RegistryAuth>) -> Option<String> {
        Direct::default().digest(&self.name, auth, &rules()).await
    }

    async fn layers(&self, digest: &str, auth: Option<&RegistryAuth>) -> Option<Vec<Layer>> {
        let direct = Direct::default();
        direct
            .layers(&self.name, digest, "linux/amd64", auth, &rules())
            .await
    }
}

fn rules() -> Rules {
    let rules = r#"{"RegistryConfig":{"InsecureRegistryCIDRs":["127.0.0.0/8"]}}"#;
    serde_json::from_str(rules).unwrap()
}

async fn answer(mut stream: TcpStream, script: Script, host: &str, seen: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8(request).unwrap();
    let first = request.lines().next().unwrap_or_default().to_owned();
    let login = request
        .lines()
        .find_map(|line| line.strip_prefix("authorization: "));
    let answer = script(&first, login.unwrap_or_default(), host);
    seen.lock().unwrap().push(first);
    stream.write_all(answer.as_bytes()).await.ok();
}

fn found() -> String {
    format!("HTTP/1.1 200 OK\r\nDocker-Content-Digest: {DIGEST}\r\nConnection: close\r\n\r\n")
}

fn wants(challenge: &str) -> String {
    format!("HTTP/1.1 401 X\r\nWWW-Authenticate: {challenge}\r\nConnection: close\r\n\r\n")
}

fn ana() -> RegistryAuth {
    RegistryAuth {
        registry: "r".to_owned(),
        username: "ana".to_owned(),
        password: "secret".to_owned(),
        identity_token: String::new(),
    }
}

#[tokio::test]
async fn one_request_tells_what_a_name_means() {
    let registry = Registry::start(|_, _, _| found()).await;
    assert_eq!(registry.digest(None).await.as_deref(), Some(DIGEST));
    let seen = registry.seen.lock().unwrap().clone();
    assert_eq!(seen, ["HEAD /v2/org/a/manifests/1 HTTP/1.1"]);
}

#[tokio::test]
async fn a_login_is_given_only_where_it_is_asked_for() {
    let registry = Registry::start(|_, login, _| match login {
        "Basic YW5hOnNlY3JldA==" => found(),
        _ => wants("Basic realm=\"lab\""),
    })
    .await;
    assert_eq!(registry.digest(Some(&ana())).await.as_deref(), Some(DIGEST));
    assert_eq!(registry.digest(None).await, None);
    let with_token = RegistryAuth {
        identity_token: "t".to_owned(),
        ..ana()
    };
    assert_eq!(registry.digest(Some(&with_token)).await, None);
}

#[tokio::test]
async fn a_token_is_fetched_from_where_the_registry_says() {
    let registry = Registry::start(|first, login, host| match (first, login) {
        (_, "Bearer t0k") => found(),
        (first, _) if first.starts_with("GET /token?service=lab&scope=") => {
            "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nConnection: close\r\n\r\n{\"token\":\"t0k\"}"
                .to_owned()
        }
        _ => wants(&format!(
            "Bearer realm=\"http://{host}/token\",service=\"lab\",scope=\"repository:org/a:pull\""
        )),
    })
    .await;
    assert_eq!(registry.digest(None).await.as_deref(), Some(DIGEST));
}

#[tokio::test]
async fn whatever_else_a_registry_says_is_left_to_the_engine() {
    let answers: [Script; 5] = [
        |_, _, _| "HTTP/1.1 404 X\r\nConnection: close\r\n\r\n".to_owned(),
        |_, _, _| {
            "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:short\r\nConnection: close\r\n\r\n"
                .to_owned()
        },
        |_, _, _| "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned(),
        |_, _, _| "SSH-2.0-no\r\n".to_owned(),
        |_, _, _| wants("Negotiate"),
    ];
    for script in answers {
        assert_eq!(Registry::start(script).await.digest(None).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_registry_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = format!("{}/a", listener.local_addr().unwrap());
    let rules = r#"{"RegistryConfig":{"InsecureRegistryCIDRs":["127.0.0.0/8"]}}"#;
    let rules: Rules = serde_json::from_str(rules).unwrap();
    assert_eq!(Direct::default().digest(&name, None, &rules).await, None);
}

fn document(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn the_layers_are_those_of_the_platform() {
    let registry = Registry::start(|first, login, _| match (first, login) {
        (_, "") => wants("Basic realm=\"lab\""),
        ("GET /v2/org/a/manifests/sha256:index HTTP/1.1", _) => document(
            r#"{"manifests":[{"digest":"sha256:one","size":9,"platform":{"os":"linux","architecture":"amd64"}}]}"#,
        ),
        ("GET /v2/org/a/manifests/sha256:one HTTP/1.1", _) => {
            document(r#"{"layers":[{"digest":"sha256:x","size":7},{"digest":"sha256:y","size":5}]}"#)
        }
        _ => "HTTP/1.1 404 X\r\nConnection: close\r\n\r\n".to_owned(),
    })
    .await;
    let layers = registry.layers("sha256:index", Some(&ana())).await.unwrap();
    let layers: Vec<(&str, u64)> = layers
        .iter()
        .map(|it| (it.digest.as_str(), it.bytes))
        .collect();
    assert_eq!(layers, [("sha256:x", 7), ("sha256:y", 5)]);
    assert_eq!(registry.layers("sha256:other", Some(&ana())).await, None);
    assert_eq!(registry.layers("sha256:index", None).await, None);
}
