//! A label that groups hosts.

use std::fmt;
use std::str::FromStr;

/// A word that several hosts can share; targets name it as `label:WORD`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// Why a label was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "label {0:?} must be 1 to 63 of letters, digits, '.', '-' and '_', starting with a letter or digit"
)]
pub struct InvalidLabel(String);

impl Label {
    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = InvalidLabel;
    fn from_str(text: &str) -> Result<Self, InvalidLabel> {
        let letter = |c: char| c.is_ascii_alphanumeric();
        let rest = |c: char| letter(c) || ['.', '-', '_'].contains(&c);
        if text.len() <= 63 && text.starts_with(letter) && text.chars().all(rest) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidLabel(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
