//! Which Compose files and which `.env` Compose would pick.

use std::path::Path;

use proto::path::RelPath;

use super::{Named, StackError};
use crate::fleet::{FILE_NAME, Stack};

/// In Compose's order of preference.
const DEFAULTS: &[&str] = &[
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// In Compose's order of preference.
const OVERRIDES: &[&str] = &[
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// `env_file` of `fleet.toml`, else `.env` if there is one.
pub(super) fn env_files(stack: &Stack, folder: &Path) -> Vec<Named> {
    let named = |path: &RelPath| Named {
        path: path.clone(),
        by: in_fleet(stack, "env_file"),
    };
    match stack.env_files.as_slice() {
        [] => default_env_file(folder).into_iter().collect(),
        paths => paths.iter().map(named).collect(),
    }
}

fn default_env_file(folder: &Path) -> Option<Named> {
    // A symlink that leads nowhere is there, and must be an error rather than no `.env`.
    let is_there = folder.join(".env").symlink_metadata();
    let path = is_there
        .ok()
        .filter(|there| !there.is_dir())
        .map(|_| ".env")?;
    Some(Named {
        path: path.parse().ok()?,
        by: "Compose's own rules".to_owned(),
    })
}

/// `COMPOSE_FILE` and what goes with it.
pub(super) struct Listed<'a> {
    pub(super) list: &'a str,
    pub(super) separator: &'a str,
    /// Where it is said.
    pub(super) env_file: &'a str,
}

/// `compose_files` of `fleet.toml`, else `COMPOSE_FILE`, else what Compose finds by itself.
pub(super) fn compose_files(
    stack: &Stack,
    folder: &Path,
    listed: Option<Listed<'_>>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Named>, StackError> {
    if !stack.compose_files.is_empty() {
        let by = in_fleet(stack, "compose_files");
        let named = |path: &RelPath| Named {
            path: path.clone(),
            by: by.clone(),
        };
        return Ok(stack.compose_files.iter().map(named).collect());
    }
    if let Some(listed) = listed {
        let by = format!("COMPOSE_FILE in {}", listed.env_file);
        let paths = listed.list.split(listed.separator);
        return paths.map(|path| named(path, &by)).collect();
    }
    let Some(first) = pick(folder, DEFAULTS, stack, warnings) else {
        return Err(StackError::NoComposeFile(folder.to_owned()));
    };
    let second = pick(folder, OVERRIDES, stack, warnings);
    [Some(first), second]
        .into_iter()
        .flatten()
        .map(|path| named(path, "Compose's own rules"))
        .collect()
}

fn named(path: &str, by: &str) -> Result<Named, StackError> {
    let by = by.to_owned();
    match path.parse() {
        Ok(path) => Ok(Named { path, by }),
        Err(source) => Err(StackError::Path { by, source }),
    }
}

/// The first of `names` that exists; several are worth a word, as in Compose.
fn pick(
    folder: &Path,
    names: &[&'static str],
    stack: &Stack,
    warnings: &mut Vec<String>,
) -> Option<&'static str> {
    let exists = |name: &&&str| folder.join(name).symlink_metadata().is_ok();
    let found: Vec<&'static str> = names.iter().filter(exists).copied().collect();
    if let [first, _, ..] = found.as_slice() {
        let all = found.join(", ");
        warnings.push(format!(
            "stack {} has {all}; only {first} is used",
            stack.name
        ));
    }
    found.first().copied()
}

fn in_fleet(stack: &Stack, key: &str) -> String {
    format!("{key} of [stacks.{}] in {FILE_NAME}", stack.name)
}
