//! A fleet's authorities in one file: certificates in clear, keys as PKCS#8 encrypted by a passphrase.

use std::sync::Arc;
use std::thread;

use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::pkcs5::{EncryptionScheme, pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use proto::id::FleetName;
use rcgen::KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::authority::{Authority, Naming};
use super::{AuthorityKind, FleetCa, PkiError, blocks, random};
use crate::passphrase::Passphrase;

const WHAT: &str = "the authorities' file";
const KEY_TAG: &str = "ENCRYPTED PRIVATE KEY";
/// 16 MiB and five passes, a quarter of a second: OpenSSL refuses to read keys that want 32 MiB or more.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);
/// The most memory that opening a key may take, in bytes: 16 times what ours take.
const DEAREST_MEMORY: u64 = 256 * 1024 * 1024;
/// The most work: bytes that scrypt goes through, and rounds of PBKDF2, which `openssl pkcs8` may have chosen.
const DEAREST_WORK: (u64, u32) = (4 * 1024 * 1024 * 1024, 10_000_000);

/// A fleet's authorities, unlocked: whoever holds this can sign.
#[derive(Clone)]
pub struct Authorities {
    pub(super) fleet: FleetName,
    pub(super) signing: Arc<Keys>,
    pub(super) other: Option<Arc<Keys>>,
    public: FleetCa,
}

/// One generation.
pub(super) struct Keys {
    pub(super) hosts: Authority,
    pub(super) operators: Authority,
}

impl Keys {
    pub(super) fn generate(naming: Naming<'_>, now: OffsetDateTime) -> Result<Arc<Self>, PkiError> {
        Ok(Arc::new(Self {
            hosts: Authority::generate(AuthorityKind::Hosts, naming, now)?,
            operators: Authority::generate(AuthorityKind::Operators, naming, now)?,
        }))
    }

    fn both(&self) -> [&Authority; 2] {
        [&self.hosts, &self.operators]
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorities")
            .field("fleet", &self.fleet)
            .finish_non_exhaustive()
    }
}

impl Authorities {
    /// Makes both authorities of a new fleet.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn generate(fleet: &FleetName, now: OffsetDateTime) -> Result<Self, PkiError> {
        let naming = Naming {
            fleet,
            generation: 1,
            id: None,
        };
        Self::of(Keys::generate(naming, now)?, None)
    }

    pub(super) fn of(signing: Arc<Keys>, other: Option<Arc<Keys>>) -> Result<Self, PkiError> {
        let all = std::iter::once(&signing).chain(&other);
        let certificates = all
            .flat_map(|keys| keys.both())
            .map(|one| super::encode("CERTIFICATE", &one.certificate));
        let public = FleetCa::from_pem(&certificates.collect::<String>())?;
        Ok(Self {
            fleet: public.fleet().clone(),
            signing,
            other,
            public,
        })
    }

    /// The public certificates.
    #[must_use]
    pub fn public(&self) -> &FleetCa {
        &self.public
    }

    /// The pair that signs, then the one that is believed beside it.
    pub(super) fn pairs(&self) -> impl Iterator<Item = &Keys> {
        std::iter::once(&self.signing)
            .chain(&self.other)
            .map(AsRef::as_ref)
    }

    /// The text of the bundle: `ca.pem`, then the hosts' and the operators' key of each pair.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn to_pem(&self, passphrase: &Passphrase) -> Result<Zeroizing<String>, PkiError> {
        let mut text = Zeroizing::new(self.public.to_pem());
        let all: Vec<&Authority> = self.pairs().flat_map(Keys::both).collect();
        let sealed = each(&all, |one| encrypt(one.issuer.key(), passphrase))?;
        for (authority, sealed) in all.iter().zip(sealed) {
            let name = authority.kind.name(authority.generation);
            text.push_str(&format!("# {name}\n{sealed}"));
        }
        Ok(text)
    }

    /// Unlocks a bundle and proves that keys and certificates belong together.
    ///
    /// # Errors
    /// When it is damaged, the passphrase is wrong, or an authority has expired.
    pub fn from_pem(
        text: &str,
        passphrase: &Passphrase,
        now: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let public = FleetCa::from_pem(text)?;
        let keys = blocks(WHAT, text, KEY_TAG)?;
        let wanted = 2 * public.pairs().count();
        if keys.len() != wanted {
            let count = format!("it holds {} keys instead of {wanted}", keys.len());
            return Err(PkiError::unreadable(WHAT, count));
        }
        let mut keys = each(&keys, |key| decrypt(key, passphrase))?.into_iter();
        let mut unlocked = Vec::new();
        for pair in public.pairs() {
            let mut one = |kind: AuthorityKind| {
                let key = keys.next().ok_or(PkiError::KeyMismatch(kind.title()))?;
                let certificate = pair.of(kind).clone();
                Authority::from_parts(kind, pair.generation, certificate, key, now)
            };
            unlocked.push(Arc::new(Keys {
                hosts: one(AuthorityKind::Hosts)?,
                operators: one(AuthorityKind::Operators)?,
            }));
        }
        let other = if unlocked.len() > 1 {
            unlocked.pop()
        } else {
            None
        };
        let signing = unlocked.pop();
        let signing = signing.ok_or_else(|| PkiError::unreadable(WHAT, "it is empty"))?;
        Self::of(signing, other)
    }
}

