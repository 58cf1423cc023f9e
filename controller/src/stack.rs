//! A stack's folder as Compose would read it: which files, which project, which profiles, which values.

use std::io;
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::id::{ProjectName, StackName};
use proto::path::{InvalidPath, RelPath};
use proto::stack::Value;

use crate::dotenv::{DotEnv, DotEnvError, Unresolved};
use crate::fleet::value::Env;
use crate::fleet::{FILE_NAME, Profile, Stack};
use crate::shell::Shell;

mod files;
mod project;
#[cfg(test)]
mod tests;
mod values;

pub use values::ValueError;

/// Larger than any `.env` or Compose file that is read here.
const TEXT_BYTES: u64 = 8 * 1024 * 1024;

/// What Compose would be started with.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The stack's folder, absolute.
    pub folder: PathBuf,
    /// Its Compose project.
    pub project: ProjectName,
    /// Compose files in merge order, each with who named it.
    pub compose_files: Vec<Named>,
    /// The stack's own `.env`, if there is one.
    pub env_file: Option<Named>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// Interpolation values, sorted by name.
    pub values: Vec<Value>,
    /// What `.env` defines.
    pub dotenv: DotEnv,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// A path, and who named it; the second is for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Relative to the stack's folder.
    pub path: RelPath,
    /// Such as `COMPOSE_FILE in .env`.
    pub by: String,
}

/// Why a stack's folder cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Not a folder.
    #[error("stack {stack}: {} is not a folder", folder.display())]
    NoFolder {
        /// Which stack.
        stack: StackName,
        /// What its `path` means.
        folder: PathBuf,
    },
    /// Nothing that Compose would pick up.
    #[error("there is no Compose file in {}", .0.display())]
    NoComposeFile(PathBuf),
    /// A file that is named but cannot be read.
    #[error("cannot read {}, named by {by}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Who names it.
        by: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A path that is not inside the stack.
    #[error("a path named by {by} cannot be shipped")]
    Path {
        /// Who names it.
        by: String,
        /// Why not.
        #[source]
        source: InvalidPath,
    },
    /// The stack's `.env` makes no sense.
    #[error("{} cannot be read", path.display())]
    DotEnv {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DotEnvError,
    },
    /// A `COMPOSE_*` variable of `.env` whose value cannot be worked out.
    #[error("{} cannot be read", path.display())]
    Unresolved {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Unresolved,
    },
    /// No project name can be made of it.
    #[error("stack {stack}: {name:?}, from {by}, cannot be a Compose project name")]
    Project {
        /// Which stack.
        stack: StackName,
        /// What was tried.
        name: String,
        /// Where it comes from.
        by: String,
    },
    /// A profile that Compose would refuse.
    #[error("COMPOSE_PROFILES in {file}: {why}")]
    Profile {
        /// Which `.env`.
        file: String,
        /// Why.
        why: String,
    },
    /// An interpolation value.
    #[error(transparent)]
    Value(#[from] ValueError),
}

impl From<StackError> for Fault {
    fn from(error: StackError) -> Self {
        if let StackError::Value(error) = error {
            return error.into();
        }
        let mut fault = Self::new(FaultKind::InvalidStack, error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            fault = fault.because(source);
        }
        match error {
            StackError::NoFolder { stack, .. } => fault.hint(format!(
                "`path` in [stacks.{stack}] is relative to {FILE_NAME}"
            )),
            StackError::NoComposeFile(_) => fault.hint(
                "Compose looks for compose.yaml, compose.yml, docker-compose.yml and \
                 docker-compose.yaml; name others with `compose_files`",
            ),
            StackError::Path { .. } => {
                fault.hint("everything a stack needs lies in its folder; move the file there")
            }
            StackError::Unresolved { .. } => {
                fault.hint(format!("write the value out, or say it in {FILE_NAME}"))
            }
            StackError::Project { stack, .. } => fault.hint(format!(
                "set project_name in [stacks.{stack}]: a-z, 0-9, '-' and '_'"
            )),
            _ => fault,
        }
    }
}

impl Layout {
    /// Reads the folder of `stack` for a host whose own values are `host_env`.
    ///
    /// # Errors
    /// When Compose could not be started from it, or a value cannot be had.
    pub fn read(stack: &Stack, host_env: Option<&Env>, shell: &Shell) -> Result<Self, StackError> {
        let folder = absolute(&stack.path);
        if !folder.is_dir() {
            let stack = stack.name.clone();
            return Err(StackError::NoFolder { stack, folder });
        }
        let values = values::resolve(stack, host_env, shell)?;
        let env_file = files::env_file(stack, &folder);
        let dotenv = match &env_file {
            Some(named) => read_dotenv(&folder, named, &values)?,
            None => DotEnv::default(),
        };
        let setting = |name: &str| -> Result<Option<&str>, StackError> {
            dotenv.get(name).map_err(|source| StackError::Unresolved {
                path: env_path(&folder, env_file.as_ref()),
                source: source.clone(),
            })
        };
        let env_name = env_file
            .as_ref()
            .map_or(".env", |named| named.path.as_str());
        let mut warnings = Vec::new();
        let separator = setting("COMPOSE_PATH_SEPARATOR")?.unwrap_or(":");
        let listed = setting("COMPOSE_FILE")?.map(|list| files::Listed {
            list,
            separator,
            env_file: env_name,
        });
        let compose_files = files::compose_files(stack, &folder, listed, &mut warnings)?;
        let profiles = match &stack.profiles {
            Some(profiles) => profiles.clone(),
            None => profiles(setting("COMPOSE_PROFILES")?.unwrap_or(""), env_name)?,
        };
        let scene = project::Scene {
            stack,
            folder: &folder,
            compose_files: &compose_files,
            values: &values,
            dotenv: &dotenv,
            env_file: env_name,
        };
        let project = scene.project_name(setting("COMPOSE_PROJECT_NAME")?)?;
        Ok(Self {
            project,
            compose_files,
            env_file,
            profiles,
            values,
            dotenv,
            warnings,
            folder,
        })
    }
}

fn env_path(folder: &Path, env_file: Option<&Named>) -> PathBuf {
    env_file.map_or_else(|| folder.join(".env"), |named| named.path.under(folder))
}

fn read_dotenv(folder: &Path, named: &Named, values: &[Value]) -> Result<DotEnv, StackError> {
    let path = named.path.under(folder);
    let text = read_text(&path, &named.by)?;
    DotEnv::parse(&text, |name| value_of(values, name))
        .map_err(|source| StackError::DotEnv { path, source })
}

/// The value called `name`.
fn value_of<'v>(values: &'v [Value], name: &str) -> Option<&'v str> {
    let found = values.iter().find(|value| value.name.as_str() == name)?;
    Some(&found.text)
}

fn profiles(text: &str, env_file: &str) -> Result<Vec<String>, StackError> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let refuse = |why| StackError::Profile {
                file: env_file.to_owned(),
                why,
            };
            Ok(name.parse::<Profile>().map_err(refuse)?.into())
        })
        .collect()
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
