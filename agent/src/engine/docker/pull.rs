//! Pulling an image, and proving that it arrived.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use proto::event::LayerPhase;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::api::{Api, Ask, Refusal};
use super::reference::Reference;
use super::{causes, image, registry};
use crate::engine::{EngineError, LayerProgress, LocalImage, Pull, Unwilling};

/// How long the engine may say nothing at all. It reports each layer many times a second, but waits out a slow
/// registry in silence.
const SILENCE: Duration = Duration::from_secs(180);
/// A message of the pull stream is a few hundred bytes.
const MESSAGE_BYTES: usize = 1024 * 1024;

/// One line of the pull stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    status: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    progress_detail: Option<Detail>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_detail: Option<ErrorDetail>,
}

#[derive(Deserialize, Default)]
struct Detail {
    #[serde(default)]
    current: u64,
    #[serde(default)]
    total: u64,
}

#[derive(Deserialize)]
struct ErrorDetail {
    #[serde(default)]
    message: String,
}

/// Pulls, proves, tags.
pub(super) async fn pull(
    api: &Api,
    pull: &Pull,
    progress: mpsc::Sender<LayerProgress>,
    stop: CancellationToken,
) -> Result<LocalImage, EngineError> {
    tokio::select! {
        done = work(api, pull, progress) => done,
        // Dropping the stream makes the engine give up.
        () = stop.cancelled() => Err(EngineError::Cancelled),
    }
}

async fn work(
    api: &Api,
    pull: &Pull,
    progress: mpsc::Sender<LayerProgress>,
) -> Result<LocalImage, EngineError> {
    let reference = Reference::parse(&pull.reference);
    let digest = pull.digest.as_deref().or(reference.digest);
    let tag = reference.readable_tag();
    let exact = match digest {
        Some(digest) => format!("{}@{digest}", reference.repository),
        None => format!("{}:{}", reference.repository, tag.unwrap_or("latest")),
    };
    if digest.is_some()
        && let Some(other) = image(api, &exact).await?
        && !other.is_of(&pull.platform)
    {
        // Under the digest of an index the engine keeps one platform, and refuses to put another in its place.
        super::take_name(api, &exact).await?;
    }
    let fetched = fetch(api, pull, &exact, &progress).await;
    let present = match (fetched, digest) {
        (Ok(()), _) => image(api, &exact).await?,
        // The stream broke, and yet all may have arrived. Only a digest can tell.
        (Err(Broken::Stream(error)), Some(_)) => match image(api, &exact).await {
            Ok(Some(image)) => Some(image),
            _ => return Err(error),
        },
        (Err(Broken::Stream(error) | Broken::Refused(error)), _) => return Err(error),
    };
    let present = present.ok_or_else(|| EngineError::Image {
        image: pull.reference.clone(),
        message: "the engine reports it as pulled and does not have it".to_owned(),
        hint: None,
        unwilling: Unwilling::Refused,
    })?;
    prove(pull, digest, &present)?;
    if let (Some(_), Some(tag)) = (digest, tag) {
        super::give_name(api, &exact, reference.repository, tag).await?;
    }
    Ok(present)
}

fn what(pull: &Pull) -> String {
    format!("pulling {}", pull.reference)
}

enum Broken {
    /// The registry, or the engine, said no.
    Refused(EngineError),
    /// The conversation ended in the middle.
    Stream(EngineError),
}

async fn fetch(
    api: &Api,
    pull: &Pull,
    exact: &str,
    progress: &mpsc::Sender<LayerProgress>,
) -> Result<(), Broken> {
    let ask = Ask {
        body: None,
        what: what(pull),
        method: "POST",
        path: "/images/create".to_owned(),
        query: vec![
            ("fromImage", exact.to_owned()),
            ("platform", pull.platform.clone()),
        ],
        auth: pull.auth.as_ref(),
        deadline: SILENCE,
    };
    let refused = |refusal| registry::unwanted(&pull.reference, &ask.what, refusal);
    let stream = api.stream(&ask).await;
    let mut stream = stream.map_err(|refusal| Broken::Refused(refused(refusal)))?;
    let mut pending = Vec::new();
    loop {
        let chunk = match tokio::time::timeout(SILENCE, stream.try_next()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break,
            Ok(Err(Refusal::Status(code, words))) => {
                return Err(Broken::Refused(said(api, pull, code, &words).await));
            }
            Ok(Err(refusal)) => return Err(Broken::Stream(refused(refusal))),
            Err(_) => return Err(Broken::Stream(refused(Refusal::TimedOut(SILENCE)))),
        };
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            message(api, pull, &line, progress).await?;
        }
        if pending.len() > MESSAGE_BYTES {
            let text = "a message without end".to_owned();
            return Err(Broken::Stream(refused(Refusal::Malformed(text))));
        }
    }
    message(api, pull, &pending, progress).await
}

