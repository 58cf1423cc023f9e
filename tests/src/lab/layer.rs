//! One layer of an image: a compressed tar with its two digests.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::error::{During, Result};

/// A file of an image.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Its path from the image's root, without a leading slash.
    pub(crate) path: String,
    /// Its mode.
    pub(crate) mode: u32,
    /// What is in it.
    pub(crate) content: Content,
}

/// What a file of an image is.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// A symbolic link to this.
    Link(&'static str),
}

/// A layer, ready to be pushed.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// The digest of what is stored.
    pub(crate) digest: String,
    /// The digest of what is unpacked.
    pub(crate) diff_id: String,
    /// What is stored.
    pub(crate) bytes: Arc<[u8]>,
}

impl Layer {
    /// A layer of files; the same files always make the same layer.
    pub(crate) fn files(files: &[File], compression: Compression) -> Result<Self> {
        let tar = tar(files).during(|| "packing a layer".to_owned())?;
        let mut gzip = GzEncoder::new(Vec::new(), compression);
        gzip.write_all(&tar)
            .during(|| "packing a layer".to_owned())?;
        let stored = gzip.finish().during(|| "packing a layer".to_owned())?;
        Ok(Self {
            digest: digest(&stored),
            diff_id: digest(&tar),
            bytes: stored.into(),
        })
    }

    /// A layer of `size` bytes that no compression shrinks, the same for the same `seed`.
    pub(crate) fn padding(size: usize, seed: &str) -> Result<Self> {
        let path = format!("padding/{}", seed.replace('/', "_"));
        let file = File {
            path,
            mode: 0o644,
            content: Content::Bytes(noise(size, seed).into()),
        };
        Self::files(&[file], Compression::none())
    }
}

/// `sha256:…` of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| {
        text + &format!("{byte:02x}")
    })
}

fn tar(files: &[File]) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(file.mode);
        match &file.content {
            Content::Bytes(bytes) => {
                header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                tar.append_data(&mut header, &file.path, &**bytes)?;
            }
            Content::Link(to) => {
                header.set_size(0);
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, &file.path, to)?;
            }
        }
    }
    tar.into_inner()
}

/// Xorshift: fast, and random enough for a compressor.
fn noise(size: usize, seed: &str) -> Vec<u8> {
    let hash = Sha256::digest(seed.as_bytes());
    let mut state = hash
        .iter()
        .take(8)
        .fold(1_u64, |state, byte| (state << 8) | u64::from(*byte))
        | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::Layer;

    #[test]
    fn padding_is_repeatable_and_does_not_shrink() {
        let (one, same, other) = (
            Layer::padding(5000, "a/b:1"),
            Layer::padding(5000, "a/b:1"),
            Layer::padding(5000, "a/b:2"),
        );
        let (one, same, other) = (one.unwrap(), same.unwrap(), other.unwrap());
        assert_eq!(one.digest, same.digest);
        assert_ne!(one.digest, other.digest);
        assert!(one.bytes.len() > 5000);
    }
}
