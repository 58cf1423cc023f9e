//! Names and ids: parsed once at the door, then trusted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name or id was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {why}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    why: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, text: &str, why: &'static str) -> Self {
        // A hostile name must not flood a message.
        let text = text.chars().take(80).collect();
        Self { what, text, why }
    }
}

/// What a name may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// As host names and Compose projects are.
    Lower,
    /// Capitals and dots as well.
    Mixed,
    /// As Compose has it for services, but for those that begin like a switch or mean a folder.
    Service,
}

impl Rule {
    fn words(self) -> &'static str {
        match self {
            Self::Lower => {
                "must be 1 to 63 of a-z, 0-9, '-' and '_', starting with a letter or digit"
            }
            Self::Mixed => {
                "must be 1 to 63 of letters, digits, '.', '-' and '_', starting with a letter or digit"
            }
            Self::Service => {
                "must be 1 to 255 of letters, digits, '.', '-' and '_', not starting with '-'"
            }
        }
    }

    fn allows(self, text: &str) -> bool {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let mixed = |c: char| plain(c) || c.is_ascii_uppercase();
        let Some(first) = text.chars().next() else {
            return false;
        };
        match self {
            Self::Lower => {
                plain(first)
                    && text.len() <= 63
                    && text.chars().all(|c| plain(c) || "-_".contains(c))
            }
            Self::Mixed => {
                mixed(first)
                    && text.len() <= 63
                    && text.chars().all(|c| mixed(c) || ".-_".contains(c))
            }
            Self::Service => {
                first != '-'
                    && ![".", ".."].contains(&text)
                    && text.len() <= 255
                    && text.chars().all(|c| mixed(c) || ".-_".contains(c))
            }
        }
    }
}

fn check_name(what: &'static str, text: &str, rule: Rule) -> Result<(), InvalidId> {
    if rule.allows(text) {
        Ok(())
    } else {
        Err(InvalidId::new(what, text, rule.words()))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $rule:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check_name($what, text, $rule)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A fleet: all hosts and stacks of one `fleet.toml`.
    FleetName, "fleet name", Rule::Lower
);
name!(
    /// A server with an agent.
    HostName, "host name", Rule::Lower
);
name!(
    /// A Compose project with its shipped files.
    StackName, "stack name", Rule::Lower
);
name!(
    /// A Compose project name, as Compose itself restricts it.
    ProjectName, "project name", Rule::Lower
);
name!(
    /// A service of a Compose project.
    ServiceName, "service name", Rule::Service
);
name!(
    /// Who holds a client identity.
    OperatorName, "operator name", Rule::Mixed
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], InvalidId> {
    let why = "is not lower-case hexadecimal of the right length";
    let digits = text.as_bytes();
    let lower = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    if digits.len() != 2 * N || !digits.iter().all(lower) {
        return Err(InvalidId::new(what, text, why));
    }
    let value = |b: u8| {
        if b.is_ascii_digit() {
            b - b'0'
        } else {
            b - b'a' + 10
        }
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    Ok(bytes)
}

macro_rules! id {
    ($(#[$doc:meta])* $type:ident, $what:literal, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type([u8; $bytes]);

        impl $type {
            /// Takes the bytes as they are.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first 12 digits: enough for a person to tell two apart.
            #[must_use]
            pub fn short(&self) -> String {
                hex(&self.0[..6])
            }
        }

        impl FromStr for $type {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                unhex($what, text).map(Self)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                hex(&id.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self.short())
            }
        }
    };
}

id!(
    /// One execution of a plan; made by the controller, so that a resent request runs once.
    DeployId, "deploy id", 16
);
id!(
    /// A plan that an agent has made and remembers.
    PlanId, "plan id", 16
);
id!(
    /// Staged content on one host: a keyed digest, so that it tells nothing about secret values.
    StageId, "stage id", 32
);
id!(
    /// One complete state of a stack on a host: a keyed digest.
    RevisionId, "revision id", 32
);
id!(
    /// SHA-256 of a file's content.
    BlobId, "blob id", 32
);
id!(
    /// SHA-256 of an audit entry, which holds that of the entry before it.
    AuditHash, "audit hash", 32
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_survive_text(bytes: [u8; 32]) {
            let id = BlobId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<BlobId>(), Ok(id));
        }

        #[test]
        fn names_never_look_like_an_option_or_a_path(text in ".{0,80}") {
            if let Ok(name) = text.parse::<ServiceName>() {
                prop_assert!(!name.as_str().starts_with('-'));
                prop_assert!(!name.as_str().contains('/'));
                prop_assert_ne!(name.as_str(), "..");
            }
        }
    }

    #[test]
    fn a_service_is_called_whatever_compose_takes() {
        for name in ["_init", ".x", "a.b_C-1", &"a".repeat(90)] {
            assert!(name.parse::<ServiceName>().is_ok(), "{name}");
        }
        for name in ["", "-x", ".", "..", "a b", "a/b", "Ä", &"a".repeat(256)] {
            assert!(name.parse::<ServiceName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_hostile_name_is_cut_in_the_message() {
        let error = "x/".repeat(4000).parse::<HostName>().unwrap_err();
        assert!(error.to_string().len() < 300);
    }
}
