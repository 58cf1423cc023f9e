//! Bundles to bring to a host: stacks in the scripted engine's own format, with their files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proto::hook::Hook;
use proto::id::BlobId;
use proto::stack::{ShippedFile, StackSpec, Value};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::world::WEB;

pub(crate) fn blob(content: &str) -> BlobId {
    BlobId::from_bytes(Sha256::digest(content).into())
}

/// What a controller would send.
#[derive(Clone)]
pub(crate) struct Bundle {
    pub(crate) spec: StackSpec,
    pub(crate) contents: Vec<String>,
}

impl Bundle {
    /// A stack of this name and project, its services in the scripted engine's own format.
    pub(crate) fn new(stack: &str, services: serde_json::Value) -> Self {
        let compose_file = "compose.yml".parse().unwrap();
        let spec = StackSpec::new(stack.parse().unwrap(), stack.parse().unwrap(), compose_file);
        let contents = Vec::new();
        Self { spec, contents }.compose(&json!({ "services": services }))
    }

    /// The same stack read from another Compose file.
    pub(crate) fn compose(self, config: &serde_json::Value) -> Self {
        self.replace("compose.yml", &config.to_string())
    }

    /// One service that runs [`WEB`].
    pub(crate) fn web(stack: &str) -> Self {
        Self::new(stack, json!({ "web": { "image": WEB } }))
    }

    pub(crate) fn file(mut self, path: &str, content: &str) -> Self {
        self.spec.files.push(shipped(path, content));
        self.contents.push(content.to_owned());
        self
    }

    /// The same stack with another content of a file.
    pub(crate) fn replace(mut self, path: &str, content: &str) -> Self {
        self.spec.files.retain(|file| file.path.as_str() != path);
        self.file(path, content)
    }

    pub(crate) fn hook(mut self, hook: Hook) -> Self {
        self.spec.hooks.push(hook);
        self
    }

    pub(crate) fn content(&self, path: &str) -> String {
        let file = self
            .spec
            .files
            .iter()
            .find(|file| file.path.as_str() == path);
        let file = file.unwrap();
        let content = self.contents.iter().find(|text| blob(text) == file.blob);
        content.unwrap().clone()
    }

    /// Writes its files into a folder, as `scp` would.
    pub(crate) fn copy_to(&self, folder: &Path) {
        for file in &self.spec.files {
            let path = file.path.under(folder);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, self.content(file.path.as_str())).unwrap();
            let mode = std::fs::Permissions::from_mode(file.mode);
            std::fs::set_permissions(&path, mode).unwrap();
        }
    }

    pub(crate) fn secret(mut self, name: &str, text: &str) -> Self {
        let value = Value::new(name.parse().unwrap(), text.to_owned(), true).unwrap();
        self.spec.values.push(value);
        self
    }
}

pub(crate) fn shipped(path: &str, content: &str) -> ShippedFile {
    ShippedFile {
        path: path.parse().unwrap(),
        mode: 0o644,
        size: content.len() as u64,
        blob: blob(content),
    }
}
