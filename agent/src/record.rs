//! Records of the state directory: JSON with a checksum behind it, so that a damaged one is found out and never believed.

use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::files::{self, FileError};
use crate::witness::disk::{self, Call};

/// Writes a record whole, like [`files::write_private`].
///
/// # Errors
/// When the file system refuses; the old record is then untouched.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    let mut content = serde_json::to_vec(value)
        .map_err(|error| FileError::new("encode", path, io::Error::other(error)))?;
    let sum = sum(&content);
    content.push(b'\n');
    content.extend_from_slice(sum.as_bytes());
    content.push(b'\n');
    files::write_private(path, &content)
}

/// Reads a record; `None` when there is none.
///
/// # Errors
/// When it cannot be read, or is not what was written.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    if path.is_dir() {
        return Err(FileError::damaged(path, "it is a folder"));
    }
    let content = match disk::ask(Call::Read, path).and_then(|()| fs::read(path)) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(FileError::new("read", path, error)),
    };
    let json =
        checked(&content).ok_or_else(|| FileError::damaged(path, "its checksum is wrong"))?;
    serde_json::from_slice(json)
        .map(Some)
        .map_err(|error| FileError::damaged(path, error))
}

/// The record without its checksum, when the two belong together.
fn checked(content: &[u8]) -> Option<&[u8]> {
    let content = content.strip_suffix(b"\n")?;
    let newline = content.iter().rposition(|byte| *byte == b'\n')?;
    let (json, sum_line) = content.split_at_checked(newline)?;
    (sum_line.get(1..)? == sum(json).as_bytes()).then_some(json)
}

fn sum(json: &[u8]) -> String {
    Sha256::digest(json)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: &str) -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        write(&path, &value).unwrap();
        let content = fs::read(&path).unwrap();
        (folder, path, content)
    }

    #[test]
    fn what_is_not_there_is_none_and_a_folder_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read::<String>(&folder.path().join("none")).unwrap(), None);
        assert!(read::<String>(folder.path()).unwrap_err().is_damaged());
    }

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(value in ".{0,80}") {
            let (_folder, path, _) = written(&value);
            prop_assert_eq!(read::<String>(&path).unwrap(), Some(value));
        }

        #[test]
        fn any_turned_bit_is_found_out(value in ".{0,80}", byte in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let (_folder, path, mut content) = written(&value);
            let at = byte.index(content.len());
            content[at] ^= 1 << bit;
            fs::write(&path, &content).unwrap();
            prop_assert!(read::<String>(&path).unwrap_err().is_damaged());
        }

        #[test]
        fn any_cut_is_found_out(value in ".{0,80}", length in any::<prop::sample::Index>()) {
            let (_folder, path, content) = written(&value);
            fs::write(&path, &content[..length.index(content.len())]).unwrap();
            prop_assert!(read::<String>(&path).unwrap_err().is_damaged());
        }
    }
}
