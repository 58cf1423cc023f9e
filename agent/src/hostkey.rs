//! The host's own secret: ids made with it tell nothing about the values they stand for.

use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use crate::files::{self, FileError};

/// 64 random bytes (a whole HMAC block) that never leave the host. Two hosts give the same secret different ids.
#[derive(Clone)]
pub struct HostKey([u8; 64]);

impl HostKey {
    /// Reads the key, or makes one at the first start.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn load_or_create(path: &Path) -> Result<Self, FileError> {
        match files::read(path) {
            Ok(bytes) => bytes.as_slice().try_into().map(Self).map_err(|_| {
                let error = std::io::Error::other("it is not 64 bytes long");
                FileError::new("use", path, error)
            }),
            Err(error) if error.is_missing() => {
                let mut key = [0; 64];
                getrandom::fill(&mut key).map_err(|error| {
                    FileError::new("make", path, std::io::Error::other(error.to_string()))
                })?;
                files::write_private(path, &key)?;
                Ok(Self(key))
            }
            Err(error) => Err(error),
        }
    }

    /// A keyed digest of a value; `purpose` keeps equal bytes of different kinds apart.
    #[must_use]
    pub fn id<T: Serialize>(&self, purpose: &str, value: &T) -> [u8; 32] {
        // JSON of plain data with sorted maps is canonical enough: the same build wrote both sides.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&self.0.into());
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(&bytes);
        mac.finalize().into_bytes().into()
    }

    /// A short keyed digest as text, for comparing values that must not be stored.
    #[must_use]
    pub fn mark<T: Serialize>(&self, purpose: &str, value: &T) -> String {
        self.id(purpose, value)[..12]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_has_another_id_on_another_host() {
        let folder = tempfile::tempdir().unwrap();
        let a = HostKey::load_or_create(&folder.path().join("a")).unwrap();
        let b = HostKey::load_or_create(&folder.path().join("b")).unwrap();
        assert_ne!(a.id("x", &"value"), b.id("x", &"value"));
        assert_ne!(a.id("x", &"value"), a.id("y", &"value"));
        let again = HostKey::load_or_create(&folder.path().join("a")).unwrap();
        assert_eq!(a.id("x", &"value"), again.id("x", &"value"));
    }
}
