//! The example fleet of `deploy/examples/opq`, copied for a test and pointed at a registry of the lab.

use std::path::{Path, PathBuf};

use crate::example::{Example, failed, read};
use crate::lab::{Image, Remote, Result};

/// Two layers of their own for every image, so that a pull has something to show and to lose.
const LAYERS: [usize; 2] = [3 << 20, 1 << 20];

/// A private copy of the example.
pub struct Opq(Example);

impl Opq {
    /// Copies the example into `folder`, which must not exist, and puts the registry in front of every image.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn copy(folder: impl Into<PathBuf>, registry: impl AsRef<Remote>) -> Result<Self> {
        Example::copy("opq", folder, registry).map(Self)
    }

    /// The folder with `fleet.toml`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// The Compose project.
    #[must_use]
    pub fn stack(&self) -> PathBuf {
        self.folder().join("opq")
    }

    /// Its images as `org/name:tag`, without the registry.
    #[must_use]
    pub fn images(&self) -> &[String] {
        self.0.images()
    }

    /// Pushes the fixture under the name of every image.
    ///
    /// # Errors
    /// When the registry refuses one.
    pub fn push_images(&self, registry: impl AsRef<Remote>) -> Result<()> {
        self.images()
            .iter()
            .try_for_each(|name| push(registry.as_ref(), name).map(drop))
    }

    /// The interpolation values that its `fleet.toml` adds to `.env`, with their files read.
    ///
    /// # Errors
    /// When `fleet.toml` or a file that it names cannot be read.
    pub fn values(&self) -> Result<Vec<(String, String)>> {
        let text = read(&self.folder().join("fleet.toml"))?;
        let fleet: toml::Table =
            toml::from_str(&text).map_err(|error| failed(self.folder(), &error))?;
        let env = fleet
            .get("stacks")
            .and_then(|stacks| stacks.get("opq")?.get("env")?.as_table());
        let env = env.ok_or_else(|| failed(self.folder(), &"no [stacks.opq.env] in fleet.toml"))?;
        env.iter()
            .map(|(key, value)| Ok((key.clone(), self.value(value)?)))
            .collect()
    }

    fn value(&self, value: &toml::Value) -> Result<String> {
        match value.get("file").and_then(toml::Value::as_str) {
            Some(file) => read(&self.folder().join(file)),
            None => Ok(value.as_str().unwrap_or_default().to_owned()),
        }
    }
}

/// Pushes the fixture as `org/name:tag`, with a shell and layers of its own; gives the whole name.
///
/// # Errors
/// When it has no tag or the registry refuses it.
pub fn push(registry: &Remote, image: &str) -> Result<String> {
    let (name, version) = image.rsplit_once(':').unwrap_or((image, "latest"));
    let short = name.rsplit('/').next().unwrap_or(name);
    let start = Image::fixture(short, version)?.shell()?;
    let padded = LAYERS
        .iter()
        .try_fold(start, |image, size| image.padding(*size))?;
    Ok(padded.push(registry, image)?.reference)
}
