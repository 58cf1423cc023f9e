//! What this workstation remembers of a host's audit record: the newest head it was told. A record that went back, or
//! that says something else where it was read before, was cut, edited or restored, and that is told loudly.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::audit::Head;
use proto::id::HostName;

use crate::private;
use crate::terminal::{Line, Terminal, Tone};

/// The memory of one host.
pub struct Heads {
    path: PathBuf,
    host: HostName,
    terminal: Terminal,
    known: Mutex<Known>,
}

struct Known {
    /// As it was remembered before this command.
    first: Option<Head>,
    newest: Option<Head>,
    told: bool,
}

impl Heads {
    /// What is remembered in the file `path`; one that is missing or damaged is as good as none.
    #[must_use]
    pub fn load(path: &Path, host: &HostName, terminal: &Terminal) -> Self {
        let text = private::read(path).ok();
        let first = text.and_then(|text| text.trim().parse().ok());
        let known = Known {
            first,
            newest: first,
            told: false,
        };
        Self {
            path: path.to_owned(),
            host: host.clone(),
            terminal: terminal.clone(),
            known: Mutex::new(known),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was remembered before this command.
    #[must_use]
    pub fn remembered(&self) -> Option<Head> {
        self.known().first
    }

    /// The newest head that is known; to be asked for before a call is made.
    #[must_use]
    pub fn newest(&self) -> Option<Head> {
        self.known().newest
    }

    /// Takes the head of an answer. `before` was the newest when the call was made: answers may overtake each other,
    /// and none may be older than what was known before its question.
    pub fn told(&self, before: Option<Head>, head: Head) {
        let mut known = self.known();
        if let Some(why) = before.and_then(|before| contradiction(before, head)) {
            if !std::mem::replace(&mut known.told, true) {
                self.warn(&why);
            }
            return;
        }
        if known
            .newest
            .is_none_or(|newest| newest.number < head.number)
        {
            known.newest = Some(head);
            self.remember(head);
        }
    }

    /// Forgets what was remembered, and takes `head` as it is.
    pub fn accept(&self, head: Head) {
        let mut known = self.known();
        known.newest = Some(head);
        self.remember(head);
    }

    fn warn(&self, why: &str) {
        let host = &self.host;
        let hint = |text: String| Line::new().toned(Tone::Busy, "hint: ").text(text);
        self.terminal
            .note(Line::new().toned(Tone::Bad, "warning: ").text(format!(
                "the audit record of {host} {why}: it was cut or the host was restored"
            )));
        self.terminal
            .note(hint(format!("look at it: controller audit {host}")));
        self.terminal.note(hint(format!(
            "if it is meant to be so: controller audit {host} --accept"
        )));
    }

    /// A memory that cannot be kept must not stop the command.
    fn remember(&self, head: Head) {
        let kept = self.path.parent().map_or(Ok(()), private::create_folder);
        let kept = kept.and_then(|()| private::write_soon(&self.path, &format!("{head}\n")));
        if let Err(error) = kept {
            tracing::warn!(%error, "the head of the audit record is not remembered");
        }
    }
}

/// What is wrong with a head that was told after another one.
fn contradiction(before: Head, head: Head) -> Option<String> {
    if head.number < before.number {
        return Some(format!(
            "went back from {} to {}",
            before.number, head.number
        ));
    }
    let other = head.number == before.number && head.hash != before.hash;
    other.then(|| format!("has another entry {} than it had", head.number))
}

#[cfg(test)]
mod tests {
    use proto::id::AuditHash;

    use super::*;
    use crate::terminal::Look;
    use crate::terminal::capture::Capture;

    fn head(number: u64, hash: u8) -> Head {
        Head {
            number,
            hash: AuditHash::from_bytes([hash; 32]),
        }
    }

    fn load(path: &Path, capture: &Capture) -> Heads {
        let host = "emilia".parse().unwrap();
        Heads::load(path, &host, &capture.terminal(Look::default()))
    }

    #[test]
    fn the_newest_is_remembered_and_what_goes_back_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heads/emilia");
        let capture = Capture::new("");
        let heads = load(&path, &capture);
        assert_eq!(heads.newest(), None);
        heads.told(None, head(41, 1));
        heads.told(heads.newest(), head(41, 1));
        assert_eq!(capture.err(), "");
        let heads = load(&path, &capture);
        assert_eq!(heads.remembered(), Some(head(41, 1)));
        heads.told(heads.newest(), head(17, 2));
        heads.told(heads.newest(), head(17, 2));
        insta::assert_snapshot!(capture.err(), @r"
        warning: the audit record of emilia went back from 41 to 17: it was cut or the host was restored
        hint: look at it: controller audit emilia
        hint: if it is meant to be so: controller audit emilia --accept
        ");
        assert_eq!(load(&path, &capture).remembered(), Some(head(41, 1)));
        heads.accept(head(17, 2));
        assert_eq!(load(&path, &capture).remembered(), Some(head(17, 2)));
    }

    #[test]
    fn the_same_number_with_another_hash_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let capture = Capture::new("");
        let heads = load(&folder.path().join("emilia"), &capture);
        heads.told(None, head(41, 1));
        heads.told(heads.newest(), head(41, 2));
        let told = capture.err();
        assert!(told.contains("has another entry 41 than it had"), "{told}");
    }

    #[test]
    fn answers_may_overtake_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let capture = Capture::new("");
        let heads = load(&folder.path().join("emilia"), &capture);
        heads.told(None, head(40, 1));
        let before = heads.newest();
        heads.told(before, head(42, 3));
        heads.told(before, head(41, 2));
        assert_eq!(
            (capture.err().as_str(), heads.newest()),
            ("", Some(head(42, 3)))
        );
    }

    #[test]
    fn a_damaged_memory_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("emilia");
        std::fs::write(&path, "41-beef\n").unwrap();
        assert_eq!(load(&path, &Capture::new("")).remembered(), None);
    }
}
