//! The Compose project name: what Compose itself would call the project.

use std::path::Path;

use proto::id::ProjectName;
use proto::stack::Value;

use super::{Named, StackError, read_text, value_of};
use crate::dotenv::DotEnv;
use crate::fleet::Stack;

/// What the name is made from.
pub(super) struct Scene<'a> {
    pub(super) stack: &'a Stack,
    pub(super) folder: &'a Path,
    pub(super) compose_files: &'a [Named],
    pub(super) values: &'a [Value],
    pub(super) dotenv: &'a DotEnv,
    pub(super) env_file: &'a str,
}

impl Scene<'_> {
    /// `project_name` of `fleet.toml`, else `COMPOSE_PROJECT_NAME`, else the top-level `name:` of the Compose files, else
    /// the folder's name; the order is Compose's own. The second is the folder's name where the Compose files count:
    /// only Compose reads them, on the host, and the first is a guess then.
    pub(super) fn project_name(
        &self,
        from_env: Option<&str>,
    ) -> Result<(ProjectName, Option<ProjectName>), StackError> {
        if let Some(name) = &self.stack.project_name {
            return Ok((name.clone(), None));
        }
        if let Some(name) = from_env {
            let by = format!("COMPOSE_PROJECT_NAME in {}", self.env_file);
            return Ok((self.parse(name, name, &by)?, None));
        }
        let folder = self.folder_name();
        let default = self.parse(&normalise(&folder), &folder, "the folder's name");
        let Some((written, file)) = self.top_level_name()? else {
            let default = default?;
            return Ok((default.clone(), Some(default)));
        };
        let by = format!("`name:` in {file}");
        let guess = self.parse(&normalise(&self.expand(&written)), &written, &by);
        match (guess, default) {
            (Ok(guess), default) => Ok((guess, default.ok())),
            (Err(_), Ok(default)) => Ok((default.clone(), Some(default))),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// The name of the first Compose file's folder.
    fn folder_name(&self) -> String {
        let first = self.compose_files.first();
        let below = first.and_then(|named| named.path.parent());
        let folder = below.map_or_else(|| self.folder.to_owned(), |it| it.under(self.folder));
        let name = folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn parse(&self, name: &str, written: &str, by: &str) -> Result<ProjectName, StackError> {
        name.parse().map_err(|_| StackError::Project {
            stack: self.stack.name.clone(),
            name: written.chars().take(120).collect(),
            by: by.to_owned(),
        })
    }

    /// The last top-level `name:` of the Compose files, and the file it is in, as far as it can be seen without reading
    /// YAML. Agents that ask Compose do not need it.
    fn top_level_name(&self) -> Result<Option<(String, String)>, StackError> {
        let mut found = None;
        for Named { path, by } in self.compose_files {
            let text = read_text(&path.under(self.folder), by)?;
            if let Some(name) = name_key(&text) {
                found = Some((name.to_owned(), path.to_string()));
            }
        }
        Ok(found)
    }

    fn expand(&self, text: &str) -> String {
        let lookup = |name: &str| {
            let from_file = || self.dotenv.get(name).ok().flatten();
            let found = value_of(self.values, name).or_else(from_file);
            found.map(str::to_owned)
        };
        // What cannot be expanded cannot be a project name either, which is the better message.
        crate::dotenv::expand(text, &lookup).unwrap_or_else(|_| "$".to_owned())
    }
}

/// The value of a `name:` that begins a line: it can only be a key of the document itself, because
/// everything deeper is indented. Agents that do not ask Compose would silently rename a project that names itself.
fn name_key(text: &str) -> Option<&str> {
    let value = text.lines().find_map(|line| {
        let rest = line.strip_prefix("name")?.trim_start().strip_prefix(':')?;
        (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some(rest.trim())
    })?;
    let quoted = |quote: char| {
        let (inside, rest) = value.strip_prefix(quote)?.split_once(quote)?;
        let rest = rest.trim_start();
        (rest.is_empty() || rest.starts_with('#')).then_some(inside)
    };
    let plain = || {
        let value = value.split_once(" #").map_or(value, |(value, _)| value);
        value.trim_end()
    };
    let name = quoted('"').or_else(|| quoted('\'')).unwrap_or_else(plain);
    (!name.is_empty() && !name.starts_with('#')).then_some(name)
}

/// Compose's rule: lower case, only letters, digits, `-` and `_`, and a letter or digit first.
fn normalise(name: &str) -> String {
    let name = name.to_lowercase();
    let keep = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c);
    let name: String = name.chars().filter(keep).collect();
    name.trim_start_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_folder_is_named_as_compose_names_it() {
        for (folder, name) in [
            ("My.App_1", "myapp_1"),
            ("_-x", "x"),
            ("Ünï-App", "n-app"),
            ("A B", "ab"),
            ("...", ""),
        ] {
            assert_eq!(normalise(folder), name, "{folder}");
        }
    }

    #[test]
    fn only_a_top_level_name_is_a_project_name() {
        for (text, name) in [
            ("name: opq\nservices: {}\n", Some("opq")),
            ("x: 1\nname : \"a\" # c\n", Some("a")),
            ("name: 'b'\r\n", Some("b")),
            ("name: ${P:-x} # c\n", Some("${P:-x}")),
            ("services:\n  a:\n    name: c\n", None),
            ("# name: d\nnames: e\nname:\n", None),
            ("name:f\n", None),
        ] {
            assert_eq!(name_key(text), name, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_normalised_name_is_a_project_name(folder in "\\PC{0,60}") {
            let name = normalise(&folder);
            prop_assert!(name.is_empty() || name.parse::<ProjectName>().is_ok());
            prop_assert_eq!(normalise(&name), name);
        }
    }
}