/// Works on the keys side by side: each takes a quarter of a second.
fn each<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, PkiError> + Sync,
) -> Result<Vec<R>, PkiError> {
    let broke = || PkiError::make("a key", "its thread broke off");
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .iter()
            .map(|item| scope.spawn(|| work(item)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|done| done.unwrap_or_else(|_| Err(broke())))
            .collect()
    })
}

fn encrypt(key: &KeyPair, passphrase: &Passphrase) -> Result<String, PkiError> {
    let failed = |error: &dyn ToString| PkiError::make("an encrypted key", error.to_string());
    let (log_n, r, p) = SCRYPT;
    let cost = scrypt::Params::new(log_n, r, p).map_err(|error| failed(&error))?;
    let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &random::<16>()?, random()?)
        .map_err(|error| failed(&error))?;
    let plain =
        PrivateKeyInfoRef::try_from(key.serialized_der()).map_err(|error| failed(&error))?;
    let sealed: SecretDocument = plain
        .encrypt_with_params(scheme, passphrase.expose())
        .map_err(|error| failed(&error))?;
    let text = sealed.to_pem(KEY_TAG, LineEnding::LF);
    Ok(text.map_err(|error| failed(&error))?.to_string())
}

fn decrypt(der: &[u8], passphrase: &Passphrase) -> Result<KeyPair, PkiError> {
    let sealed = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|error| PkiError::unreadable(WHAT, error))?;
    if !is_affordable(&sealed.encryption_algorithm) {
        let why = "a key wants more memory or time to be opened than any of ours";
        return Err(PkiError::unreadable(WHAT, why));
    }
    // A wrong passphrase shows as bad padding or, once in 256 times, as a plain text that is no key.
    let plain = sealed
        .decrypt(passphrase.expose())
        .map_err(|_| PkiError::WrongPassphrase)?;
    let plain = PrivatePkcs8KeyDer::from(plain.as_bytes());
    KeyPair::try_from(&plain).map_err(|_| PkiError::WrongPassphrase)
}

/// The file itself says what its keys cost to open; a damaged one must not take the machine.
fn is_affordable(scheme: &EncryptionScheme) -> bool {
    match scheme.pbes2().map(|scheme| &scheme.kdf) {
        Some(Kdf::Scrypt(cost)) => {
            let memory = cost
                .cost_parameter
                .saturating_mul(128 * u64::from(cost.block_size));
            let work = memory.saturating_mul(cost.parallelization.into());
            memory <= DEAREST_MEMORY && work <= DEAREST_WORK.0
        }
        Some(Kdf::Pbkdf2(cost)) => cost.iteration_count <= DEAREST_WORK.1,
        _ => false,
    }
}
