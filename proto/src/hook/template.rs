//! The name of a file that a hook's output goes to: a path with placeholders, whose values cannot leave it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::PATH_BYTES;

/// What may stand between braces.
const PLACEHOLDERS: &[&str] = &["project", "time", "image", "revision"];
/// Characters of one value: a file's name has 255 bytes in all.
const LONGEST: usize = 100;

/// Why a text is no name for a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTemplate(String);

/// What the placeholders stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The Compose project.
    pub project: String,
    /// When the hook began, in UTC: `20261121T101937Z`.
    pub time: String,
    /// The first digits of the image that the hook ran in.
    pub image: String,
    /// The first digits of the revision that ran.
    pub revision: String,
}

impl Names {
    fn get(&self, name: &str) -> &str {
        match name {
            "project" => &self.project,
            "time" => &self.time,
            "image" => &self.image,
            _ => &self.revision,
        }
    }
}

/// A path with placeholders: `backups/{project}-{time}-{image}.sql`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(String);

impl Template {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it starts at the root.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.0.starts_with('/')
    }

    /// The path. Values come from elsewhere: in a path they are letters, digits, `.`, `-` and `_`, and no more.
    #[must_use]
    pub fn expand(&self, names: &Names) -> String {
        let mut path = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (name, later) = after.split_once('}').unwrap_or((after, ""));
            path.push_str(before);
            path.push_str(&harmless(names.get(name)));
            rest = later;
        }
        path.push_str(rest);
        path
    }
}

/// A value that is part of a file's name and nothing else.
fn harmless(value: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let value = value.chars().take(LONGEST);
    let value: String = value.map(|c| if keep(c) { c } else { '-' }).collect();
    match value.strip_prefix('.') {
        // `..` must not come to be, and no hidden file either.
        Some(rest) => format!("_{rest}"),
        None if value.is_empty() => "none".to_owned(),
        None => value,
    }
}

impl FromStr for Template {
    type Err = InvalidTemplate;
    fn from_str(text: &str) -> Result<Self, InvalidTemplate> {
        let refuse = |why: String| Err(InvalidTemplate(why));
        if text.is_empty() || text.ends_with('/') {
            return refuse(format!("{text:?} names no file"));
        }
        if text.len() > PATH_BYTES || text.chars().any(char::is_control) {
            let short: String = text.chars().take(80).collect();
            return refuse(format!("{short:?} is no file's name"));
        }
        if text.split('/').any(|part| [".", ".."].contains(&part)) {
            return refuse(format!("{text:?} must not have `.` or `..` in it"));
        }
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let open = rest.get(at..).and_then(|from| from.strip_prefix('{'));
            let Some((name, later)) = open.and_then(|from| from.split_once('}')) else {
                return refuse(format!("{text:?} has a brace without its other one"));
            };
            if !PLACEHOLDERS.contains(&name) {
                return refuse(format!(
                    "{{{name}}} is no placeholder; there are {{project}}, {{time}}, {{image}} and {{revision}}"
                ));
            }
            rest = later;
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Template {
    type Error = InvalidTemplate;
    fn try_from(text: String) -> Result<Self, InvalidTemplate> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.0
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn placeholders_become_what_they_stand_for() {
        let template: Template = "backups/{project}-{time}-{image}.sql".parse().unwrap();
        let names = Names {
            project: "portal".to_owned(),
            time: "20261121T101937Z".to_owned(),
            image: "0a1b2c3d4e5f".to_owned(),
            revision: String::new(),
        };
        assert_eq!(
            template.expand(&names),
            "backups/portal-20261121T101937Z-0a1b2c3d4e5f.sql"
        );
        let revision: Template = "{revision}".parse().unwrap();
        assert_eq!(revision.expand(&names), "none");
    }

    #[test]
    fn what_is_no_file_is_refused() {
        for text in [
            "",
            "a/",
            "../x",
            "a/./b",
            "{hst}",
            "{",
            "a}b",
            "{a{time}}",
            "a\nb",
        ] {
            assert!(text.parse::<Template>().is_err(), "{text:?}");
        }
        assert!(
            "/var/backups/{time}"
                .parse::<Template>()
                .unwrap()
                .is_absolute()
        );
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_place(value in "\\PC{0,200}|[./]{0,9}") {
            let template: Template = "a/{project}/b-{time}".parse().unwrap();
            let names = Names { project: value.clone(), time: value, ..Names::default() };
            let path = template.expand(&names);
            let parts: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(parts.len(), 3);
            prop_assert!(!parts.iter().any(|part| part.is_empty() || part.starts_with('.')));
        }
    }
}
