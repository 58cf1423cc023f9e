//! The example fleet of `deploy/examples/opq`, copied for a test and pointed at a registry of the lab.

use std::fs;
use std::path::{Path, PathBuf};

use crate::lab::{Image, LabError, Remote, Result};

/// Two layers of their own for every image, so that a pull has something to show and to lose.
const LAYERS: [usize; 2] = [3 << 20, 1 << 20];

/// A private copy of the example.
pub struct Opq {
    folder: PathBuf,
    images: Vec<String>,
}

impl Opq {
    /// Copies the example into `folder`, which must not exist, and puts the registry in front of every image.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn copy(folder: impl Into<PathBuf>, registry: impl AsRef<Remote>) -> Result<Self> {
        let folder = folder.into();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/opq");
        copy(&example, &folder).map_err(|error| failed(&folder, &error))?;
        let opq = Self {
            folder,
            images: Vec::new(),
        };
        opq.point_at(registry.as_ref())
    }

    /// The folder with `fleet.toml`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The Compose project.
    #[must_use]
    pub fn stack(&self) -> PathBuf {
        self.folder.join("opq")
    }

    /// Its images as `org/name:tag`, without the registry.
    #[must_use]
    pub fn images(&self) -> &[String] {
        &self.images
    }

    /// Pushes the fixture under the name of every image.
    ///
    /// # Errors
    /// When the registry refuses one.
    pub fn push_images(&self, registry: impl AsRef<Remote>) -> Result<()> {
        self.images
            .iter()
            .try_for_each(|name| push(registry.as_ref(), name).map(drop))
    }

    /// The interpolation values that its `fleet.toml` adds to `.env`, with their files read.
    ///
    /// # Errors
    /// When `fleet.toml` or a file that it names cannot be read.
    pub fn values(&self) -> Result<Vec<(String, String)>> {
        let text = read(&self.folder.join("fleet.toml"))?;
        let fleet: toml::Table =
            toml::from_str(&text).map_err(|error| failed(&self.folder, &error))?;
        let env = fleet
            .get("stacks")
            .and_then(|stacks| stacks.get("opq")?.get("env")?.as_table());
        let env = env.ok_or_else(|| failed(&self.folder, &"no [stacks.opq.env] in fleet.toml"))?;
        env.iter()
            .map(|(key, value)| Ok((key.clone(), self.value(value)?)))
            .collect()
    }

    fn value(&self, value: &toml::Value) -> Result<String> {
        match value.get("file").and_then(toml::Value::as_str) {
            Some(file) => read(&self.folder.join(file)),
            None => Ok(value.as_str().unwrap_or_default().to_owned()),
        }
    }

    fn point_at(mut self, registry: &Remote) -> Result<Self> {
        let file = self.stack().join(".env");
        let text = read(&file)?;
        let lines = text.lines().map(|line| match line.split_once("_IMAGE=") {
            Some((key, image)) => {
                self.images.push(image.to_owned());
                format!("{key}_IMAGE={}\n", registry.image(image))
            }
            None => format!("{line}\n"),
        });
        let pointed: String = lines.collect();
        fs::write(&file, pointed).map_err(|error| failed(&file, &error))?;
        Ok(self)
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

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> LabError {
    LabError::Other(format!("{}: {error}", path.display()))
}
