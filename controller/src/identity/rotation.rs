//! What replacing the authorities changes on this workstation. The encrypted bundle says how far it has come; each
//! step can be repeated, and one that was cut off is completed by the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::id::OperatorName;
use proto::identity::{Identity, Names};
use time::OffsetDateTime;

use super::issued::{self, Entry, record};
use super::operator::{newest_certificate, signed_again};
use super::{IdentityError, Signer, open, read_ca};
use crate::clock;
use crate::home::Home;
use crate::passphrase::{Passphrase, Sources};
use crate::pki::{Authorities, Leaf, Request, Succession, unhex};
use crate::private::{self, FileError};

/// A fleet whose authorities are being replaced, with their bundle open.
#[derive(Debug)]
pub struct Rotation {
    ca: PathBuf,
    passphrase: Passphrase,
    signer: Arc<Signer>,
}

/// The certificates that operators need from the new authorities.
#[derive(Debug, Clone, Default)]
pub struct Reissued {
    /// Files beside `ca.pem`, for git.
    pub files: Vec<PathBuf>,
    /// Names of those who have to ask for a new certificate themselves: their keys were not noted.
    pub keyless: Vec<String>,
}

impl Rotation {
    /// Opens the bundle, be it a step ahead of `ca.pem` or not.
    ///
    /// # Errors
    /// When it is not on this machine, behind `ca.pem`, the passphrase is wrong, or the list of revoked operators
    /// cannot be read.
    pub fn open(
        home: &Home,
        ca: &Path,
        crl: &Path,
        passphrase: &Sources,
    ) -> Result<Self, IdentityError> {
        let (authorities, folder, passphrase) = open(home, &read_ca(ca)?, passphrase)?;
        let signer = Signer {
            authorities,
            folder,
            crl: crl.to_owned(),
        };
        // Each step signs it anew, after the bundle has changed.
        signer.list()?;
        Ok(Self {
            ca: ca.to_owned(),
            passphrase,
            signer: Arc::new(signer),
        })
    }

    /// How far the bundle has come.
    #[must_use]
    pub fn succession(&self) -> Succession {
        self.signer.public().succession()
    }

    /// Who signs now.
    #[must_use]
    pub fn signer(&self) -> &Arc<Signer> {
        &self.signer
    }

    /// Makes new authorities, unless that is done, and has both pairs in `ca.pem` and in the list of revoked operators.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn begin(&mut self) -> Result<(), IdentityError> {
        self.keep(self.signer.authorities.begun(clock::now())?)?;
        self.publish()
    }

    /// Has the new authorities sign from now on.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn switch(&mut self) -> Result<(), IdentityError> {
        self.keep(self.signer.authorities.switched()?)?;
        self.publish()
    }

    /// Leaves only the pair that signs: after the switch the new one, before it the old one.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn settle(&mut self) -> Result<(), IdentityError> {
        let known = self.take(self.signer.authorities.alone()?);
        // The bundle comes last: it may be ahead of ca.pem, and must never lack a key for it.
        self.publish()?;
        if known { Ok(()) } else { self.store() }
    }

    /// Signs a certificate of the new authorities for each operator who has a good one of the old: for the same key,
    /// until the same day.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn reissue(&self) -> Result<Reissued, IdentityError> {
        let public = self.signer.public();
        let Some(old) = public.other() else {
            return Ok(Reissued::default());
        };
        let (list, now) = (self.signer.list()?, clock::now());
        let mut reissued = Reissued::default();
        for entry in issued::read(&self.signer.folder)? {
            let counts = entry.expires() > now && list.since(&entry.serial).is_none();
            let Ok(identity) = entry.identity.parse() else {
                continue;
            };
            if !counts || entry.generation != old.generation {
                continue;
            }
            if let Identity::Operator { name, .. } = &identity {
                match self.again(&entry, name, &identity, now)? {
                    Some(file) => reissued.files.push(file),
                    None => reissued.keyless.push(entry.identity),
                }
            }
        }
        Ok(reissued)
    }

    /// The file that holds it, signed now or by an earlier run; `None` when the key was not noted.
    fn again(
        &self,
        entry: &Entry,
        name: &OperatorName,
        identity: &Identity,
        now: OffsetDateTime,
    ) -> Result<Option<PathBuf>, IdentityError> {
        let Some(key) = entry.key.as_ref().map(|key| unhex(key)) else {
            return Ok(None);
        };
        let path = signed_again(&self.ca, name, &key);
        let public = self.signer.public();
        let found = private::read(&path).ok();
        let found = found.and_then(|text| newest_certificate(&text, public).ok());
        let is_it = |leaf: &Leaf| {
            (&leaf.identity, &leaf.only, leaf.expires, &leaf.public_key)
                == (identity, &entry.only, entry.expires(), &key)
        };
        if !found.is_some_and(|(_, leaf)| is_it(&leaf)) {
            let (identity, only) = (identity.clone(), entry.only.clone());
            let names = Names { identity, only };
            let request = Request::for_key(&key)?;
            let authorities = &self.signer.authorities;
            let issued = authorities.operator_again(&request, names, entry.expires(), now)?;
            record(&self.signer.folder, &issued)?;
            create_folder(path.parent().unwrap_or(Path::new(".")))?;
            private::write(&path, &issued.to_pem())?;
        }
        Ok(Some(path))
    }

    /// Takes them into use, and into the bundle unless they are there.
    fn keep(&mut self, authorities: Authorities) -> Result<(), IdentityError> {
        if self.take(authorities) {
            return Ok(());
        }
        self.store()
    }

    /// Takes them into use; answers whether the bundle has them already.
    fn take(&mut self, authorities: Authorities) -> bool {
        let known = authorities.public() == self.signer.public();
        self.signer = Arc::new(Signer {
            authorities,
            folder: self.signer.folder.clone(),
            crl: self.signer.crl.clone(),
        });
        known
    }

    /// Has `ca.pem` and the list of revoked operators say what the authorities say.
    fn publish(&self) -> Result<(), IdentityError> {
        let list = self.signer.list()?.to_pem();
        if private::read(&self.signer.crl)? != list {
            self.signer.put(&list)?;
        }
        let public = self.signer.public();
        if read_ca(&self.ca)? != *public {
            private::write(&self.ca, &public.to_pem())?;
        }
        Ok(())
    }

    fn store(&self) -> Result<(), IdentityError> {
        let text = self.signer.authorities.to_pem(&self.passphrase)?;
        let path = self.signer.folder.authorities();
        Ok(private::write_secret(&path, &text)?)
    }
}

fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|source| FileError::Io {
        verb: "make",
        path: path.to_owned(),
        source,
    })
}
