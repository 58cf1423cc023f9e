//! A stack's folder as Compose would read it: which files, which project, which profiles, which values.

use std::io;
use std::path::{Path, PathBuf};

use proto::id::ProjectName;
use proto::path::RelPath;
use proto::stack::Value;

use crate::dotenv::DotEnv;
use crate::fleet::value::Env;
use crate::fleet::{Profile, Stack};
use crate::programs::Printed;
use crate::shell::Shell;

mod error;
mod files;
mod project;
mod root;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use error::ROOT;
pub use error::StackError;
pub use values::{ValueError, commands};

/// Larger than any `.env` or Compose file that is read here.
const TEXT_BYTES: u64 = 8 * 1024 * 1024;

/// What Compose would be started with.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The folder that all its files come from, absolute: its `path`, or the `root` above it.
    pub folder: PathBuf,
    /// Its Compose project; a guess where Compose has to be asked.
    pub project: ProjectName,
    /// What the project is called if its Compose files do not name it; `None` where something else does.
    pub default_project: Option<ProjectName>,
    /// Compose files in merge order, each with who named it.
    pub compose_files: Vec<Named>,
    /// The stack's own `.env`, if there is one, or what it has instead.
    pub env_files: Vec<Named>,
    /// Where relative paths of the Compose files start, within `folder`; `None`: there.
    pub project_folder: Option<RelPath>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// Interpolation values, sorted by name.
    pub values: Vec<Value>,
    /// What `.env` defines.
    pub dotenv: DotEnv,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// What values may come from besides `fleet.toml` and files.
#[derive(Debug, Clone, Copy)]
pub struct Outside<'a> {
    /// The operator's shell.
    pub shell: &'a Shell,
    /// What programs have printed.
    pub printed: &'a Printed,
}

/// A path, and who named it; the second is for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Relative to the stack's folder.
    pub path: RelPath,
    /// Such as `COMPOSE_FILE in .env`.
    pub by: String,
}

impl Layout {
    /// Reads the folder of `stack` for a host whose own values are `host_env`.
    ///
    /// # Errors
    /// When Compose could not be started from it, or a value cannot be had.
    pub fn read(
        stack: &Stack,
        host_env: Option<&Env>,
        outside: Outside<'_>,
    ) -> Result<Self, StackError> {
        let folder = absolute(&stack.path);
        if !folder.is_dir() {
            let stack = stack.name.clone();
            return Err(StackError::NoFolder { stack, folder });
        }
        let values = values::resolve(stack, host_env, outside)?;
        let root = root::find(stack, &folder)?;
        let env_files = files::env_files(stack, &folder);
        let mut dotenv = DotEnv::default();
        for named in &env_files {
            read_dotenv(&folder, named, &values, &mut dotenv)?;
        }
        let paths: Vec<&str> = env_files.iter().map(|named| named.path.as_str()).collect();
        let paths = paths.join(", ");
        let settings = Settings {
            dotenv: &dotenv,
            folder: &folder,
            file: if paths.is_empty() { ".env" } else { &paths },
        };
        let mut warnings = Vec::new();
        let separator = settings.get("COMPOSE_PATH_SEPARATOR")?.unwrap_or(":");
        let listed = settings.get("COMPOSE_FILE")?.map(|list| files::Listed {
            list,
            separator,
            env_file: settings.file,
        });
        let compose_files = files::compose_files(stack, &folder, listed, &mut warnings)?;
        let profiles = match &stack.profiles {
            Some(profiles) => profiles.clone(),
            None => settings.profiles()?,
        };
        let scene = project::Scene {
            stack,
            folder: &folder,
            compose_files: &compose_files,
            values: &values,
            dotenv: &dotenv,
            env_file: settings.file,
        };
        let (project, default_project) =
            scene.project_name(settings.get("COMPOSE_PROJECT_NAME")?)?;
        let compose_files = root.below(compose_files)?;
        let project_folder = compose_files.first().and_then(|first| first.path.parent());
        Ok(Self {
            project,
            default_project,
            project_folder,
            compose_files,
            env_files: root.below(env_files)?,
            profiles,
            values,
            dotenv,
            warnings,
            folder: root.folder,
        })
    }
}

/// What a `.env` says to Compose itself.
struct Settings<'a> {
    dotenv: &'a DotEnv,
    folder: &'a Path,
    /// The `.env`, relative to the folder.
    file: &'a str,
}

impl<'a> Settings<'a> {
    fn get(&self, name: &str) -> Result<Option<&'a str>, StackError> {
        let found = self.dotenv.get(name);
        found.map_err(|source| StackError::Unresolved {
            path: self.folder.join(self.file),
            source: source.clone(),
        })
    }

    fn profiles(&self) -> Result<Vec<String>, StackError> {
        let text = self.get("COMPOSE_PROFILES")?.unwrap_or("");
        let names = text.split(',').map(str::trim);
        names
            .filter(|name| !name.is_empty())
            .map(|name| {
                let refuse = |why| StackError::Profile {
                    file: self.file.to_owned(),
                    why,
                };
                Ok(name.parse::<Profile>().map_err(refuse)?.into())
            })
            .collect()
    }
}

/// Adds what a `.env` defines to what those before it did.
fn read_dotenv(
    folder: &Path,
    named: &Named,
    values: &[Value],
    known: &mut DotEnv,
) -> Result<(), StackError> {
    let path = named.path.under(folder);
    let text = read_text(&path, &named.by)?;
    known
        .add(&text, |name| value_of(values, name))
        .map_err(|source| StackError::DotEnv { path, source })
}

/// The value called `name`.
fn value_of<'v>(values: &'v [Value], name: &str) -> Option<&'v str> {
    let found = values.iter().find(|value| value.name.as_str() == name)?;
    Some(&found.text)
}

/// The text of a file that is read here, not only shipped. What is not UTF-8 in it is not looked at.
fn read_text(path: &Path, by: &str) -> Result<String, StackError> {
    let read = || {
        let file = open_regular(path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, TEXT_BYTES + 1), &mut bytes)?;
        if bytes.len() as u64 > TEXT_BYTES {
            return Err(io::Error::other("it is larger than 8 MiB"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().map_err(|source| StackError::Unreadable {
        path: path.to_owned(),
        by: by.to_owned(),
        source,
    })
}

/// Opens a regular file and nothing else: a fifo would be waited for without a deadline.
pub(crate) fn open_regular(path: &Path) -> io::Result<std::fs::File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    std::fs::File::open(path)
}

/// `path` made absolute and without `..`, by its letters: a symlink keeps its own name, because Compose
/// names a project after the folder as it was given.
fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean
}
