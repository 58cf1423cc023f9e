//! An example fleet of `deploy/examples`, copied for a test and pointed at a registry of the lab.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use crate::lab::{Image, LabError, Program, Remote, Result};

/// The portal's own image is named by a repository and a tag; these are the tags that the example has.
const PORTAL: [&str; 2] = ["uwcirg/portal:develop", "uwcirg/portal:latest"];

/// A private copy of an example.
pub struct Example {
    folder: PathBuf,
    images: Vec<String>,
}

impl Example {
    /// Copies the example called `name` into `folder`, which must be empty or not exist, and puts the registry in front of every image
    /// that its values name.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn copy(
        name: &str,
        folder: impl Into<PathBuf>,
        registry: impl AsRef<Remote>,
    ) -> Result<Self> {
        let folder = folder.into();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
        copy(&examples.join(name), &folder).map_err(|error| failed(&folder, &error))?;
        let mut example = Self {
            images: Vec::new(),
            folder,
        };
        for file in value_files(&example.folder.join(name))? {
            example.point_at(&file, registry.as_ref())?;
        }
        if name == "portal" {
            example.images.extend(PORTAL.map(str::to_owned));
        }
        Ok(example)
    }

    /// The folder with `fleet.toml`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its images as `org/name:tag`, without the registry.
    #[must_use]
    pub fn images(&self) -> &[String] {
        &self.images
    }

    /// Pushes every image: the real program where it is one that the lab has, the fixture otherwise.
    ///
    /// # Errors
    /// When the registry refuses one.
    pub fn push_images(&self, registry: impl AsRef<Remote>) -> Result<()> {
        self.images
            .iter()
            .try_for_each(|name| image(name)?.push(registry.as_ref(), name).map(drop))
    }

    fn point_at(&mut self, file: &Path, registry: &Remote) -> Result<()> {
        let text = read(file)?;
        let lines = text.lines().map(|line| {
            if let Some((key, image)) = line.split_once("_IMAGE=") {
                if !self.images.iter().any(|known| known == image) {
                    self.images.push(image.to_owned());
                }
                return format!("{key}_IMAGE={}\n", registry.image(image));
            }
            // A place without its host, which the example leaves to a default.
            let place = line.strip_prefix("# DOCKER_REPOSITORY=");
            match place.and_then(|place| place.split_once('/')) {
                Some((_, path)) => format!("DOCKER_REPOSITORY={}\n", registry.image(path)),
                None => format!("{line}\n"),
            }
        });
        let pointed: String = lines.collect();
        fs::write(file, pointed).map_err(|error| failed(file, &error))
    }
}

/// The image that stands for `org/name:tag` in the lab.
fn image(name: &str) -> Result<Image> {
    let (path, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let short = path.rsplit('/').next().unwrap_or(path);
    let programs = [
        Program::Postgres,
        Program::Redis,
        Program::Haproxy,
        Program::Openssl,
    ];
    match programs.iter().find(|program| program.name() == short) {
        Some(program) => Image::program(*program),
        None => Image::fixture(short, tag),
    }
}

/// The files of a stack that Compose may take values from.
fn value_files(stack: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(stack).map_err(|error| failed(stack, &error))?;
    let files = entries.flatten().map(|entry| entry.path());
    Ok(files
        .filter(|file| file.to_string_lossy().ends_with(".env"))
        .collect())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
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

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| failed(path, &error))
}

pub(crate) fn failed(path: &Path, error: &dyn Display) -> LabError {
    LabError::Other(format!("{}: {error}", path.display()))
}
