//! What a stack wants done before and after a deploy, and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{BlobId, ServiceName};

mod template;

pub use template::{InvalidTemplate, Names, Template};

/// How long a hook may take unless it says otherwise, in seconds.
pub const TIMEOUT_SECONDS: u32 = 600;
/// The longest that a hook may ask for, in seconds: it holds its stack so long.
pub const TIMEOUT_MOST_SECONDS: u32 = 24 * 60 * 60;
/// Hooks of one stack.
pub const HOOKS: usize = 64;
/// Bytes of one hook's command.
pub const COMMAND_BYTES: usize = 64 * 1024;

/// On which side of the deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Before anything is changed.
    Before,
    /// Once the new revision is committed.
    After,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// One command to run in a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// On which side of the deploy.
    pub when: When,
    /// Where it runs.
    pub service: ServiceName,
    /// The program and its arguments; no shell sees them. Never empty.
    pub run: Vec<String>,
    /// In a new container of the service, rather than in the one that runs.
    pub one_off: bool,
    /// It is ended after this long.
    pub timeout_seconds: u32,
    /// It may refuse the deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// What it prints is kept in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save: Option<Save>,
}

impl Hook {
    /// The command on one line, for people.
    #[must_use]
    pub fn command(&self) -> String {
        let words: Vec<String> = self.run.iter().map(|word| shown(word)).collect();
        words.join(" ")
    }
}

/// A word as a person would type it, so that its spaces can be told from those between words.
fn shown(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("{word:?}")
    }
}

/// What a hook must answer so that the deploy goes on, besides ending well: the last number that it printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// No less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<i64>,
    /// No more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<i64>,
}

/// Where what a hook prints is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Save {
    /// On which machine.
    pub place: SavePlace,
    /// Which file there.
    pub file: Template,
}

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SavePlace {
    /// That of the operator.
    Workstation,
    /// The one that the stack runs on.
    Host,
}

/// What a hook has printed and the host has kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub blob: BlobId,
    /// What the placeholders of its file's name stand for.
    pub names: Names,
    /// The file on the host, when it is kept there; `None` when it is to be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_so_that_its_words_can_be_told() {
        let hook = Hook {
            when: When::Before,
            service: "web".parse().unwrap(),
            run: [
                "flask",
                "add-user",
                "--password",
                "exampleP@$$W0RD",
                "a b",
                "",
            ]
            .map(str::to_owned)
            .into(),
            one_off: false,
            timeout_seconds: TIMEOUT_SECONDS,
            gate: None,
            save: None,
        };
        assert_eq!(
            hook.command(),
            "flask add-user --password \"exampleP@$$W0RD\" \"a b\" \"\""
        );
    }
}
