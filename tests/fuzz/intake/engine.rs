//! What Docker and Compose answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use agent::engine::intake::{compose, docker};
use agent::engine::{Engine as _, EngineError, EngineSettings, Pull, RealEngine};
use agent::hostkey::HostKey;
use agent::redact::Redactor;
use agent::resolved::{self, ResolvedStack, Values};
use proto::fault::Fault;
use proto::path::RelPath;
use proto::stack::StackSpec;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{check_error, check_fault, in_scratch, text};

/// `config --format json`, both as it is resolved and as it is written.
pub(super) fn compose_config(bytes: &[u8]) {
    let Ok(mut config) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    for path in compose::named_paths(&config) {
        assert!(!path.is_empty() && !path.starts_with(['/', '~']));
        // Whatever of it is shipped stays inside.
        path.parse::<RelPath>().ok();
    }
    let (from, to) = (Path::new("/staging/1"), Path::new("/p"));
    resolved::rewrite_prefix(&mut config, from, to);
    let once = config.clone();
    resolved::rewrite_prefix(&mut config, from, to);
    assert_eq!(config, once, "a path was rewritten twice");
    let name = "opq".parse().expect("a name");
    let compose_file = "compose.yaml".parse().expect("a path");
    let spec = StackSpec::new(name, "opq".parse().expect("a name"), compose_file);
    let values = Values {
        spec: &spec,
        host: &BTreeMap::new(),
    };
    match resolved::read(&config, to, &key(), &Redactor::default(), &values) {
        Ok(stack) => check_stack(&stack, &config),
        Err(fault) => check_fault(&fault),
    }
}

fn key() -> HostKey {
    static KEY: OnceLock<HostKey> = OnceLock::new();
    let make = || in_scratch(|scratch| HostKey::load_or_create(&scratch.path().join("key")));
    KEY.get_or_init(|| make().unwrap()).clone()
}

fn check_stack(stack: &ResolvedStack, config: &Value) {
    let names: BTreeSet<_> = stack.services.iter().map(|service| &service.name).collect();
    assert_eq!(names.len(), stack.services.len());
    for service in &stack.services {
        assert_eq!(stack.service(&service.name), Some(service));
        assert!(!service.image.is_empty());
        // A deadline in the far future is no deadline, but it must be one that can be added to.
        assert!(service.patience >= Duration::from_secs(10));
        assert!(service.patience.as_secs() < u64::from(u32::MAX) * 1_000_000);
        // Marks say which setting, never what.
        assert!(service.marks.values().all(|mark| mark.len() == 24));
        assert!(config["services"].get(service.name.as_str()).is_some());
    }
    let used: usize = stack.images().values().map(Vec::len).sum();
    assert_eq!(used, stack.services.len());
    let text = serde_json::to_vec(stack).unwrap();
    assert_eq!(
        serde_json::from_slice::<ResolvedStack>(&text).unwrap(),
        *stack
    );
}

/// What Compose says on standard error, and as its version.
pub(super) fn compose_words(bytes: &[u8]) {
    let said = String::from_utf8_lossy(bytes);
    let lines: Vec<String> = said.lines().map(str::to_owned).collect();
    let (undefined, warnings) = compose::words(&lines);
    assert!(undefined.len() + warnings.len() <= lines.len());
    assert!(undefined.is_sorted());
    assert!(warnings.iter().all(|warning| !warning.trim().is_empty()));
    let unquoted: usize = undefined.iter().chain(&warnings).map(String::len).sum();
    // An escape such as `\x41` is never shorter than what it stands for.
    assert!(unquoted <= 2 * said.len());
    match compose::version(&said) {
        Ok(version) => assert_eq!(compose::version(&version).ok(), Some(version)),
        Err(error) => {
            check_error(&error);
            assert!(matches!(
                error,
                EngineError::ComposeTooOld(_) | EngineError::ComposeUnclear(_)
            ));
        }
    }
}

/// A log answer: the first byte is the container's kind and how the bytes arrive.
pub(super) fn log_frames(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else {
        return;
    };
    let (terminal, piece) = (how & 1 == 1, usize::from(how >> 1) + 1);
    let whole = docker::log_answer(terminal, [bytes]);
    let cut = docker::log_answer(terminal, bytes.chunks(piece));
    assert_eq!(whole, cut, "it matters how the bytes arrive");
    let text: usize = whole.lines.iter().map(|line| line.text.len()).sum();
    assert!(text <= bytes.len(), "more text than bytes");
    assert!(whole.lines.iter().all(|line| !line.text.contains(&b'\n')));
    // Each line needs at least a byte, and so nobody can make many of few.
    assert!(whole.lines.len() <= bytes.len() + 1);
}

