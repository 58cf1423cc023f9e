//! The names of a stack's files, from which an agent asks for what Compose opens: includes, extended files, env files.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use proto::exclude::Excluded;
use proto::limits::AVAILABLE_FILES;
use proto::path::RelPath;

/// Where looking ends: a stack may lie beside a disk full of other things.
const LOOKED_AT: usize = 10 * AVAILABLE_FILES;

/// Names of regular files below `root`, sorted; those near the top when there are too many. What cannot be read has no
/// names: whoever needs it is told by what asks for it.
pub(super) fn files(root: &Path, exclude: &[String]) -> Vec<RelPath> {
    let excluded = Excluded::new(exclude);
    let mut found = Vec::new();
    let mut folders = VecDeque::from([PathBuf::new()]);
    let mut looked_at = 0;
    while let Some(folder) = folders.pop_front() {
        let Ok(entries) = fs::read_dir(root.join(&folder)) else {
            continue;
        };
        for entry in entries.flatten() {
            looked_at += 1;
            if looked_at > LOOKED_AT || found.len() == AVAILABLE_FILES {
                folders.clear();
                break;
            }
            let path = folder.join(entry.file_name());
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if excluded.has(&path, kind.is_dir()) {
                continue;
            }
            if kind.is_dir() {
                folders.push_back(path);
            } else if kind.is_file() || kind.is_symlink() && root.join(&path).is_file() {
                found.extend(path.to_str().and_then(|path| path.parse::<RelPath>().ok()));
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_files_that_could_be_shipped() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["sub/deep", ".git", "data"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["a", "sub/deep/b", ".git/config", "data/x", "sub/c.log"] {
            fs::write(at(file), "").unwrap();
        }
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(at("socket")).unwrap());
        let exclude = ["/data/".to_owned(), "*.log".to_owned()];
        let found = files(root.path(), &exclude);
        let found: Vec<&str> = found.iter().map(RelPath::as_str).collect();
        assert_eq!(found, ["a", "link", "sub/deep/b"]);
    }

    #[test]
    fn of_too_many_those_near_the_top_are_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("deep")).unwrap();
        for number in 0..AVAILABLE_FILES {
            fs::write(root.path().join(format!("deep/{number}")), "").unwrap();
        }
        fs::write(root.path().join("top"), "").unwrap();
        let found = files(root.path(), &[]);
        assert_eq!(found.len(), AVAILABLE_FILES);
        assert!(found.iter().any(|path| path.as_str() == "top"));
    }
}
