//! Who we are to a host: keys of ssh-agent, then key files, then what a person types, if that was asked for.

use std::sync::Arc;

use russh::MethodKind;
use russh::client::{AuthResult, Handle};
use russh::keys::{HashAlg, PublicKey};

mod file;
mod keyring;
mod typed;

use super::client::{Client, Life};
use super::config::Settings;
use super::deadline::Deadline;
use super::error::SshError;
use super::{Ask, Passwords};

use file::{KeyFile, Loaded};
use keyring::Agent;

/// A signature could not be made here.
pub(super) enum Unsigned {
    /// The session is gone.
    Gone,
    /// Why not, in words.
    Because(String),
}

impl From<russh::SendError> for Unsigned {
    fn from(_: russh::SendError) -> Self {
        Self::Gone
    }
}

/// What an attempt came to.
enum Outcome {
    /// We are in.
    In,
    /// Not by this; perhaps by something else.
    Out,
}

/// One attempt to be let in, by all means there are.
pub(super) struct Entrance<'a> {
    pub(super) handle: &'a mut Handle<Client>,
    pub(super) settings: &'a Settings,
    pub(super) host: &'a str,
    pub(super) passwords: Passwords,
    pub(super) ask: Arc<dyn Ask>,
    pub(super) deadline: Arc<Deadline>,
    pub(super) life: Arc<Life>,
    /// What was tried and what came of it.
    tried: Vec<String>,
    offered: Vec<MethodKind>,
}

impl<'a> Entrance<'a> {
    pub(super) fn new(
        handle: &'a mut Handle<Client>,
        settings: &'a Settings,
        host: &'a str,
        passwords: Passwords,
        ask: Arc<dyn Ask>,
        deadline: Arc<Deadline>,
        life: Arc<Life>,
    ) -> Self {
        Self {
            life,
            handle,
            settings,
            host,
            passwords,
            ask,
            deadline,
            tried: Vec::new(),
            offered: Vec::new(),
        }
    }

    /// Tries everything, in order, until the host lets us in.
    pub(super) async fn enter(mut self) -> Result<(), SshError> {
        let user = self.settings.user.clone();
        // This tells which methods the host takes; a host that takes none at all lets us in.
        let first = self.handle.authenticate_none(user).await;
        if let Outcome::In = self.heard(first, None)? {
            return Ok(());
        }
        if let Outcome::In = self.keys().await? {
            return Ok(());
        }
        if self.passwords == Passwords::Asked
            && let Outcome::In = self.typed().await?
        {
            return Ok(());
        }
        Err(self.denied())
    }

    fn takes(&self, method: MethodKind) -> bool {
        self.offered.contains(&method)
    }

    async fn keys(&mut self) -> Result<Outcome, SshError> {
        if !self.takes(MethodKind::PublicKey) {
            return Ok(Outcome::Out);
        }
        let files: Vec<KeyFile> = self
            .settings
            .identities
            .iter()
            .map(|path| KeyFile::read(path))
            .collect();
        let mut refused = Vec::new();
        if let Outcome::In = self.agent_keys(&files, &mut refused).await? {
            return Ok(Outcome::In);
        }
        for file in files {
            let key = match file.content {
                Loaded::Private(key) => *key,
                Loaded::Unfit(why) => {
                    self.tried.push(format!("{}: {why}", file.path.display()));
                    continue;
                }
                Loaded::Public(_) | Loaded::Missing => continue,
            };
            let public = key.public_key().clone();
            if !self.takes(MethodKind::PublicKey) || refused.contains(public.key_data()) {
                continue;
            }
            let label = format!("key {}", file.path.display());
            let mut signer = file::Signer {
                key,
                path: file.path,
                ask: Arc::clone(&self.ask),
                deadline: Arc::clone(&self.deadline),
            };
            let user = self.settings.user.clone();
            let result = self
                .handle
                .authenticate_publickey_with(user, public, None, &mut signer)
                .await;
            if let Outcome::In = self.signed(result, &label)? {
                return Ok(Outcome::In);
            }
        }
        Ok(Outcome::Out)
    }

