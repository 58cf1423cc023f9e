//! Where the controller keeps its state: `$LONGSHORE_HOME`, else the XDG folders.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use proto::id::HostName;

use crate::pki::Fingerprint;
use crate::private::{self, FileError};

/// There is no place to keep state in.
#[derive(Debug, thiserror::Error)]
#[error("neither LONGSHORE_HOME nor HOME says where identities are kept")]
pub struct NoHome;

impl From<NoHome> for Fault {
    fn from(error: NoHome) -> Self {
        Self::new(FaultKind::InvalidRequest, error.to_string())
            .hint("set LONGSHORE_HOME to a folder that only you can read")
    }
}

/// The controller's folders; made when something is first written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    config: PathBuf,
    state: PathBuf,
    cache: PathBuf,
    data: PathBuf,
}

impl Home {
    /// Everything below one folder, as `LONGSHORE_HOME` asks for.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            config: root.join("config"),
            state: root.join("state"),
            cache: root.join("cache"),
            data: root.join("data"),
        }
    }

    /// From the process environment.
    ///
    /// # Errors
    /// When no variable names a place.
    pub fn from_environment() -> Result<Self, NoHome> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// From variables as `get` knows them.
    ///
    /// # Errors
    /// When no variable names a place.
    pub fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, NoHome> {
        // The XDG rules: a relative or empty path counts as unset.
        let folder = |name| {
            get(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        if let Some(root) = get("LONGSHORE_HOME").filter(|root| !root.is_empty()) {
            return Ok(Self::at(Path::new(&root)));
        }
        let home = folder("HOME");
        let pick = |variable, fallback| {
            folder(variable)
                .or_else(|| home.as_ref().map(|home| home.join(fallback)))
                .map(|path| path.join("longshore"))
                .ok_or(NoHome)
        };
        Ok(Self {
            config: pick("XDG_CONFIG_HOME", ".config")?,
            state: pick("XDG_STATE_HOME", ".local/state")?,
            cache: pick("XDG_CACHE_HOME", ".cache")?,
            data: pick("XDG_DATA_HOME", ".local/share")?,
        })
    }

    /// What must not be lost: identities.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// What is remembered between runs.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// What can be made again.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// What was brought here to be used: agents for hosts.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where the identities for one fleet are.
    #[must_use]
    pub fn fleet(&self, fingerprint: &Fingerprint) -> FleetFolder {
        FleetFolder {
            path: self.config.join("fleets").join(fingerprint.as_str()),
        }
    }

    /// Where it is remembered which programs one fleet may run here.
    #[must_use]
    pub fn confirmed_programs(&self, fingerprint: &Fingerprint) -> PathBuf {
        let fleet = self.state.join("fleets").join(fingerprint.as_str());
        fleet.join("programs")
    }

    /// Where it is remembered how far a host's audit record went.
    #[must_use]
    pub fn audit_head(&self, fingerprint: &Fingerprint, host: &HostName) -> PathBuf {
        let fleet = self.state.join("fleets").join(fingerprint.as_str());
        fleet.join("audit").join(host.as_str())
    }
}

/// `fleets/<fingerprint>/`: what this workstation holds for one fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetFolder {
    path: PathBuf,
}

impl FleetFolder {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The operator's key and certificate in one file, so that they change together.
    #[must_use]
    pub fn operator(&self) -> PathBuf {
        self.path.join("operator.pem")
    }

    /// The key of a request that has not been answered yet.
    #[must_use]
    pub fn pending(&self) -> PathBuf {
        self.path.join("pending.key")
    }

    /// Both authorities' certificates and encrypted keys.
    #[must_use]
    pub fn authorities(&self) -> PathBuf {
        self.path.join("authorities.pem")
    }

    /// What the authorities have signed here, one JSON object a line.
    #[must_use]
    pub fn issued(&self) -> PathBuf {
        self.path.join("issued.jsonl")
    }

    /// The newest list of revoked operators that was signed here: what a checkout of an older `revoked.crl` cannot
    /// undo.
    #[must_use]
    pub fn revoked(&self) -> PathBuf {
        self.path.join("revoked.crl")
    }

    /// Makes the folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self) -> Result<(), FileError> {
        private::create_folder(&self.path)
    }

    /// Checks at start that nobody else can read what is private here.
    ///
    /// # Errors
    /// When a private file is open to others.
    pub fn check(&self) -> Result<(), FileError> {
        [self.operator(), self.pending(), self.authorities()]
            .iter()
            .try_for_each(|path| private::check(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(variables: &[(&str, &str)]) -> Result<Home, NoHome> {
        let get = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Home::from_variables(get)
    }

    #[test]
    fn longshore_home_wins() {
        let found = home(&[("LONGSHORE_HOME", "/l"), ("HOME", "/h")]).unwrap();
        assert_eq!(found.config(), Path::new("/l/config"));
    }

    #[test]
    fn xdg_folders_are_used_unless_relative() {
        let found = home(&[
            ("XDG_STATE_HOME", "/s"),
            ("XDG_CACHE_HOME", "c"),
            ("HOME", "/h"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.config(), Path::new("/h/.config/longshore"));
        assert_eq!(found.state(), Path::new("/s/longshore"));
        assert_eq!(found.cache(), Path::new("/h/.cache/longshore"));
        assert_eq!(found.data(), Path::new("/h/.local/share/longshore"));
    }

    #[test]
    fn without_any_variable_there_is_no_home() {
        assert!(home(&[("HOME", "relative")]).is_err());
    }
}
