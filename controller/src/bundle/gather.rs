//! Finds the files to ship, and refuses whatever is not inside the stack's folder.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use globset::{Glob, GlobMatcher};
use proto::exclude::Excluded;
use proto::limits::BUNDLE_FILES;
use proto::path::RelPath;
use walkdir::{DirEntry, WalkDir};

use super::BundleError;
use crate::stack::Named;

/// Where looking for more files ends: enough to say which folder is too full, without walking a disk.
pub(super) const FOUND_FILES: usize = 10 * BUNDLE_FILES;

/// A file that was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it really is.
    pub(super) real: PathBuf,
    /// Permission bits.
    pub(super) mode: u32,
    /// Bytes, as the file system says.
    pub(super) size: u64,
    /// Who named it.
    pub(super) by: String,
}

/// Collects files of one folder.
pub(super) struct Gatherer {
    /// Without symlinks, so that a real path can be compared with it.
    root: PathBuf,
    excluded: Excluded,
    found: BTreeMap<RelPath, Found>,
}

impl Gatherer {
    /// Collects from `folder`, less what matches the patterns of `exclude`.
    pub(super) fn new(folder: &Path, exclude: &[String]) -> Result<Self, BundleError> {
        let root = folder
            .canonicalize()
            .map_err(unreadable(&folder.to_string_lossy(), "the stack"))?;
        Ok(Self {
            root,
            excluded: Excluded::new(exclude),
            found: BTreeMap::new(),
        })
    }

    /// Everything found.
    pub(super) fn finish(self) -> BTreeMap<RelPath, Found> {
        self.found
    }

    /// A file that must be there.
    pub(super) fn file(&mut self, named: &Named) -> Result<(), BundleError> {
        let Named { path, by } = named;
        match self.look(path.as_str(), by)? {
            Some((real, there)) if there.is_file() => {
                self.insert(path.clone(), real, &there, by);
                Ok(())
            }
            Some(_) => Err(BundleError::Folder {
                path: path.to_string(),
                by: by.clone(),
            }),
            None => {
                let missing = io::Error::from(io::ErrorKind::NotFound);
                Err(unreadable(path.as_str(), by)(missing))
            }
        }
    }

    /// A file or folder, if it is there.
    pub(super) fn wanted(&mut self, path: &str, by: &str) -> Result<(), BundleError> {
        // `.` is no path of a file, but a service may well mount the whole folder.
        if is_whole_folder(path) {
            return self.walk(None, &self.root.clone(), by, &|_| true).map(drop);
        }
        let path: RelPath = path.parse().map_err(|source| BundleError::Path {
            by: by.to_owned(),
            source,
        })?;
        self.whole(path, by).map(drop)
    }

    /// Everything that `glob` matches; whether that is anything at all.
    pub(super) fn glob(&mut self, glob: &Glob, by: &str) -> Result<bool, BundleError> {
        let (base, literal) = literal_prefix(glob.glob());
        let base: Option<RelPath> = base.parse().ok();
        if literal {
            return base.map_or(Ok(false), |path| self.whole(path, by));
        }
        let real = match &base {
            None => self.root.clone(),
            Some(base) => match self.look(base.as_str(), by)? {
                Some((real, there)) if there.is_dir() => real,
                _ => return Ok(false),
            },
        };
        let matcher = glob.compile_matcher();
        // A matched folder stands for everything in it.
        let keep = |path: &Path| matches_any(&matcher, path);
        self.walk(base.as_ref(), &real, by, &keep)
    }

    /// A file, or all of a folder; whether there is anything.
    fn whole(&mut self, path: RelPath, by: &str) -> Result<bool, BundleError> {
        let is_folder = self.root.join(path.as_str()).is_dir();
        if self.excluded.has(Path::new(path.as_str()), is_folder) {
            return Ok(false);
        }
        match self.look(path.as_str(), by)? {
            None => Ok(false),
            Some((real, there)) if there.is_dir() => self.walk(Some(&path), &real, by, &|_| true),
            Some((real, there)) => {
                self.insert(path, real, &there, by);
                Ok(true)
            }
        }
    }

    /// What is at `path`: its real place and what it is, if it is there and may be shipped.
    fn look(&self, path: &str, by: &str) -> Result<Option<(PathBuf, Metadata)>, BundleError> {
        let full = self.root.join(path);
        let real = match full.canonicalize() {
            Ok(real) => real,
            Err(error) if is_missing(&error) && full.symlink_metadata().is_err() => {
                return Ok(None);
            }
            Err(error) => return Err(unreadable(path, by)(dangling(&full, error))),
        };
        self.check_inside(path, &real, by)?;
        let there = fs::metadata(&real).map_err(unreadable(path, by))?;
        check_kind(path, &there, by)?;
        Ok(Some((real, there)))
    }

    fn check_inside(&self, path: &str, real: &Path, by: &str) -> Result<(), BundleError> {
        if real.starts_with(&self.root) {
            return Ok(());
        }
        Err(BundleError::Outside {
            path: path.to_owned(),
            target: real.to_owned(),
            by: by.to_owned(),
        })
    }

