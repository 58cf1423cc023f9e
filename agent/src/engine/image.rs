//! Images: in the engine's store, in a registry, and on their way from there.

use proto::event::LayerPhase;
use proto::registry::RegistryAuth;

/// An image in the engine's store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// `sha256:…` of its configuration.
    pub id: String,
    /// As image platforms spell it.
    pub os: String,
    /// As image platforms spell it.
    pub architecture: String,
    /// `name@sha256:…` as pulled.
    pub digests: Vec<String>,
}

impl LocalImage {
    /// Whether it is of a platform such as `linux/386` or `linux/arm64/v8`; the variant is the engine's to tell.
    #[must_use]
    pub fn is_of(&self, platform: &str) -> bool {
        let mut parts = platform.split('/');
        (parts.next(), parts.next()) == (Some(&self.os), Some(&self.architecture))
    }

    /// Whether it is what a registry has under this `sha256:…`.
    #[must_use]
    pub fn has_digest(&self, digest: &str) -> bool {
        // Some engines name an image by the digest of its manifest.
        let mut known = self.digests.iter().filter_map(|name| name.split_once('@'));
        self.id == digest || known.any(|(_, known)| known == digest)
    }
}

/// What a registry says a name means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteImage {
    /// `sha256:…` of the manifest or index.
    pub digest: String,
    /// `os/architecture` or `os/architecture/variant`; empty when the registry did not say.
    pub platforms: Vec<String>,
}

/// A layer of an image in its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// `sha256:…` as it is sent.
    pub digest: String,
    /// Its size as it is sent.
    pub bytes: u64,
}

/// What is being pulled.
#[derive(Debug, Clone)]
pub struct Pull {
    /// The readable name, which is tagged locally afterwards.
    pub reference: String,
    /// What to fetch: `sha256:…`; `None` takes what the name means now.
    pub digest: Option<String>,
    /// `os/architecture` the image must be of.
    pub platform: String,
    /// The login, if there is one.
    pub auth: Option<RegistryAuth>,
}

/// A layer's progress during a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProgress {
    /// Short digest.
    pub layer: String,
    /// What is happening to it.
    pub phase: LayerPhase,
    /// Bytes so far.
    pub current: u64,
    /// Bytes in all; 0 when unknown.
    pub total: u64,
}
