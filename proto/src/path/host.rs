//! An absolute path to a folder of a host, as an operator writes it.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidPath;
use crate::limits::PATH_BYTES;

/// Absolute, below the root, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostDir(String);

impl HostDir {
    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for HostDir {
    type Err = InvalidPath;
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let refuse = |why| {
            let path = text.chars().take(120).collect();
            Err(InvalidPath { path, why })
        };
        let path = Path::new(text);
        let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !path.components().all(plain) {
            return refuse("is not an absolute path to a folder of the host");
        }
        if path.parent().is_none() {
            return refuse("is the root of the host");
        }
        if text.len() > PATH_BYTES || text.chars().any(char::is_control) {
            return refuse("is too long, or has a control character in it");
        }
        // `/srv//opq/` is `/srv/opq`.
        let plain: std::path::PathBuf = path.components().collect();
        Ok(Self(plain.to_string_lossy().into_owned()))
    }
}

impl TryFrom<String> for HostDir {
    type Error = InvalidPath;
    fn try_from(text: String) -> Result<Self, InvalidPath> {
        text.parse()
    }
}

impl From<HostDir> for String {
    fn from(path: HostDir) -> Self {
        path.0
    }
}

impl fmt::Display for HostDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_folders_below_the_root() {
        for bad in ["", "srv", "/", "//", "/srv/../etc", "/srv\n", "~/x"] {
            assert!(bad.parse::<HostDir>().is_err(), "{bad:?}");
        }
        let dir: HostDir = "/srv//opq/".parse().unwrap();
        assert_eq!(dir.to_string(), "/srv/opq");
    }

    proptest! {
        #[test]
        fn an_accepted_folder_reads_as_itself(text in "[a./ -]{0,40}") {
            if let Ok(dir) = text.parse::<HostDir>() {
                prop_assert_eq!(dir.to_string().parse::<HostDir>().unwrap(), dir);
            }
        }
    }
}
