//! Pushing an image, or several for one tag, over the registry's HTTP API.

use serde_json::{Value, json};

use super::{Image, Pushed};
use crate::lab::error::{LabError, Result};
use crate::lab::http::{Answer, Request};
use crate::lab::layer::{Layer, digest};
use crate::lab::registry::Remote;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

impl Image {
    /// Pushes it as `org/name:tag`.
    ///
    /// # Errors
    /// When the registry refuses something.
    pub fn push(&self, registry: impl AsRef<Remote>, name: &str) -> Result<Pushed> {
        let registry = registry.as_ref();
        let (repository, tag) = split(name)?;
        let manifest = self.push_parts(registry, repository)?;
        let digest = put_manifest(registry, repository, tag, MANIFEST, manifest)?;
        Ok(Pushed {
            reference: registry.image(name),
            digest,
            layers: self.layer_digests().collect(),
        })
    }

    /// Pushes several images for different platforms under one tag.
    ///
    /// # Errors
    /// When the registry refuses something.
    pub fn push_index(images: &[Self], registry: impl AsRef<Remote>, name: &str) -> Result<Pushed> {
        let registry = registry.as_ref();
        let (repository, tag) = split(name)?;
        let mut entries = Vec::new();
        for image in images {
            let manifest = image.push_parts(registry, repository)?;
            let size = manifest.len();
            let digest =
                put_manifest(registry, repository, &digest(&manifest), MANIFEST, manifest)?;
            entries.push(json!({ "mediaType": MANIFEST, "digest": digest, "size": size, "platform": image.platform }));
        }
        let index =
            json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
        let digest = put_manifest(registry, repository, tag, INDEX, index.into_bytes())?;
        Ok(Pushed {
            reference: registry.image(name),
            digest,
            layers: images.iter().flat_map(Self::layer_digests).collect(),
        })
    }

    fn layer_digests(&self) -> impl Iterator<Item = String> {
        self.layers.iter().map(|layer| layer.digest.clone())
    }

    /// Pushes the layers and the configuration; gives the manifest.
    fn push_parts(&self, registry: &Remote, repository: &str) -> Result<Vec<u8>> {
        for layer in &self.layers {
            push_blob(registry, repository, &layer.digest, &layer.bytes)?;
        }
        let config = self.config_file().to_string().into_bytes();
        push_blob(registry, repository, &digest(&config), &config)?;
        let layer = |layer: &Layer| json!({ "mediaType": LAYER, "size": layer.bytes.len(), "digest": layer.digest });
        let layers: Vec<Value> = self.layers.iter().map(layer).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "size": config.len(), "digest": digest(&config) },
            "layers": layers,
        });
        Ok(manifest.to_string().into_bytes())
    }
}

fn split(name: &str) -> Result<(&str, &str)> {
    name.rsplit_once(':')
        .ok_or_else(|| LabError::Other(format!("{name}: org/name:tag is expected")))
}

fn push_blob(registry: &Remote, repository: &str, digest: &str, bytes: &[u8]) -> Result<()> {
    let head = registry.send(Request::new(
        "HEAD",
        format!("/v2/{repository}/blobs/{digest}"),
    ))?;
    if head.status == 200 {
        return Ok(());
    }
    let start = registry.send(Request::new(
        "POST",
        format!("/v2/{repository}/blobs/uploads/"),
    ))?;
    let place = start.header("location").unwrap_or_default().to_owned();
    let sign = if place.contains('?') { '&' } else { '?' };
    let put = Request::new("PUT", format!("{place}{sign}digest={digest}")).body(bytes.to_vec());
    let put = put.header("Content-Type", "application/octet-stream");
    expect(
        201,
        &format!("PUT a blob of {repository}"),
        &registry.send(put)?,
    )
}

fn put_manifest(
    registry: &Remote,
    repository: &str,
    tag: &str,
    kind: &str,
    bytes: Vec<u8>,
) -> Result<String> {
    let digest = digest(&bytes);
    let path = format!("/v2/{repository}/manifests/{tag}");
    let put = Request::new("PUT", &*path)
        .header("Content-Type", kind)
        .body(bytes);
    expect(201, &format!("PUT {path}"), &registry.send(put)?)?;
    Ok(digest)
}

fn expect(status: u16, request: &str, answer: &Answer) -> Result<()> {
    if answer.status == status {
        return Ok(());
    }
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    Err(LabError::Answer {
        request: request.to_owned(),
        status: answer.status,
        body,
    })
}