async fn message(
    api: &Api,
    pull: &Pull,
    line: &[u8],
    progress: &mpsc::Sender<LayerProgress>,
) -> Result<(), Broken> {
    if line.trim_ascii().is_empty() {
        return Ok(());
    }
    let message: Message = serde_json::from_slice(line).map_err(|error| {
        let refusal = Refusal::Malformed(error.to_string());
        Broken::Stream(registry::unwanted(&pull.reference, &what(pull), refusal))
    })?;
    // A pull that fails has long been answered with "200 OK".
    let detail = message
        .error_detail
        .as_ref()
        .map(|detail| detail.message.clone());
    if let Some(words) = message.error.clone().or(detail) {
        return Err(Broken::Refused(said(api, pull, 0, &words).await));
    }
    if let Some(layer) = layer_progress(message) {
        // Progress is for looking at: when nobody keeps up, it is dropped.
        progress.try_send(layer).ok();
    }
    Ok(())
}

/// An error of the pull; one about the platform is worth a question to the registry.
async fn said(api: &Api, pull: &Pull, code: u16, words: &str) -> EngineError {
    if causes::is_full(words) {
        let rules = api.rules().await;
        let folder = rules.map_or("its folder on the host".to_owned(), |rules| rules.root);
        return causes::full(&pull.reference, &folder, words);
    }
    if !causes::is_platform(words) {
        return causes::explain(&pull.reference, code, words);
    }
    let offered = registry::remote_image(api, &pull.reference, pull.auth.as_ref()).await;
    EngineError::Platform {
        image: pull.reference.clone(),
        wanted: pull.platform.clone(),
        offered: offered.map(|remote| remote.platforms).unwrap_or_default(),
    }
}

fn layer_progress(message: Message) -> Option<LayerProgress> {
    let phase = match message.status.as_str() {
        "Pulling fs layer" | "Waiting" => LayerPhase::Waiting,
        "Downloading" => LayerPhase::Downloading,
        "Verifying Checksum" | "Download complete" | "Extracting" => LayerPhase::Extracting,
        "Pull complete" | "Already exists" => LayerPhase::Done,
        other if other.starts_with("Retrying in") => LayerPhase::Waiting,
        _ => return None,
    };
    let Detail { current, total } = message.progress_detail.unwrap_or_default();
    Some(LayerProgress {
        layer: message.id,
        phase,
        current,
        total,
    })
}

/// The engine may hand out what it has of another platform without a word.
fn prove(pull: &Pull, digest: Option<&str>, image: &LocalImage) -> Result<(), EngineError> {
    if let Some(digest) = digest.filter(|digest| !image.has_digest(digest)) {
        return Err(EngineError::Image {
            image: pull.reference.clone(),
            message: format!(
                "the engine reports it as pulled, and what it has is not {digest} but {}",
                image.id
            ),
            hint: None,
            unwilling: Unwilling::Refused,
        });
    }
    if image.is_of(&pull.platform) {
        return Ok(());
    }
    Err(EngineError::Platform {
        image: pull.reference.clone(),
        wanted: pull.platform.clone(),
        offered: vec![format!("{}/{}", image.os, image.architecture)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress_of(line: &str) -> Option<LayerProgress> {
        layer_progress(serde_json::from_str(line).unwrap())
    }

    #[test]
    fn layers_are_told_from_the_rest() {
        let line =
            r#"{"status":"Downloading","progressDetail":{"current":5,"total":9},"id":"ab12"}"#;
        assert_eq!(
            progress_of(line),
            Some(LayerProgress {
                layer: "ab12".to_owned(),
                phase: LayerPhase::Downloading,
                current: 5,
                total: 9,
            })
        );
        for (status, phase) in [
            ("Pulling fs layer", LayerPhase::Waiting),
            ("Retrying in 3 seconds", LayerPhase::Waiting),
            ("Download complete", LayerPhase::Extracting),
            ("Already exists", LayerPhase::Done),
        ] {
            let line = format!(r#"{{"status":"{status}","progressDetail":{{}},"id":"ab12"}}"#);
            assert_eq!(progress_of(&line).unwrap().phase, phase, "{status}");
        }
        assert_eq!(progress_of(r#"{"status":"Digest: sha256:00"}"#), None);
        assert_eq!(progress_of(r#"{"status":"Pulling from a","id":"1"}"#), None);
    }

    #[test]
    fn an_image_of_another_platform_is_refused() {
        let pull = Pull {
            reference: "a:1".to_owned(),
            digest: None,
            platform: "linux/arm64/v8".to_owned(),
            auth: None,
        };
        let image = |architecture: &str| LocalImage {
            id: String::new(),
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            digests: vec!["a@sha256:bb".to_owned()],
        };
        assert!(prove(&pull, None, &image("arm64")).is_ok());
        let error = prove(&pull, None, &image("amd64")).unwrap_err();
        assert!(
            matches!(&error, EngineError::Platform { offered, .. } if offered == &["linux/amd64"]),
            "{error:?}"
        );
        assert!(prove(&pull, Some("sha256:bb"), &image("arm64")).is_ok());
        let error = prove(&pull, Some("sha256:cc"), &image("arm64")).unwrap_err();
        assert!(error.to_string().contains("is not sha256:cc"), "{error}");
    }
}
