//! Requests to the engine: the one file that knows bollard.
//!
//! bollard 0.21 drops the API version from its paths, encodes credentials with the wrong alphabet, takes whole
//! seconds for log ranges and cuts pull and log streams wrongly. All of that is avoided by taking only its
//! transport: a request modifier writes the whole request, and the body comes back raw.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use proto::registry::RegistryAuth;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::direct::Rules;
use super::request::{registry_header, target};
use super::{banner, version};
use crate::engine::EngineError;

/// Bytes of one answer that is read whole.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;
const VERSION_DEADLINE: Duration = Duration::from_secs(5);

/// One request.
pub(super) struct Ask<'a> {
    /// For people: what is being done.
    pub(super) what: String,
    /// `GET`, `POST`, `DELETE`.
    pub(super) method: &'static str,
    /// Without the version, already encoded.
    pub(super) path: String,
    /// Not yet encoded.
    pub(super) query: Vec<(&'static str, String)>,
    /// For the registry that the engine will talk to.
    pub(super) auth: Option<&'a RegistryAuth>,
    /// JSON to send along.
    pub(super) body: Option<String>,
    /// For the whole answer, or for its beginning when it is a stream.
    pub(super) deadline: Duration,
}

/// Why there is no good answer.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// Nobody answers at the socket, or the connection broke.
    Down(String),
    /// The engine answered with an error.
    Status(u16, String),
    /// The answer makes no sense.
    Malformed(String),
    /// The deadline passed.
    TimedOut(Duration),
}

impl Refusal {
    /// In the words of the engine seam.
    pub(super) fn into_error(self, what: &str) -> EngineError {
        let what = what.to_owned();
        match self {
            Self::Down(why) => EngineError::Down(why),
            Self::TimedOut(after) => EngineError::TimedOut { what, after },
            Self::Status(_, message) => EngineError::Api { what, message },
            Self::Malformed(why) => EngineError::Api {
                what,
                message: format!("the engine's answer cannot be read: {why}"),
            },
        }
    }

    /// The engine does not know what was asked for.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Status(404, _))
    }
}

/// An engine that was asked before.
struct Known {
    banner: String,
    version: EngineVersion,
    /// The API version in use.
    chosen: String,
    /// How it goes to registries; asked for when first needed.
    rules: Arc<OnceCell<Rules>>,
}

/// What the engine says of itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EngineVersion {
    /// Docker's version.
    pub(super) version: String,
    /// Newest API it speaks.
    pub(super) api_version: String,
    /// Oldest API it speaks; older engines do not say.
    #[serde(rename = "MinAPIVersion", default)]
    pub(super) min_api_version: String,
    /// Operating system.
    pub(super) os: String,
    /// Go's name for the architecture, which is what images use.
    pub(super) arch: String,
}

/// The engine's socket.
pub(super) struct Api {
    socket: PathBuf,
    /// Forgotten whenever the engine may have been replaced.
    known: Mutex<Option<Known>>,
}

