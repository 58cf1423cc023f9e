//! The images of a scripted host, and those of the registry that it pulls from.

use sha2::{Digest as _, Sha256};

use super::World;
use crate::engine::docker::reference::Reference;
use crate::engine::{EngineError, LocalImage, RemoteImage, Unwilling};

impl World {
    /// Puts an image into the registry; older ones stay there under their digests.
    pub(in crate::engine::scripted) fn publish(
        &mut self,
        name: &str,
        content: &str,
        platforms: &[&str],
    ) -> String {
        let repository = Reference::parse(name).repository;
        let image = RemoteImage {
            digest: sha256(&format!("manifest {repository} {content}")),
            platforms: platforms
                .iter()
                .map(|platform| (*platform).to_owned())
                .collect(),
        };
        self.registry
            .insert(format!("{repository}@{}", image.digest), image.clone());
        self.registry.insert(tagged(name), image.clone());
        image.digest
    }

    /// What the registry has under a name.
    pub(in crate::engine::scripted) fn remote(
        &self,
        name: &str,
    ) -> Result<RemoteImage, EngineError> {
        let reference = Reference::parse(name);
        let key = match reference.digest {
            Some(digest) => format!("{}@{digest}", reference.repository),
            None => tagged(name),
        };
        self.registry
            .get(&key)
            .cloned()
            .ok_or_else(|| EngineError::Image {
                image: name.to_owned(),
                message: "it does not exist in the registry".to_owned(),
                hint: None,
                unwilling: Unwilling::Refused,
            })
    }

    /// An image of the store, by name, digest or id.
    pub(in crate::engine::scripted) fn image(&self, name: &str) -> Option<LocalImage> {
        let reference = Reference::parse(name);
        let key = match reference.digest {
            Some(digest) => format!("{}@{digest}", reference.repository),
            None => tagged(name),
        };
        let by_id = || self.store.values().find(|image| image.id == name);
        self.store.get(&key).or_else(by_id).cloned()
    }

    /// Copies an image from the registry to the store and names it.
    pub(in crate::engine::scripted) fn pull(
        &mut self,
        name: &str,
        digest: Option<&str>,
        platform: &str,
    ) -> Result<LocalImage, EngineError> {
        let reference = Reference::parse(name);
        let remote = match digest {
            Some(digest) => self.remote(&format!("{}@{digest}", reference.repository))?,
            None => self.remote(name)?,
        };
        if !remote.platforms.iter().any(|offered| offered == platform) {
            return Err(EngineError::Platform {
                image: name.to_owned(),
                wanted: platform.to_owned(),
                offered: remote.platforms,
            });
        }
        let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
        let exact = format!("{}@{}", reference.repository, remote.digest);
        let image = LocalImage {
            id: sha256(&format!("config {} {platform}", remote.digest)),
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            digests: vec![exact.clone()],
        };
        self.store.insert(exact, image.clone());
        if reference.readable_tag().is_some() {
            self.store.insert(tagged(name), image.clone());
        }
        Ok(image)
    }

    /// Gives an image one more name.
    pub(in crate::engine::scripted) fn tag(
        &mut self,
        which: &str,
        reference: &str,
    ) -> Result<(), EngineError> {
        let image = self.image(which).ok_or_else(|| EngineError::Image {
            image: which.to_owned(),
            message: "No such image".to_owned(),
            hint: None,
            unwilling: Unwilling::Refused,
        })?;
        self.store.insert(tagged(reference), image);
        Ok(())
    }

    /// The registry loses everything.
    pub(in crate::engine::scripted) fn unpublish_all(&mut self) {
        self.registry.clear();
    }

    /// The store loses an image under all its names.
    pub(in crate::engine::scripted) fn forget_image(&mut self, reference: &str) {
        if let Some(gone) = self.image(reference) {
            self.store.retain(|_, image| image.id != gone.id);
        }
    }

    /// Takes a name away.
    pub(in crate::engine::scripted) fn untag(&mut self, reference: &str) {
        self.store.remove(&tagged(reference));
    }

    pub(in crate::engine::scripted) fn all_names(&self) -> Vec<String> {
        self.store.keys().cloned().collect()
    }

    /// Every name in a repository.
    pub(in crate::engine::scripted) fn names(&self, repository: &str) -> Vec<String> {
        let names = self.store.keys();
        let within = |name: &&String| {
            let at = name.rsplit_once(':');
            at.is_some_and(|(at, _)| at == repository)
        };
        names.filter(within).cloned().collect()
    }
}

/// `repository:tag`, with the tag that is meant when there is none.
fn tagged(name: &str) -> String {
    let reference = Reference::parse(name);
    format!(
        "{}:{}",
        reference.repository,
        reference.tag.unwrap_or("latest")
    )
}

fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
