//! What a controller brings to a host: a stack's files, values and how Compose is to read them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hook::Hook;
use crate::id::{BlobId, ProjectName, ServiceName, StackName};
use crate::limits::VALUE_BYTES;
use crate::path::{HostDir, RelPath};
use crate::probe::Probe;

/// Why an interpolation value was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// Not a name that an environment can hold.
    #[error("{0:?} is not a variable name")]
    Name(String),
    /// A name that would change how Compose or the engine client behaves.
    #[error("variable {0} is reserved: it would change how Compose itself runs")]
    Reserved(String),
    /// Larger than the kernel takes.
    #[error("the value of {0} is {1} bytes; 131072 is the most an environment takes")]
    TooLong(String, usize),
    /// An environment ends at a NUL.
    #[error("the value of {0} has a NUL byte in it")]
    Nul(String),
}

/// The name of an interpolation variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VarName(String);

impl VarName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VarName {
    type Err = InvalidValue;
    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let mut chars = text.chars();
        let good = chars.next().is_some_and(first)
            && chars.all(|c| first(c) || c.is_ascii_digit())
            && text.len() <= 255;
        if !good {
            return Err(InvalidValue::Name(text.chars().take(80).collect()));
        }
        if is_reserved(text) {
            return Err(InvalidValue::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What the Docker client reads. The whole `DOCKER_` prefix is too much: real stacks have variables
/// such as `DOCKER_IMAGE_TAG` and `DOCKER_REPOSITORY` that mean nothing to the client.
const DOCKER_CLIENT: &[&str] = &[
    "API_VERSION",
    "AUTH_CONFIG",
    "BUILDKIT",
    "CERT_PATH",
    "CLI_",
    "CONFIG",
    "CONTENT_TRUST",
    "CONTEXT",
    "CUSTOM_HEADERS",
    "DEFAULT_PLATFORM",
    "DRIVER",
    "HIDE_LEGACY_COMMANDS",
    "HOST",
    "RAMDISK",
    "TLS",
    "TMPDIR",
];

fn is_reserved(name: &str) -> bool {
    if name.starts_with("COMPOSE_") || name.starts_with("LD_") || ["PATH", "HOME"].contains(&name) {
        return true;
    }
    let Some(rest) = name.strip_prefix("DOCKER_") else {
        return false;
    };
    DOCKER_CLIENT.iter().any(|known| {
        rest == *known
            || known.ends_with('_') && rest.starts_with(known)
            || *known == "TLS" && rest.starts_with("TLS")
            || *known == "CONTENT_TRUST" && rest.starts_with("CONTENT_TRUST")
    })
}

/// Whether Compose's own process has a variable of this name on a host, which wins over what a `.env` says.
#[must_use]
pub fn is_of_composes_process(name: &str) -> bool {
    let by_argument = name.starts_with("COMPOSE_") || name == "DOCKER_HOST";
    is_reserved(name) && !by_argument
}

impl TryFrom<String> for VarName {
    type Error = InvalidValue;
    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<VarName> for String {
    fn from(name: VarName) -> Self {
        name.0
    }
}

impl fmt::Display for VarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One interpolation value. `Debug` never shows a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// What the Compose file calls it.
    pub name: VarName,
    /// The value itself.
    pub text: String,
    /// Whether it must stay out of every output.
    pub secret: bool,
}

impl Value {
    /// Checks size and content.
    ///
    /// # Errors
    /// When an environment could not carry it.
    pub fn new(name: VarName, text: String, secret: bool) -> Result<Self, InvalidValue> {
        if text.len() > VALUE_BYTES {
            return Err(InvalidValue::TooLong(name.0, text.len()));
        }
        if text.contains('\0') {
            return Err(InvalidValue::Nul(name.0));
        }
        Ok(Self { name, text, secret })
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.secret { "<secret>" } else { &self.text };
        f.debug_struct("Value")
            .field("name", &self.name.0)
            .field("text", &text)
            .finish()
    }
}

/// One file of a stack, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShippedFile {
    /// Where, relative to the project directory.
    pub path: RelPath,
    /// Permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub blob: BlobId,
}

/// A stack as the controller describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackSpec {
    /// Its name in `fleet.toml`.
    pub stack: StackName,
    /// Its Compose project name.
    pub project: ProjectName,
    /// Compose files in merge order.
    pub compose_files: Vec<RelPath>,
    /// What Compose takes values from, as `.env`; of a name that several define, the last wins.
    #[serde(rename = "env_file", with = "one_or_many", default)]
    pub env_files: Vec<RelPath>,
    /// The folder that relative paths of the Compose files start at: that of the first one. `None`: the stack's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<RelPath>,
    /// Where on the host the project lives; `None` leaves it to the agent.
    #[serde(default)]
    pub directory: Option<HostDir>,
    /// Active profiles.
    pub profiles: Vec<String>,
    /// Interpolation values; they win over `env_files`.
    pub values: Vec<Value>,
    /// Variables that may stay undefined.
    pub allow_undefined: Vec<VarName>,
    /// What is not shipped, in the syntax of `.gitignore`; on the host it stays, should it have been shipped once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Everything that is shipped, sorted by path.
    pub files: Vec<ShippedFile>,
    /// What its containers must answer before they are judged good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
    /// How long a service may take to become good, where its healthcheck does not say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deadlines: BTreeMap<ServiceName, Duration>,
    /// What is done before and after a deploy, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
}

/// A stack as it is brought to a host: its description, and what the agent needs to complete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackOffer {
    /// As far as it is known before Compose has read anything.
    pub spec: StackSpec,
    /// Files of the stack's folder that are not shipped unless Compose opens them, sorted.
    pub available: Vec<RelPath>,
    /// What Compose calls the project if its files do not name it; `None` where something else names it. Only an agent
    /// can ask Compose, so that `spec.project` is a guess then, for agents that do not ask.
    pub default_project: Option<ProjectName>,
}

