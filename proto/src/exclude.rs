//! What of a stack's folder is never shipped, and never removed on a host: version control's own folders, and what
//! `exclude` names.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Folders in which version control keeps its history, and the logins of its remotes.
const VERSION_CONTROL: [&str; 6] = [".git", ".hg", ".svn", ".bzr", ".jj", "CVS"];

/// Decides by path alone: what is excluded is not even looked at.
#[derive(Debug)]
pub struct Excluded(Gitignore);

impl Excluded {
    /// From patterns in the syntax of `.gitignore`, relative to the stack's folder. Patterns are checked where fleet.toml
    /// is read; one that is none is left out.
    #[must_use]
    pub fn new(patterns: &[String]) -> Self {
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            drop(builder.add_line(None, pattern));
        }
        Self(builder.build().unwrap_or_else(|_| Gitignore::empty()))
    }

    /// Whether a path of the stack, or a folder that it lies in, is excluded.
    #[must_use]
    pub fn has(&self, path: &Path, is_folder: bool) -> bool {
        let own = |part: std::path::Component<'_>| {
            let name = part.as_os_str();
            VERSION_CONTROL.iter().any(|own| name == *own)
        };
        path.components().any(own)
            || self
                .0
                .matched_path_or_any_parents(path, is_folder)
                .is_ignore()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_a_gitignore() {
        let excluded = ["/pgdata", "*.log", "!keep.log", "node_modules/", "a/**/tmp"];
        let excluded = Excluded::new(&excluded.map(str::to_owned));
        for (path, is_folder, out) in [
            ("pgdata", true, true),
            ("pgdata/base/1", false, true),
            ("sub/pgdata", true, false),
            ("logs/x.log", false, true),
            ("logs/keep.log", false, false),
            ("app/node_modules/x/y.js", false, true),
            ("node_modules", false, false),
            ("a/b/c/tmp/x", false, true),
            ("compose.yaml", false, false),
        ] {
            assert_eq!(excluded.has(Path::new(path), is_folder), out, "{path}");
        }
    }

    #[test]
    fn version_controls_own_folders_are_never_shipped() {
        let excluded = Excluded::new(&["!.git".to_owned()]);
        for path in [".git", ".git/config", "vendor/lib/.git/HEAD", ".svn/x"] {
            assert!(excluded.has(Path::new(path), false), "{path}");
        }
        for path in [".github/x", ".gitignore", "a.git/x"] {
            assert!(!excluded.has(Path::new(path), false), "{path}");
        }
    }
}
