//! Docker's `config.json`: which helper is in charge of a registry, and the logins in the file itself.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::registry::RegistryAuth;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::DockerAuthError;
use crate::stack::open_regular;

/// Docker's key for Docker Hub.
pub(super) const HUB: &str = "https://index.docker.io/v1/";
/// Other names under which Docker Hub is found in configurations.
const HUB_NAMES: &[&str] = &[HUB, "docker.io", "index.docker.io", "registry-1.docker.io"];
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Whether `registry` is Docker Hub.
pub(super) fn is_hub(registry: &str) -> bool {
    HUB_NAMES.contains(&registry)
}

/// The part of `config.json` that is about logins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigFile {
    auths: Option<BTreeMap<String, Entry>>,
    creds_store: Option<String>,
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl ConfigFile {
    /// `None` when there is no such file.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, DockerAuthError> {
        let mut text = Zeroizing::new(Vec::new());
        let read = open_regular(path).and_then(|file| file.take(FILE_BYTES).read_to_end(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DockerAuthError::Unreadable(path.to_owned(), error)),
        }
        if text.trim_ascii().is_empty() {
            // Docker takes an empty file for an empty configuration.
            return Ok(None);
        }
        let config = serde_json::from_slice(&text);
        config.map(Some).map_err(|error| DockerAuthError::Broken {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })
    }

    /// The helper in charge of `registry`: its own, else the one for everything.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        let own = self.cred_helpers.as_ref().and_then(|helpers| {
            names_of(registry)
                .into_iter()
                .find_map(|name| helpers.get(name))
        });
        let helper = own.or(self.creds_store.as_ref())?;
        (!helper.is_empty()).then_some(helper)
    }

    /// The login that stands in the file itself.
    pub(super) fn stored(
        &self,
        path: &Path,
        registry: &str,
    ) -> Result<Option<RegistryAuth>, DockerAuthError> {
        let Some(auths) = &self.auths else {
            return Ok(None);
        };
        let names = names_of(registry);
        let exact = names.iter().find_map(|name| auths.get(*name));
        // Old files have URLs where new ones have host names.
        let by_host = || {
            let mut entries = auths.iter();
            entries.find_map(|(key, entry)| names.contains(&host_of(key)).then_some(entry))
        };
        let Some(entry) = exact.or_else(by_host) else {
            return Ok(None);
        };
        let login = entry.login(registry);
        login.map_err(|()| DockerAuthError::Undecodable {
            path: path.to_owned(),
            registry: registry.to_owned(),
        })
    }
}

fn names_of(registry: &str) -> Vec<&str> {
    if is_hub(registry) {
        HUB_NAMES.to_vec()
    } else {
        vec![registry]
    }
}

/// `https://ghcr.io/v2/` and `ghcr.io` are one registry.
fn host_of(key: &str) -> &str {
    let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
    rest.split_once('/').map_or(rest, |(host, _)| host)
}

impl Entry {
    fn login(&self, registry: &str) -> Result<Option<RegistryAuth>, ()> {
        let (username, password) = if self.auth.is_empty() {
            (self.username.clone(), self.password.clone())
        } else {
            decode(&self.auth).ok_or(())?
        };
        if password.is_empty() && self.identitytoken.is_empty() {
            return Ok(None);
        }
        // A token stands for the login; the user beside it is a placeholder.
        let token = !self.identitytoken.is_empty();
        Ok(Some(RegistryAuth {
            registry: registry.to_owned(),
            username: if token { String::new() } else { username },
            password: if token { String::new() } else { password },
            identity_token: self.identitytoken.clone(),
        }))
    }
}

fn decode(auth: &str) -> Option<(String, String)> {
    let bytes = Zeroizing::new(STANDARD.decode(auth).ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    // Old versions of Docker padded with NULs.
    let password = password.trim_matches('\0');
    (!username.is_empty()).then(|| (username.to_owned(), password.to_owned()))
}