    /// All files below `real` whose path, which begins with `base`, is to be kept.
    fn walk(
        &mut self,
        base: Option<&RelPath>,
        real: &Path,
        by: &str,
        keep: &dyn Fn(&Path) -> bool,
    ) -> Result<bool, BundleError> {
        let mut any = false;
        let walk = WalkDir::new(real)
            .min_depth(1)
            .follow_links(true)
            .sort_by_file_name();
        let excluded = |entry: &DirEntry| {
            let path = relative(base, real, entry.path());
            self.excluded.has(&path, entry.file_type().is_dir())
        };
        // Gathered first: what is excluded is not even opened.
        let entries: Vec<_> = walk
            .into_iter()
            .filter_entry(|entry| !excluded(entry))
            .take(FOUND_FILES + 1)
            .collect();
        for entry in entries {
            let entry = entry.map_err(|error| walk_error(base, real, by, error))?;
            let path = relative(base, real, entry.path());
            let shown = path.to_string_lossy();
            if entry.path_is_symlink() {
                let target = entry.path().canonicalize();
                self.check_inside(&shown, &target.map_err(unreadable(&shown, by))?, by)?;
            }
            if entry.file_type().is_dir() || !keep(&path) {
                continue;
            }
            any = true;
            self.take(&path, &entry, by)?;
            if self.found.len() > FOUND_FILES {
                // Refused for their number in a moment.
                break;
            }
        }
        Ok(any)
    }

    fn take(&mut self, path: &Path, entry: &DirEntry, by: &str) -> Result<(), BundleError> {
        let shown = path.to_string_lossy();
        let Some(text) = path.to_str() else {
            let error = io::Error::other("its name is not UTF-8");
            return Err(unreadable(&shown, by)(error));
        };
        let name = text.parse().map_err(|source| BundleError::Path {
            by: by.to_owned(),
            source,
        })?;
        let there = entry.metadata();
        let there = there.map_err(|error| unreadable(&shown, by)(error.into()))?;
        check_kind(&shown, &there, by)?;
        self.insert(name, entry.path().to_owned(), &there, by);
        Ok(())
    }

    fn insert(&mut self, path: RelPath, real: PathBuf, there: &Metadata, by: &str) {
        let found = Found {
            real,
            mode: there.permissions().mode() & 0o777,
            size: there.len(),
            by: by.to_owned(),
        };
        self.found.insert(path, found);
    }
}

fn is_whole_folder(path: &str) -> bool {
    path.starts_with('.') && path.split('/').all(|part| part.is_empty() || part == ".")
}

/// The path of `entry`, found below `real`, as the bundle sees it.
fn relative(base: Option<&RelPath>, real: &Path, entry: &Path) -> PathBuf {
    let below = entry.strip_prefix(real).unwrap_or(entry);
    match base {
        Some(base) => Path::new(base.as_str()).join(below),
        None => below.to_owned(),
    }
}

fn matches_any(matcher: &GlobMatcher, path: &Path) -> bool {
    path.ancestors()
        .any(|part| !part.as_os_str().is_empty() && matcher.is_match(part))
}

/// The folder that a glob cannot leave, and whether the glob is nothing but that path.
fn literal_prefix(glob: &str) -> (String, bool) {
    let special = |part: &&str| part.contains(['*', '?', '[', ']', '{', '}', '\\']);
    let parts: Vec<&str> = glob.split('/').collect();
    let plain: Vec<&str> = parts
        .iter()
        .take_while(|part| !special(part))
        .copied()
        .collect();
    (plain.join("/"), plain.len() == parts.len())
}

fn is_missing(error: &io::Error) -> bool {
    // `a/b` where `a` is a file is as missing as one where `a` is not there.
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn dangling(full: &Path, error: io::Error) -> io::Error {
    match fs::read_link(full) {
        Ok(target) if is_missing(&error) => io::Error::other(format!(
            "it is a symlink to {}, which does not exist",
            target.display()
        )),
        _ => error,
    }
}

fn check_kind(path: &str, there: &Metadata, by: &str) -> Result<(), BundleError> {
    let kind = there.file_type();
    let kind = if kind.is_file() || kind.is_dir() {
        return Ok(());
    } else if kind.is_fifo() {
        "named pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    };
    Err(BundleError::Special {
        path: path.to_owned(),
        kind,
        by: by.to_owned(),
    })
}

fn unreadable(path: &str, by: &str) -> impl Fn(io::Error) -> BundleError {
    move |source| BundleError::Unreadable {
        path: path.to_owned(),
        by: by.to_owned(),
        source,
    }
}

fn walk_error(base: Option<&RelPath>, real: &Path, by: &str, error: walkdir::Error) -> BundleError {
    let at = error.path().unwrap_or(real).to_owned();
    let shown = relative(base, real, &at);
    let source = if error.loop_ancestor().is_some() {
        io::Error::other("it is a symlink to a folder that it lies in")
    } else {
        dangling(&at, error.into())
    };
    unreadable(&shown.to_string_lossy(), by)(source)
}
