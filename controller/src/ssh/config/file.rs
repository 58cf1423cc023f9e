//! The files of an ssh configuration, read for one host: which lines apply, and includes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::{ConfigError, Surroundings, expand, words};
use crate::ssh::pattern;

/// As deep as OpenSSH goes.
const DEEPEST: usize = 16;
/// Nobody has a longer one; a device named by mistake must not fill the memory.
const LONGEST: u64 = 1024 * 1024;

/// One line that applies.
pub(super) struct Entry {
    pub(super) keyword: String,
    pub(super) arguments: Vec<String>,
    pub(super) place: Place,
}

/// Where a line stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: PathBuf,
    line: usize,
}

impl Place {
    pub(super) fn new(file: &Path, line: usize) -> Self {
        let file = file.to_owned();
        Self { file, line }
    }

    pub(super) fn error(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::Line {
            file: self.file.clone(),
            line: self.line,
            what: what.into(),
        }
    }
}

/// Reads configuration files for one host.
pub(super) struct Reader<'a> {
    pub(super) around: &'a Surroundings,
    /// The host as the operator wrote it.
    pub(super) typed: &'a str,
    pub(super) entries: Vec<Entry>,
    /// What was left out.
    pub(super) notes: Vec<String>,
}

impl Reader<'_> {
    /// Takes in `file`; a missing one says nothing. `base` is where relative includes are looked for.
    pub(super) fn read(&mut self, file: &Path, base: &Path) -> Result<(), ConfigError> {
        self.read_file(file, base, true, 0)
    }

    fn read_file(
        &mut self,
        file: &Path,
        base: &Path,
        within: bool,
        depth: usize,
    ) -> Result<(), ConfigError> {
        let text = match load(file) {
            Ok(text) => text,
            Err(ConfigError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut active = within;
        for (index, line) in text.lines().enumerate() {
            let place = Place::new(file, index + 1);
            let Some((keyword, arguments)) =
                words::split(line).map_err(|what| place.error(what))?
            else {
                continue;
            };
            match keyword.as_str() {
                "host" => active = within && self.is_meant(&arguments),
                "match" => active = within && self.matches(&arguments, &place),
                "include" if active => {
                    if depth + 1 >= DEEPEST {
                        return Err(place.error("includes files too deeply"));
                    }
                    for argument in &arguments {
                        self.include(argument, base, depth + 1)?;
                    }
                }
                _ if active => self.entries.push(Entry {
                    keyword,
                    arguments,
                    place,
                }),
                _ => {}
            }
        }
        Ok(())
    }

    fn is_meant(&self, patterns: &[String]) -> bool {
        pattern::fits_any(patterns.iter().map(String::as_bytes), self.typed.as_bytes())
    }

    fn matches(&mut self, arguments: &[String], place: &Place) -> bool {
        let all = matches!(arguments, [only] if only.eq_ignore_ascii_case("all"));
        if !all {
            let Place { file, line } = place;
            self.notes.push(format!(
                "{}:{line}: longshore does not judge Match and goes without this block",
                file.display()
            ));
        }
        all
    }

    fn include(&mut self, argument: &str, base: &Path, depth: usize) -> Result<(), ConfigError> {
        let path = base.join(expand::home(argument, self.around));
        for file in found(&path) {
            self.read_file(&file, base, true, depth)?;
        }
        Ok(())
    }
}

/// The files that `path` means, whose parts may be patterns; sorted, as a shell would.
fn found(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::new()];
    for part in path.components() {
        let Component::Normal(name) = part else {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let bytes = name.as_encoded_bytes();
        if !bytes.iter().any(|byte| b"*?".contains(byte)) {
            paths.iter_mut().for_each(|path| path.push(name));
            continue;
        }
        let inside = paths.iter().flat_map(|folder| names(folder, bytes));
        paths = inside.collect();
        paths.sort();
    }
    paths
}

fn names(folder: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let fitting = entries.filter(|entry| {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        pattern::fits(pattern, name) && (pattern.starts_with(b".") || !name.starts_with(b"."))
    });
    fitting.map(|entry| entry.path()).collect()
}

fn load(path: &Path) -> Result<String, ConfigError> {
    let io = |source| ConfigError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    let ours = [0, rustix::process::getuid().as_raw()].contains(&about.uid());
    // Whoever can write it can send us anywhere, so ssh reads no such file either.
    if about.is_file() && (!ours || about.mode() & 0o022 != 0) {
        return Err(ConfigError::Exposed(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(io)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