impl From<StackSpec> for StackOffer {
    fn from(spec: StackSpec) -> Self {
        Self {
            spec,
            available: Vec::new(),
            default_project: None,
        }
    }
}

/// Earlier versions kept one env file or none, and still have to read what is kept today.
mod one_or_many {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::RelPath;

    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Kept {
        None,
        One(RelPath),
        Many(Vec<RelPath>),
    }

    pub(super) fn serialize<S: Serializer>(paths: &[RelPath], to: S) -> Result<S::Ok, S::Error> {
        match paths {
            [] => to.serialize_none(),
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<RelPath>, D::Error> {
        Ok(match Kept::deserialize(from)? {
            Kept::None => Vec::new(),
            Kept::One(path) => vec![path],
            Kept::Many(paths) => paths,
        })
    }
}

impl StackSpec {
    /// A stack of this name that is nothing but one Compose file.
    #[must_use]
    pub fn new(stack: StackName, project: ProjectName, compose_file: RelPath) -> Self {
        Self {
            stack,
            project,
            compose_files: vec![compose_file],
            env_files: Vec::new(),
            folder: None,
            directory: None,
            profiles: Vec::new(),
            values: Vec::new(),
            allow_undefined: Vec::new(),
            exclude: Vec::new(),
            files: Vec::new(),
            probes: Vec::new(),
            deadlines: BTreeMap::new(),
            hooks: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_are_kept_as_earlier_versions_kept_the_one() {
        let path = |text: &str| text.parse::<RelPath>().unwrap();
        let mut spec = StackSpec::new(
            "opq".parse().unwrap(),
            "opq".parse().unwrap(),
            path("compose.yaml"),
        );
        for (paths, kept) in [
            (vec![], serde_json::json!(null)),
            (vec![path(".env")], serde_json::json!(".env")),
            (vec![path("a"), path("b")], serde_json::json!(["a", "b"])),
        ] {
            spec.env_files = paths;
            let text = serde_json::to_value(&spec).unwrap();
            assert_eq!(text["env_file"], kept);
            assert_eq!(serde_json::from_value::<StackSpec>(text).unwrap(), spec);
        }
    }

    #[test]
    fn names_that_steer_compose_or_the_client_are_reserved() {
        for name in [
            "COMPOSE_FILE",
            "DOCKER_HOST",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CLI_HINTS",
            "LD_PRELOAD",
            "PATH",
            "HOME",
        ] {
            assert_eq!(
                name.parse::<VarName>(),
                Err(InvalidValue::Reserved(name.to_owned()))
            );
        }
        for name in [
            "DOCKER_IMAGE_TAG",
            "DOCKER_REPOSITORY",
            "MAUKA_IMAGE",
            "_x",
            "DOCKER_HOSTNAME",
        ] {
            assert!(name.parse::<VarName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_value_the_kernel_would_refuse_is_refused_first() {
        let name: VarName = "BIG".parse().unwrap();
        assert!(Value::new(name.clone(), "x".repeat(VALUE_BYTES), false).is_ok());
        assert!(Value::new(name.clone(), "x".repeat(VALUE_BYTES + 1), false).is_err());
        assert!(Value::new(name, "a\0b".to_owned(), false).is_err());
    }

    #[test]
    fn debug_output_hides_secrets() {
        let value = Value::new("KEY".parse().unwrap(), "hunter22".to_owned(), true).unwrap();
        assert!(!format!("{value:?}").contains("hunter22"));
    }
}
