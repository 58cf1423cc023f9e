//! A relative path that cannot leave the folder it is joined to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::PATH_BYTES;

mod host;

pub use host::HostDir;

/// Why a path was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} {why}")]
pub struct InvalidPath {
    path: String,
    why: &'static str,
}

/// A normalised relative path with `/` between its parts: no `..`, no empty part, never absolute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelPath(String);

impl RelPath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path under `root`.
    #[must_use]
    pub fn under(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// The path of `child` inside this folder.
    ///
    /// # Errors
    /// When the joined path is not acceptable.
    pub fn join(&self, child: &str) -> Result<Self, InvalidPath> {
        format!("{}/{child}", self.0).parse()
    }

    /// What `written` means to who stands in `folder`, which is the root without one; `None` for the root itself.
    ///
    /// # Errors
    /// When it leads out of the root, or is not acceptable.
    pub fn resolve(folder: Option<&Self>, written: &str) -> Result<Option<Self>, InvalidPath> {
        // Absolute ones are refused as such.
        if written.starts_with('/') {
            return written.parse().map(Some);
        }
        let mut parts: Vec<&str> = folder.map_or("", Self::as_str).split('/').collect();
        for part in written.split('/') {
            match part {
                ".." if parts.pop().is_none_or(str::is_empty) => return written.parse().map(Some),
                "" | "." | ".." => {}
                part => parts.push(part),
            }
        }
        parts.retain(|part| !part.is_empty());
        if parts.is_empty() {
            return Ok(None);
        }
        parts.join("/").parse().map(Some)
    }

    /// The folder that it lies in; `None` for one that lies in the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (folder, _) = self.0.rsplit_once('/')?;
        Some(Self(folder.to_owned()))
    }

    /// Whether this path is `folder` or lies inside it.
    #[must_use]
    pub fn is_within(&self, folder: &Self) -> bool {
        Path::new(&self.0).starts_with(&folder.0)
    }
}

impl FromStr for RelPath {
    type Err = InvalidPath;

    /// Accepts what Compose files write (`./data`, `data/`, `a//b`) and normalises it.
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let refuse = |why| {
            let path = text.chars().take(120).collect();
            Err(InvalidPath { path, why })
        };
        if text.starts_with('/') {
            return refuse("is absolute; it must be relative to the stack's folder");
        }
        if text.len() > PATH_BYTES {
            return refuse("is longer than 4096 bytes");
        }
        if text.chars().any(char::is_control) {
            return refuse("has a control character in it");
        }
        let parts: Vec<&str> = text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        if parts.contains(&"..") {
            return refuse("has '..' in it; files outside the stack's folder are not shipped");
        }
        if parts.iter().any(|part| part.len() > 255) {
            return refuse("has a part longer than 255 bytes");
        }
        if parts.is_empty() {
            return refuse("names no file");
        }
        Ok(Self(parts.join("/")))
    }
}

impl TryFrom<String> for RelPath {
    type Error = InvalidPath;
    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<RelPath> for String {
    fn from(path: RelPath) -> Self {
        path.0
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_accepted_path_stays_under_its_root(text in "[a./\\\\ -]{0,40}") {
            if let Ok(path) = text.parse::<RelPath>() {
                prop_assert_eq!(RelPath::resolve(None, &text).unwrap(), Some(path.clone()));
                let root = Path::new("/root/of/it");
                let joined = path.under(root);
                prop_assert!(joined.starts_with(root));
                prop_assert!(joined.components().all(|c| c != std::path::Component::ParentDir));
                prop_assert_eq!(path.as_str().parse::<RelPath>().unwrap(), path);
            }
        }
    }

    #[test]
    fn a_path_is_resolved_from_the_folder_that_it_is_written_in() {
        let folder: RelPath = "docker/eu".parse().unwrap();
        for (folder, written, path) in [
            (None, "./conf", Some("conf")),
            (None, "a/../b", Some("b")),
            (None, "./", None),
            (Some(&folder), "conf", Some("docker/eu/conf")),
            (Some(&folder), ".", Some("docker/eu")),
            (Some(&folder), "../../src//x", Some("src/x")),
            (Some(&folder), "../..", None),
        ] {
            let found = RelPath::resolve(folder, written).unwrap();
            assert_eq!(found.as_ref().map(RelPath::as_str), path, "{written}");
        }
        for (folder, written) in [
            (None, ".."),
            (None, "a/../../b"),
            (Some(&folder), "../../../x"),
            (Some(&folder), "/etc/x"),
        ] {
            assert!(RelPath::resolve(folder, written).is_err(), "{written}");
        }
    }

    #[test]
    fn compose_spellings_are_one_path() {
        for text in [
            "data/nginx",
            "./data/nginx",
            "data//nginx/",
            "./data/./nginx",
        ] {
            assert_eq!(text.parse::<RelPath>().unwrap().as_str(), "data/nginx");
        }
    }

    #[test]
    fn paths_that_leave_the_stack_are_refused() {
        for text in [
            "/etc/passwd",
            "../x",
            "a/../../x",
            "..",
            ".",
            "",
            "a\0b",
            "a\nb",
        ] {
            assert!(text.parse::<RelPath>().is_err(), "{text:?}");
        }
    }
}