/// What the engine shows of a container or an image.
pub(super) fn inspect(bytes: &[u8]) {
    if let Some((_, Some(container))) = docker::container(bytes) {
        assert!(container.health_output.len() <= 4096);
        assert!(!container.service.as_str().is_empty());
        assert!(container.ports.is_sorted());
        assert!(!container.name.starts_with('/') || bytes.windows(2).any(|two| two == b"//"));
    }
    if let Some(image) = docker::image(bytes) {
        assert!(image.id.len() <= bytes.len());
    }
}

/// An engine behind a real socket whose answers are the input's parts, between lines of three dashes: the pull's
/// stream, the image, the registry's word.
pub(super) fn pull(bytes: &[u8]) {
    static ENGINE: OnceLock<Mutex<FakeEngine>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Mutex::new(FakeEngine::new()));
    engine.lock().unwrap().pull(bytes);
}

struct FakeEngine {
    runtime: Runtime,
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
    engine: RealEngine,
    _folder: TempDir,
}

impl FakeEngine {
    fn new() -> Self {
        let builder = &mut tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let answers = Arc::new(Mutex::new(Vec::new()));
        let script = answers.clone();
        let _inside = runtime.enter();
        let listener = UnixListener::bind(&socket).unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, script.clone()));
            }
        });
        let engine = RealEngine::new(EngineSettings {
            plugin: None,
            socket,
            empty: folder.path().join("empty"),
            home: None,
        });
        Self {
            runtime,
            answers,
            engine,
            _folder: folder,
        }
    }

    fn pull(&self, bytes: &[u8]) {
        let separator = b"\n---\n";
        let mut parts = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest
            .windows(separator.len())
            .position(|window| window == separator)
        {
            parts.push(rest[..at].to_vec());
            rest = &rest[at + separator.len()..];
        }
        parts.push(rest.to_vec());
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        *self.answers.lock().unwrap() = parts;
        let pull = Pull {
            reference: "r.example/a:1".to_owned(),
            digest: Some(format!("sha256:{}", "ab".repeat(32))),
            platform: "linux/amd64".to_owned(),
            auth: None,
        };
        let (progress, mut seen) = mpsc::channel(64);
        let engine = &self.engine;
        let pulled = async {
            let deadline = Duration::from_secs(5);
            let pulled = engine.pull(&pull, progress, CancellationToken::new());
            tokio::time::timeout(deadline, pulled).await.unwrap()
        };
        match self.runtime.block_on(pulled) {
            Ok(image) => assert!(image.os == "linux" && image.architecture == "amd64"),
            Err(error) => {
                check_error(&error);
                check_fault(&Fault::from(error));
            }
        }
        let mut count = 0;
        while let Ok(layer) = seen.try_recv() {
            assert!(layer.layer.len() <= bytes.len());
            count += 1;
        }
        assert!(count <= lines + 1);
        match self
            .runtime
            .block_on(engine.remote_image("r.example/a:1", None, None))
        {
            Ok(remote) => assert!(
                remote
                    .platforms
                    .iter()
                    .all(|platform| platform.contains('/'))
            ),
            Err(error) => check_error(&error),
        }
    }
}

/// One request, one answer, one connection: that is how the engine is asked.
async fn answer(mut stream: UnixStream, script: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8_lossy(&request);
    let part = |index: usize| {
        let script = script.lock().unwrap();
        script.get(index).cloned().unwrap_or_default()
    };
    let version = r#"{"Version":"29.0.0","ApiVersion":"1.52","Os":"linux","Arch":"amd64"}"#;
    let path = text(request.as_bytes()).and_then(|text| text.split(' ').nth(1));
    let body = match path.unwrap_or_default() {
        "/version" => version.as_bytes().to_vec(),
        path if path.contains("/images/create") => part(0),
        path if path.contains("/distribution/") => part(2),
        path if path.ends_with("/json") => part(1),
        _ => Vec::new(),
    };
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n";
    let whole = [head.as_bytes(), &body].concat();
    // Whoever asked may have gone.
    stream.write_all(&whole).await.ok();
}
