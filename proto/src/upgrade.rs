//! A new agent on its way to a host.

use crate::id::BlobId;

/// The binary of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAgent {
    /// What it says it is.
    pub version: String,
    /// As image platforms spell it.
    pub architecture: String,
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub digest: BlobId,
}

impl NewAgent {
    /// What tells it from every other agent; its file on a host is `agent-BUILD`.
    #[must_use]
    pub fn build(&self) -> String {
        let digest: String = self.digest.to_string().chars().take(8).collect();
        format!("{}-{digest}", self.version)
    }
}

/// Whether a text can be a version: it becomes part of a file's name.
#[must_use]
pub fn is_version(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_part_of_a_file_name() {
        for good in ["0.1.0", "1.2.3-rc.1+build5"] {
            assert!(is_version(good), "{good}");
        }
        for bad in ["", "1/2", "1 2", "1\n", "ä", &"1".repeat(65)] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
