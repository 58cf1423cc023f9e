//! The authorities' passphrase: from a file, a variable or a prompt, and never shown again.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use proto::fault::{Fault, FaultKind};
use zeroize::Zeroizing;

use crate::private::{self, FileError};

const SHORTEST: usize = 8;

/// A passphrase; its text never leaves this crate.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        if text.is_empty() {
            return Err(PassphraseError::Empty);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The text itself, for a key derivation.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// There is no usable passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Nothing was typed, or the file is empty.
    #[error("the passphrase is empty")]
    Empty,
    /// Too easy to guess, for keys that own every host.
    #[error("the passphrase is shorter than {SHORTEST} characters")]
    Short,
    /// The two prompts were answered differently.
    #[error("the two passphrases differ")]
    Differ,
    /// Nobody can be asked.
    #[error("the authorities' passphrase is needed and there is no terminal to ask on")]
    NoTerminal,
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The terminal broke off.
    #[error("the passphrase cannot be read from the terminal")]
    Terminal(#[source] io::Error),
}

impl From<PassphraseError> for Fault {
    fn from(error: PassphraseError) -> Self {
        let fault = Self::new(FaultKind::InvalidRequest, error.to_string());
        match error {
            PassphraseError::File(error) => error.into(),
            PassphraseError::NoTerminal => fault.hint(
                "give it with --passphrase-file FILE, LONGSHORE_CA_PASSPHRASE_FILE or LONGSHORE_CA_PASSPHRASE",
            ),
            PassphraseError::Terminal(source) => fault.cause(source.to_string()),
            PassphraseError::Empty | PassphraseError::Short | PassphraseError::Differ => fault,
        }
    }
}

/// Why a passphrase is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To open existing keys.
    Unlock,
    /// To lock new ones; asked twice and not too short.
    Choose,
}

/// Where a passphrase may come from; the first that is given wins, in this order.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--passphrase-file`.
    pub file: Option<PathBuf>,
    /// `LONGSHORE_CA_PASSPHRASE`.
    pub variable: Option<Passphrase>,
    /// `LONGSHORE_CA_PASSPHRASE_FILE`.
    pub variable_file: Option<PathBuf>,
}

impl Sources {
    /// The flag, and what the process environment holds.
    #[must_use]
    pub fn from_environment(file: Option<PathBuf>) -> Self {
        let variable = std::env::var("LONGSHORE_CA_PASSPHRASE").ok();
        Self {
            file,
            variable: variable.and_then(|text| Passphrase::new(&text).ok()),
            variable_file: std::env::var_os("LONGSHORE_CA_PASSPHRASE_FILE").map(PathBuf::from),
        }
    }

    /// Whether nobody needs to be asked.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.file.is_some() || self.variable.is_some() || self.variable_file.is_some()
    }

    /// What is given without asking anybody.
    ///
    /// # Errors
    /// When a named file cannot be used.
    pub fn given(&self) -> Result<Option<Passphrase>, PassphraseError> {
        if let Some(file) = &self.file {
            return from_file(file).map(Some);
        }
        if let Some(variable) = &self.variable {
            return Ok(Some(variable.clone()));
        }
        self.variable_file.as_deref().map(from_file).transpose()
    }

    /// What is given, or else the answer at a terminal.
    ///
    /// # Errors
    /// When there is neither, or the answer will not do.
    pub fn obtain(&self, purpose: Purpose) -> Result<Passphrase, PassphraseError> {
        let passphrase = match self.given()? {
            Some(passphrase) => passphrase,
            None if io::stdin().is_terminal() => ask(purpose, |prompt| {
                rpassword::prompt_password(prompt).map(Zeroizing::new)
            })?,
            None => return Err(PassphraseError::NoTerminal),
        };
        if purpose == Purpose::Choose && passphrase.0.chars().count() < SHORTEST {
            return Err(PassphraseError::Short);
        }
        Ok(passphrase)
    }
}

fn from_file(path: &Path) -> Result<Passphrase, PassphraseError> {
    let text = private::read_secret(path)?;
    // Editors end a file with a newline that nobody typed as part of the passphrase.
    Passphrase::new(text.trim_end_matches(['\r', '\n']))
}

fn ask(
    purpose: Purpose,
    mut prompt: impl FnMut(&str) -> io::Result<Zeroizing<String>>,
) -> Result<Passphrase, PassphraseError> {
    let text = match purpose {
        Purpose::Unlock => "passphrase of the fleet's authorities: ",
        Purpose::Choose => "choose a passphrase for the fleet's authorities: ",
    };
    let first = Passphrase::new(&prompt(text).map_err(PassphraseError::Terminal)?)?;
    if purpose == Purpose::Choose {
        let second = prompt("the same again: ").map_err(PassphraseError::Terminal)?;
        if *second != *first.0 {
            return Err(PassphraseError::Differ);
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(purpose: Purpose, answers: &[&str]) -> Result<Passphrase, PassphraseError> {
        let mut answers = answers.iter();
        ask(purpose, |_| {
            Ok(Zeroizing::new((*answers.next().unwrap()).to_owned()))
        })
    }

    #[test]
    fn a_new_passphrase_is_asked_twice() {
        assert!(answers(Purpose::Choose, &["harbour wall", "harbour wall"]).is_ok());
        let error = answers(Purpose::Choose, &["harbour wall", "harbour walk"]).unwrap_err();
        assert!(matches!(error, PassphraseError::Differ));
        assert!(answers(Purpose::Unlock, &["harbour wall"]).is_ok());
        assert!(answers(Purpose::Unlock, &[""]).is_err());
    }

    #[test]
    fn a_file_wins_and_its_last_newline_is_not_part_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        private::write_secret(&path, "from the file\n").unwrap();
        let sources = Sources {
            file: Some(path.clone()),
            variable: Some(Passphrase::new("from the variable").unwrap()),
            variable_file: None,
        };
        assert_eq!(sources.given().unwrap().unwrap().expose(), b"from the file");
        private::write(&path, "open to all").unwrap();
        assert!(matches!(sources.given(), Err(PassphraseError::File(_))));
    }

    #[test]
    fn without_a_terminal_the_flag_is_named_and_nothing_is_shown() {
        let fault = Fault::from(PassphraseError::NoTerminal);
        assert!(
            fault
                .hints
                .iter()
                .any(|hint| hint.contains("--passphrase-file"))
        );
        let passphrase = Passphrase::new("canary").unwrap();
        assert!(!format!("{passphrase:?}").contains("canary"));
    }

    #[test]
    fn a_short_new_passphrase_is_refused() {
        let sources = Sources {
            variable: Some(Passphrase::new("short").unwrap()),
            ..Sources::default()
        };
        assert!(matches!(
            sources.obtain(Purpose::Choose),
            Err(PassphraseError::Short)
        ));
        assert!(sources.obtain(Purpose::Unlock).is_ok());
    }
}
