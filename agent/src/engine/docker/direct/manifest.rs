//! What a registry says an image is made of: a manifest, or an index that names one for each platform.

use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use super::Visit;
use super::place::Place;
use crate::engine::Layer;

/// Registries take no manifest that is larger.
const MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// A manifest or an index: each has fields of its own.
#[derive(Debug, Deserialize)]
pub(super) struct Document {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl Document {
    /// The manifest for an `os/architecture`, as the index lists it.
    fn digest_for(&self, platform: &str) -> Option<&str> {
        let fits = |one: &&Descriptor| {
            let offered = one.platform.as_ref();
            offered.is_some_and(|it| format!("{}/{}", it.os, it.architecture) == platform)
        };
        let found = self.manifests.iter().find(fits)?;
        Some(&found.digest)
    }

    fn into_layers(self) -> Option<Vec<Layer>> {
        let layer = |one: Descriptor| Layer {
            digest: one.digest,
            bytes: one.size,
        };
        (!self.layers.is_empty()).then(|| self.layers.into_iter().map(layer).collect())
    }
}

/// The layers of an image for an `os/architecture`.
pub(super) async fn layers(
    mut visit: Visit<'_>,
    place: &Place,
    digest: &str,
    platform: &str,
) -> Option<Vec<Layer>> {
    let document = read(&mut visit, &place.manifest_of(digest)).await?;
    let Some(digest) = document.digest_for(platform) else {
        return document.into_layers();
    };
    let address = place.manifest_of(digest);
    read(&mut visit, &address).await?.into_layers()
}

async fn read(visit: &mut Visit<'_>, address: &str) -> Option<Document> {
    let answer = visit.ask(Method::GET, address).await?;
    if answer.status() != StatusCode::OK {
        return None;
    }
    let body = Limited::new(answer.into_body(), MANIFEST_BYTES);
    serde_json::from_slice(&body.collect().await.ok()?.to_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_index_leads_to_the_manifest_of_the_platform() {
        let index: Document = serde_json::from_value(json!({"manifests": [
            {"digest": "sha256:a", "size": 1, "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": "sha256:b", "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:c", "size": 1, "platform": {"os": "unknown", "architecture": "unknown"}},
        ]}))
        .unwrap();
        assert_eq!(index.digest_for("linux/amd64"), Some("sha256:b"));
        assert_eq!(index.digest_for("linux/riscv64"), None);
        assert_eq!(index.into_layers(), None);
    }

    proptest! {
        #[test]
        fn no_document_panics(text in ".{0,80}", size in any::<i64>()) {
            drop(serde_json::from_str::<Document>(&text));
            let layer = json!({"layers": [{"digest": text, "size": size}]});
            drop(serde_json::from_value::<Document>(layer).map(Document::into_layers));
        }
    }
}
