//! Asks a registry itself whether a name still means what is here: one request, where the engine makes five; and how
//! large an image is, which the engine does not tell.
//!
//! It only ever confirms and counts. Whatever is new, refused, slow, or reached in a way that the engine is configured for, is
//! left to the engine, whose word counts. A `HEAD` is also free where registries count pulls.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use proto::registry::RegistryAuth;
use tokio::sync::OnceCell;

use self::challenge::Challenge;
use self::place::Place;
pub(super) use self::place::Rules;
use super::reference::Reference;
use crate::engine::Layer;

mod challenge;
mod manifest;
mod place;
#[cfg(test)]
mod tests;

/// The engine still has time within the deadline of a plan.
const DEADLINE: Duration = Duration::from_millis(1500);
/// Nobody waits longer to know how large something is.
const LAYERS_DEADLINE: Duration = Duration::from_secs(3);
/// The images of one plan share connections; none is held while the agent is at rest.
const IDLE: Duration = Duration::from_secs(5);
const TOKEN_BYTES: usize = 64 * 1024;
/// What a name may stand for, newest form first.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

type Answer = Response<BoxBody<Bytes, String>>;
type Http = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The way to registries that needs no engine.
#[derive(Default)]
pub(super) struct Direct {
    /// Made when it is first needed; `None` where this host trusts nobody.
    http: OnceCell<Option<Http>>,
}

impl Direct {
    /// The digest that the registry has under a name now, if it says so at once.
    pub(super) async fn digest(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
        rules: &Rules,
    ) -> Option<String> {
        let reference = Reference::parse(reference);
        if reference.digest.is_some() {
            return None;
        }
        let place = Place::of(&reference, rules)?;
        let address = place.manifest();
        let mut visit = self.visit(&place, auth).await?;
        let asked = tokio::time::timeout(DEADLINE, visit.ask(Method::HEAD, &address));
        told(&asked.await.ok()??.into_parts().0)
    }

    /// The layers of an image that the registry has, if it says so at once.
    pub(super) async fn layers(
        &self,
        reference: &str,
        digest: &str,
        platform: &str,
        auth: Option<&RegistryAuth>,
        rules: &Rules,
    ) -> Option<Vec<Layer>> {
        let place = Place::of(&Reference::parse(reference), rules)?;
        let visit = self.visit(&place, auth).await?;
        let asked = manifest::layers(visit, &place, digest, platform);
        tokio::time::timeout(LAYERS_DEADLINE, asked).await.ok()?
    }

    async fn visit<'a>(
        &'a self,
        place: &Place,
        auth: Option<&'a RegistryAuth>,
    ) -> Option<Visit<'a>> {
        // Certificates of a registry's own are the engine's to know.
        if Path::new("/etc/docker/certs.d").join(&place.host).exists() {
            return None;
        }
        let http = self.http.get_or_init(|| async { connect() }).await;
        Some(Visit {
            http: http.as_ref()?,
            scheme: place.scheme,
            auth,
            login: None,
        })
    }
}

fn connect() -> Option<Http> {
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .ok()?
        .https_or_http()
        .enable_http1()
        .enable_http2()
        .build();
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector);
    Some(client)
}

/// Some requests to one registry, which logs in where it is asked to.
struct Visit<'a> {
    http: &'a Http,
    scheme: &'static str,
    auth: Option<&'a RegistryAuth>,
    login: Option<String>,
}

impl Visit<'_> {
    async fn ask(&mut self, method: Method, address: &str) -> Option<Answer> {
        let first = self.send(method.clone(), address).await?;
        if first.status() != StatusCode::UNAUTHORIZED || self.login.is_some() {
            return Some(first);
        }
        let challenge = first.headers().get(header::WWW_AUTHENTICATE)?;
        let login = match Challenge::parse(challenge.to_str().ok()?)? {
            Challenge::Basic => basic(self.auth?)?,
            Challenge::Bearer(realm) => {
                // A login goes nowhere in the clear that it would not have gone anyway.
                if self.scheme == "https" && !realm.starts_with("https://") {
                    return None;
                }
                let login = match self.auth {
                    Some(auth) => Some(basic(auth)?),
                    None => None,
                };
                format!("Bearer {}", token(self.http, &realm, login).await?)
            }
        };
        self.login = Some(login);
        self.send(method, address).await
    }

    async fn send(&self, method: Method, address: &str) -> Option<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(address)
            .header(header::ACCEPT, ACCEPT);
        if let Some(login) = &self.login {
            request = request.header(header::AUTHORIZATION, login);
        }
        let asked = self.http.request(request.body(Empty::new()).ok()?);
        let answer = asked.await.ok()?;
        Some(answer.map(|body| body.map_err(|error| error.to_string()).boxed()))
    }
}

fn told(answer: &Parts) -> Option<String> {
    let digest = answer.headers.get("docker-content-digest")?.to_str().ok()?;
    let hex = digest.strip_prefix("sha256:")?;
    let good = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    (answer.status == StatusCode::OK && good).then(|| digest.to_owned())
}

/// Registries that want an identity token exchange it in ways of their own.
fn basic(auth: &RegistryAuth) -> Option<String> {
    use base64::Engine as _;
    if !auth.identity_token.is_empty() {
        return None;
    }
    let pair = format!("{}:{}", auth.username, auth.password);
    let pair = base64::engine::general_purpose::STANDARD.encode(pair);
    Some(format!("Basic {pair}"))
}

async fn token(http: &Http, realm: &str, login: Option<String>) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Told {
        #[serde(default)]
        token: String,
        #[serde(default)]
        access_token: String,
    }
    let mut request = Request::get(realm);
    if let Some(login) = login {
        request = request.header(header::AUTHORIZATION, login);
    }
    let answer = http.request(request.body(Empty::new()).ok()?).await.ok()?;
    if answer.status() != StatusCode::OK {
        return None;
    }
    let body = Limited::new(answer.into_body(), TOKEN_BYTES)
        .collect()
        .await
        .ok()?;
    let told: Told = serde_json::from_slice(&body.to_bytes()).ok()?;
    let token = if told.token.is_empty() {
        told.access_token
    } else {
        told.token
    };
    (!token.is_empty()).then_some(token)
}
