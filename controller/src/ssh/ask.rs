//! What ssh has to ask a person, asked on the terminal.

use proto::fault::{Fault, FaultKind};
use zeroize::Zeroizing;

use super::{Ask, UnknownKey};
use crate::terminal::Terminal;

/// Questions go to the terminal; without one nobody is asked.
pub struct AtTerminal(Terminal);

impl AtTerminal {
    /// On this terminal.
    #[must_use]
    pub fn new(terminal: &Terminal) -> Self {
        Self(terminal.clone())
    }
}

impl Ask for AtTerminal {
    fn host_key(&self, key: &UnknownKey) -> bool {
        if !self.0.is_attended() {
            return false;
        }
        let UnknownKey {
            host,
            algorithm,
            fingerprint,
        } = key;
        let line = format!("the key of {host} is not known: {algorithm} {fingerprint}");
        self.0.note(line);
        let question = format!("Is that the key of {host}?");
        self.0.confirm(&question, "--host-key").unwrap_or(false)
    }

    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, Fault> {
        if self.0.is_attended() {
            return self.0.secret(prompt, "");
        }
        let what = "there is no terminal to ask on";
        Err(Fault::new(FaultKind::InvalidRequest, what)
            .hint("add the key to ssh-agent with ssh-add"))
    }
}
