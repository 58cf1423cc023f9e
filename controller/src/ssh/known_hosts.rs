//! Which host keys are known, judged as OpenSSH judges known_hosts files; and where stricter, on purpose.
//!
//! Stricter: a file that cannot be read is an error and never "first contact", and a key of another algorithm is
//! refused for a host that is known by one already.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

mod line;
#[cfg(test)]
mod tests;

use line::{Line, Marker};

/// Nobody has a longer file; a device named by mistake must not fill the memory.
const LONGEST: u64 = 16 * 1024 * 1024;

/// A host's public key.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey {
    /// `ssh-ed25519`.
    pub algorithm: String,
    /// The key as SSH sends it.
    pub blob: Vec<u8>,
}

impl HostKey {
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.blob);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
    }

    /// Whether it is what its algorithm calls a key.
    fn is_sound(&self) -> bool {
        let name = self.algorithm.as_bytes();
        let length = u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes();
        let inner = self.blob.strip_prefix(&length);
        let same = inner.is_some_and(|inner| inner.starts_with(name));
        // OpenSSH reads them to this day, russh does not.
        let dsa = self.algorithm == "ssh-dss";
        same && (dsa || super::host_keys::is_key(&self.blob))
    }
}

impl std::fmt::Debug for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.algorithm, self.fingerprint())
    }
}

/// What the files say about a key that a host has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the host's.
    Known,
    /// The host is in no file.
    Unknown {
        /// A `@cert-authority` line speaks for the host.
        authority: bool,
    },
    /// The host is known by other keys.
    Other {
        /// Of which algorithms.
        known: Vec<String>,
        /// The first line that says so.
        place: String,
    },
    /// A `@revoked` line names it.
    Revoked {
        /// `file:line`.
        place: String,
    },
}

/// A file of known hosts could not be read or added to.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
pub struct KnownHostsError {
    verb: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The known_hosts files that apply to one host.
#[derive(Debug, Default)]
pub struct KnownHosts {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl KnownHosts {
    /// Reads all of `paths`; a missing one is an empty one.
    ///
    /// # Errors
    /// When one is there and cannot be read.
    pub fn read(paths: &[PathBuf]) -> Result<Self, KnownHostsError> {
        let mut files = Vec::new();
        for path in paths {
            match read(path) {
                Ok(content) => files.push((path.clone(), content)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let path = path.clone();
                    return Err(KnownHostsError {
                        verb: "read",
                        path,
                        source,
                    });
                }
            }
        }
        Ok(Self { files })
    }

    /// The content of one file that is in memory.
    #[must_use]
    pub fn from_bytes(path: &Path, content: &[u8]) -> Self {
        Self {
            files: vec![(path.to_owned(), content.to_owned())],
        }
    }

    /// Judges `key`, shown by `name`: a host as [`name`] makes it.
    #[must_use]
    pub fn judge(&self, name: &str, key: &HostKey) -> Verdict {
        let name = name.to_ascii_lowercase();
        let mut known: Option<(Vec<String>, String)> = None;
        let (mut same, mut authority) = (false, false);
        for (place, line) in self.lines(&name) {
            match line.marker {
                Marker::Revoked if line.key == *key => {
                    let place = place.show();
                    return Verdict::Revoked { place };
                }
                Marker::Revoked => {}
                Marker::Authority => authority = true,
                Marker::Plain if line.key == *key => same = true,
                Marker::Plain => {
                    let known = known.get_or_insert_with(|| (Vec::new(), place.show()));
                    if !known.0.contains(&line.key.algorithm) {
                        known.0.push(line.key.algorithm);
                    }
                }
            }
        }
        match known {
            _ if same => Verdict::Known,
            Some((known, place)) => Verdict::Other { known, place },
            None => Verdict::Unknown { authority },
        }
    }

    /// The algorithms `name` is known by, each once, in the files' order.
    #[must_use]
    pub fn algorithms(&self, name: &str) -> Vec<String> {
        let name = name.to_ascii_lowercase();
        let mut found: Vec<String> = Vec::new();
        for (_, line) in self.lines(&name) {
            if line.marker == Marker::Plain && !found.contains(&line.key.algorithm) {
                found.push(line.key.algorithm);
            }
        }
        found
    }

    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (Place<'a>, Line<'a>)> {
        self.files.iter().flat_map(move |(path, content)| {
            let lines = content.split(|&byte| byte == b'\n').enumerate();
            lines.filter_map(move |(index, line)| {
                let line = Line::read(line).filter(|line| line.names(name))?;
                let place = Place {
                    path,
                    number: index + 1,
                };
                Some((place, line))
            })
        })
    }
}

struct Place<'a> {
    path: &'a Path,
    number: usize,
}

impl Place<'_> {
    fn show(&self) -> String {
        format!("{}:{}", self.path.display(), self.number)
    }
}

/// The name that known_hosts files have for a host: `[name]:port` for any port but 22.
#[must_use]
pub fn name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// Adds a line for `name` to the file, which is made if it is missing, for its owner alone.
///
/// # Errors
/// When the file cannot be written.
pub fn add(path: &Path, name: &str, key: &HostKey, hash: bool) -> Result<(), KnownHostsError> {
    append(path, name, key, hash).map_err(|source| KnownHostsError {
        verb: "add to",
        path: path.to_owned(),
        source,
    })
}

fn append(path: &Path, name: &str, key: &HostKey, hash: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(parent)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let name = if hash {
        line::hashed(name)?
    } else {
        name.to_owned()
    };
    // A last line without its end would swallow ours.
    let gap = if ends_open(&mut file)? { "\n" } else { "" };
    let blob = STANDARD.encode(&key.blob);
    let line = format!("{gap}{name} {} {blob}\n", key.algorithm);
    file.write_all(line.as_bytes())
}

fn ends_open(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > LONGEST {
        return Err(io::Error::other("it is far too long"));
    }
    Ok(content)
}