impl Api {
    /// Connects to nothing yet: the engine may come up later.
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            known: Mutex::new(None),
        }
    }

    /// What the engine is, which also settles the API version. Costs a ping, and more only when another engine
    /// answers than the time before.
    pub(super) async fn version(&self) -> Result<EngineVersion, Refusal> {
        let banner = banner::ask(&self.socket).await?;
        let known = self.known().as_ref().and_then(|known| {
            let same = known.banner == banner;
            same.then(|| known.version.clone())
        });
        if let Some(version) = known {
            return Ok(version);
        }
        let ask = Ask {
            what: "docker version".to_owned(),
            method: "GET",
            path: "/version".to_owned(),
            query: Vec::new(),
            auth: None,
            body: None,
            deadline: VERSION_DEADLINE,
        };
        let version: EngineVersion = parse(&self.read(&ask, "").await?)?;
        let chosen = version::choose(&version.min_api_version, &version.api_version);
        *self.known() = Some(Known {
            banner,
            version: version.clone(),
            chosen,
            rules: Arc::default(),
        });
        Ok(version)
    }

    /// How the engine goes to registries. A changed configuration needs a restart of the engine, in which calls fail
    /// or another banner shows.
    pub(super) async fn rules(&self) -> Result<Rules, Refusal> {
        let prefix = self.prefix().await?;
        let cell = self.known().as_ref().map(|known| Arc::clone(&known.rules));
        let ask = Ask {
            what: "docker info".to_owned(),
            method: "GET",
            path: "/info".to_owned(),
            query: Vec::new(),
            auth: None,
            body: None,
            deadline: VERSION_DEADLINE,
        };
        let cell = cell.unwrap_or_default();
        let read = || async { parse(&self.read(&ask, &prefix).await?) };
        cell.get_or_try_init(read).await.cloned()
    }

    /// An answer that is one JSON document.
    pub(super) async fn json<T: DeserializeOwned>(&self, ask: &Ask<'_>) -> Result<T, Refusal> {
        parse(&self.bytes(ask).await?)
    }

    /// An answer as it is.
    pub(super) async fn bytes(&self, ask: &Ask<'_>) -> Result<Vec<u8>, Refusal> {
        let prefix = self.prefix().await?;
        let answer = self.read(ask, &prefix).await;
        self.reconsider(answer.as_ref().err());
        answer
    }

    /// An answer that goes on. Dropping the stream closes the connection. The engine's refusal, if there is one,
    /// is the stream's first item.
    pub(super) async fn stream(
        &self,
        ask: &Ask<'_>,
    ) -> Result<BoxStream<'static, Result<Vec<u8>, Refusal>>, Refusal> {
        let prefix = self.prefix().await?;
        self.send(ask, &prefix)
    }

    async fn read(&self, ask: &Ask<'_>, prefix: &str) -> Result<Vec<u8>, Refusal> {
        let mut stream = self.send(ask, prefix)?;
        let all = async {
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.try_next().await? {
                bytes.extend_from_slice(&chunk);
                if bytes.len() > ANSWER_BYTES {
                    return Err(Refusal::Malformed("the answer is over 32 MiB".to_owned()));
                }
            }
            Ok(bytes)
        };
        let timed = tokio::time::timeout(ask.deadline, all).await;
        timed.unwrap_or(Err(Refusal::TimedOut(ask.deadline)))
    }

    fn send(
        &self,
        ask: &Ask<'_>,
        prefix: &str,
    ) -> Result<BoxStream<'static, Result<Vec<u8>, Refusal>>, Refusal> {
        let target = target(prefix, &ask.path, &ask.query);
        let method = ask.method;
        let auth = ask.auth.map(registry_header);
        let json = ask.body.clone();
        let deadline = ask.deadline;
        // A client is only its settings (it keeps no connection), and making one fails while the socket is missing.
        let seconds = deadline.as_secs().max(1);
        let socket = self.socket.to_string_lossy();
        let version = bollard::API_DEFAULT_VERSION;
        let client = bollard::Docker::connect_with_unix(&socket, seconds, version)
            .map_err(|error| refusal(error, deadline))?
            .with_request_modifier(move |mut request| {
                let host = request.uri().authority().map(ToString::to_string);
                let uri = format!("unix://{}{target}", host.unwrap_or_default());
                if let Ok(uri) = uri.parse() {
                    *request.uri_mut() = uri;
                }
                if let Ok(method) = method.parse() {
                    *request.method_mut() = method;
                }
                if let Some(Ok(value)) = auth.as_deref().map(str::parse) {
                    request.headers_mut().insert("x-registry-auth", value);
                }
                if let Some(json) = &json {
                    *request.body_mut() = bollard::body_full(json.clone().into());
                }
                request
            });
        // Of all calls this one hands its body through untouched.
        let body = client.export_container("replaced-by-the-modifier");
        let body = body.map(move |chunk| match chunk {
            Ok(chunk) => Ok(chunk.to_vec()),
            Err(error) => Err(refusal(error, deadline)),
        });
        Ok(body.boxed())
    }

    async fn prefix(&self) -> Result<String, Refusal> {
        if self.known().is_none() {
            self.version().await?;
        }
        let chosen = self.known().as_ref().map(|known| known.chosen.clone());
        Ok(chosen
            .map(|chosen| format!("/v{chosen}"))
            .unwrap_or_default())
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a broken connection, or a complaint about the version, another engine may be listening.
    fn reconsider(&self, refusal: Option<&Refusal>) {
        match refusal {
            Some(Refusal::Down(_)) => *self.known() = None,
            Some(Refusal::Status(400, text)) if text.contains("client version") => {
                *self.known() = None;
            }
            _ => {}
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| Refusal::Malformed(error.to_string()))
}

fn refusal(error: Error, deadline: Duration) -> Refusal {
    match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => Refusal::Status(status_code, message.trim().to_owned()),
        Error::RequestTimeoutError => Refusal::TimedOut(deadline),
        other => {
            // The outer layers say "client error"; the innermost cause says "connection refused".
            let mut cause: &dyn std::error::Error = &other;
            while let Some(next) = cause.source() {
                cause = next;
            }
            Refusal::Down(cause.to_string())
        }
    }
}
