//! Key files: read as ssh reads them, and opened with their passphrase only once a host wants the key.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode as _;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey, decode_secret_key};
use zeroize::Zeroizing;

use super::Unsigned;
use crate::ssh::Ask;
use crate::ssh::deadline::Deadline;

/// No key is longer.
const LONGEST: u64 = 64 * 1024;
/// So often a passphrase may be mistyped.
const TRIES: usize = 3;

/// A file that a key was expected in.
pub(super) struct KeyFile {
    pub(super) path: PathBuf,
    pub(super) content: Loaded,
}

/// What is in it.
pub(super) enum Loaded {
    /// A private key, perhaps behind a passphrase.
    Private(Box<PrivateKey>),
    /// A public key: it names one of ssh-agent.
    Public(PublicKey),
    /// Nothing that can be used here, and why.
    Unfit(String),
    /// It is not there.
    Missing,
}

impl KeyFile {
    pub(super) fn read(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            content: load(path).unwrap_or_else(Loaded::Unfit),
        }
    }

    /// Its public key, if that can be told without a passphrase.
    pub(super) fn public(&self) -> Option<PublicKey> {
        match &self.content {
            Loaded::Private(key) => Some(key.public_key().clone()),
            Loaded::Public(key) => Some(key.clone()),
            Loaded::Unfit(_) | Loaded::Missing => {
                let mut beside = self.path.clone().into_os_string();
                beside.push(".pub");
                let text = read(Path::new(&beside)).ok()?;
                PublicKey::from_openssh(text.trim()).ok()
            }
        }
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn load(path: &Path) -> Result<Loaded, String> {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Missing),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    if let Ok(public) = PublicKey::from_openssh(text.trim()) {
        return Ok(Loaded::Public(public));
    }
    check_mode(path)?;
    let key = if text.contains("BEGIN OPENSSH PRIVATE KEY") {
        PrivateKey::from_openssh(text.as_str()).map_err(|error| format!("is no key: {error}"))?
    } else {
        decode_secret_key(&text, None).map_err(|error| old(&text, &error))?
    };
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(Loaded::Private(Box::new(key))),
        Algorithm::Rsa { .. } => Err(rsa()),
        Algorithm::SkEcdsaSha2NistP256 | Algorithm::SkEd25519 => {
            Err("a security key works only through ssh-agent (ssh-add)".to_owned())
        }
        other => Err(format!(
            "{} is not a kind of key that is used any more",
            other.as_str()
        )),
    }
}

fn rsa() -> String {
    "an RSA key works only through ssh-agent (ssh-add)".to_owned()
}

fn old(text: &str, error: &russh::keys::Error) -> String {
    if text.contains("BEGIN RSA PRIVATE KEY") {
        return rsa();
    }
    if text.contains("ENCRYPTED") {
        return "is encrypted in an old way; ssh-keygen -p -f writes it anew".to_owned();
    }
    format!("is no key: {error}")
}

/// ssh does not touch a private key that others may read, and neither do we.
fn check_mode(path: &Path) -> Result<(), String> {
    let about = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    let ours = about.uid() == rustix::process::getuid().as_raw();
    if about.is_file() && ours && about.mode() & 0o077 != 0 {
        let mode = about.mode() & 0o7777;
        return Err(format!(
            "others may read it (mode {mode:04o}); chmod go= {}",
            path.display()
        ));
    }
    Ok(())
}

/// Signs with a private key.
pub(super) struct Signer {
    pub(super) key: PrivateKey,
    pub(super) path: PathBuf,
    pub(super) ask: Arc<dyn Ask>,
    pub(super) deadline: Arc<Deadline>,
}

impl russh::Signer for Signer {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, Unsigned> {
        if self.key.is_encrypted() {
            self.open().await?;
        }
        let because =
            |error: &dyn std::fmt::Display| Unsigned::Because(format!("does not sign: {error}"));
        let signature = self.key.try_sign(&data).map_err(|error| because(&error))?;
        let added = signature.encode_prefixed(&mut data);
        added.map_err(|error| because(&error))?;
        Ok(data)
    }
}

impl Signer {
    async fn open(&mut self) -> Result<(), Unsigned> {
        for _ in 0..TRIES {
            let (key, ask, path) = (self.key.clone(), Arc::clone(&self.ask), self.path.clone());
            let pause = self.deadline.pause();
            // A person types, and the derivation of the key takes a while on purpose.
            let opened = tokio::task::spawn_blocking(move || {
                let secret = ask.secret(&format!("passphrase of {}", path.display()))?;
                Ok(key.decrypt(secret.as_bytes()).ok())
            });
            let opened = opened.await;
            drop(pause);
            match opened {
                Ok(Ok(Some(key))) => {
                    self.key = key;
                    return Ok(());
                }
                Ok(Ok(None)) => {}
                Ok(Err(fault)) => {
                    let fault: proto::fault::Fault = fault;
                    return Err(Unsigned::Because(format!(
                        "has a passphrase, and {}",
                        fault.what
                    )));
                }
                Err(_) => return Err(Unsigned::Because("cannot be opened".to_owned())),
            }
        }
        Err(Unsigned::Because("has another passphrase".to_owned()))
    }
}