    /// Tries what ssh-agent holds; what the host refused is added to `refused`.
    async fn agent_keys(
        &mut self,
        files: &[KeyFile],
        refused: &mut Vec<russh::keys::ssh_key::public::KeyData>,
    ) -> Result<Outcome, SshError> {
        let Some(socket) = &self.settings.agent else {
            return Ok(Outcome::Out);
        };
        let mut agent = match Agent::open(socket, self.handle.agent_session_binding()).await {
            Ok(agent) => agent,
            Err(why) => {
                self.tried.push(format!("ssh-agent {why}"));
                return Ok(Outcome::Out);
            }
        };
        let mut keys = std::mem::take(&mut agent.keys);
        let place = |key: &(PublicKey, String)| {
            let named = |file: &KeyFile| {
                file.public()
                    .is_some_and(|public| public.key_data() == key.0.key_data())
            };
            files.iter().position(named)
        };
        if self.settings.identities_only {
            keys.retain(|key| place(key).is_some());
        }
        // A host counts refusals, so the keys that were named go first.
        keys.sort_by_key(|key| place(key).unwrap_or(usize::MAX));
        for (public, comment) in keys {
            let label = format!("key {comment:?} of ssh-agent");
            if !self.takes(MethodKind::PublicKey) || agent.is_stuck() {
                break;
            }
            let hash = match self.hash(&public).await? {
                Ok(hash) => hash,
                Err(why) => {
                    self.tried.push(format!("{label}: {why}"));
                    continue;
                }
            };
            let data = public.key_data().clone();
            let user = self.settings.user.clone();
            let result = self
                .handle
                .authenticate_publickey_with(user, public, hash, &mut agent)
                .await;
            if matches!(result, Ok(AuthResult::Failure { .. })) {
                refused.push(data);
            }
            if let Outcome::In = self.signed(result, &label)? {
                return Ok(Outcome::In);
            }
        }
        Ok(Outcome::Out)
    }

    /// How to sign with an RSA key: never with SHA-1.
    async fn hash(
        &mut self,
        key: &PublicKey,
    ) -> Result<Result<Option<HashAlg>, &'static str>, SshError> {
        if !key.algorithm().is_rsa() {
            return Ok(Ok(None));
        }
        match self.handle.best_supported_rsa_hash().await {
            Ok(Some(None)) => Ok(Err("the host takes RSA with SHA-1 alone")),
            Ok(Some(hash)) => Ok(Ok(hash)),
            Ok(None) => Ok(Ok(Some(HashAlg::Sha512))),
            Err(_) => Err(self.ended()),
        }
    }

    fn signed(
        &mut self,
        result: Result<AuthResult, Unsigned>,
        label: &str,
    ) -> Result<Outcome, SshError> {
        match result {
            Ok(result) => self.heard(Ok(result), Some(label)),
            Err(Unsigned::Because(why)) => {
                self.tried.push(format!("{label}: {why}"));
                Ok(Outcome::Out)
            }
            Err(Unsigned::Gone) => Err(self.ended()),
        }
    }

    fn heard(
        &mut self,
        result: Result<AuthResult, russh::Error>,
        label: Option<&str>,
    ) -> Result<Outcome, SshError> {
        match result {
            Ok(AuthResult::Success) => Ok(Outcome::In),
            Ok(AuthResult::Failure {
                remaining_methods,
                partial_success,
            }) => {
                // An end of the connection looks like a refusal of everything.
                if self.handle.is_closed() {
                    return Err(self.ended());
                }
                let what = if partial_success {
                    "is right but not enough"
                } else {
                    "is refused"
                };
                self.tried
                    .extend(label.map(|label| format!("{label} {what}")));
                self.offered = remaining_methods.to_vec();
                Ok(Outcome::Out)
            }
            Err(_) => Err(self.ended()),
        }
    }

    /// The connection has ended: the host has had enough, or it is merely lost, and the next one may do.
    fn ended(&mut self) -> SshError {
        match self.life.last_words() {
            Some(words) => {
                self.tried.push(words);
                self.denied()
            }
            None => SshError::Lost {
                host: self.host.to_owned(),
                why: self.life.end(),
            },
        }
    }

    fn denied(&self) -> SshError {
        let name = |method: &MethodKind| String::from(method);
        SshError::Denied {
            host: self.host.to_owned(),
            user: self.settings.user.clone(),
            tried: self.tried.clone(),
            offered: self.offered.iter().map(name).collect(),
            passwords: self.passwords,
        }
    }
}
