//! Follows a record from its first kept entry to its last, and tells where it is not what was written.

use super::line::open;
use super::{Entry, Fact, Head};
use crate::id::AuditHash;

/// Places told of at most; one is enough to trust nothing behind it.
const MOST_BREAKS: usize = 16;

/// A place where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// Number of the last entry before it; 0 for the beginning.
    pub after: u64,
    /// What is wrong there.
    pub why: String,
}

/// How a record compares with the head that somebody saw earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// Nobody had seen one.
    Nothing,
    /// The entry is there, and the same.
    Same(Head),
    /// The entry is no longer kept, and the record says so.
    Dropped(Head),
    /// Another entry stands there.
    Other(Head),
    /// The record ends before it.
    Shorter(Head),
}

/// What there is to say of a whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Number of the first entry that is kept; 0 when there is none.
    pub first: u64,
    /// The newest entry.
    pub head: Head,
    /// How many entries are sound by themselves.
    pub entries: u64,
    /// Where it is broken, in order; empty when it is not.
    pub breaks: Vec<Break>,
    /// Against what was seen earlier.
    pub compared: Compared,
}

impl Verdict {
    /// Whether nothing was changed, removed, reordered or cut off, as far as can be seen.
    #[must_use]
    pub fn holds(&self) -> bool {
        let fits = !matches!(self.compared, Compared::Other(_) | Compared::Shorter(_));
        self.breaks.is_empty() && fits
    }
}

/// Takes a record in line by line.
#[derive(Debug, Clone)]
pub struct Chain {
    first: u64,
    head: Head,
    entries: u64,
    dropped: u64,
    breaks: Vec<Break>,
    /// Behind a line that is no entry the next one is taken as it is.
    lost: bool,
    seen: Option<Head>,
    found: Option<AuditHash>,
}

impl Chain {
    /// Before the first line; `seen` is the newest head that is remembered from earlier.
    #[must_use]
    pub fn new(seen: Option<Head>) -> Self {
        Self {
            first: 0,
            head: Head::NONE,
            entries: 0,
            dropped: 0,
            breaks: Vec::new(),
            lost: false,
            seen,
            found: None,
        }
    }

    /// The newest sound entry so far.
    #[must_use]
    pub fn head(&self) -> Head {
        self.head
    }

    /// Number of the last entry that the record itself says is no longer kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the next line, without its newline; gives back the entry when it is sound by itself.
    pub fn take(&mut self, line: &[u8]) -> Option<Entry> {
        let sealed = match open(line) {
            Ok(sealed) => sealed,
            Err(bad) => {
                let after = self.head.number;
                let what = format!("the entry after {after} {bad}");
                self.note(what);
                self.lost = true;
                return None;
            }
        };
        let entry = sealed.entry;
        if !std::mem::take(&mut self.lost) {
            self.check(&entry);
        }
        if self.entries == 0 {
            self.first = entry.number;
        }
        if let Fact::File { dropped } = entry.fact {
            self.dropped = self.dropped.max(dropped);
        }
        self.entries += 1;
        self.head = Head {
            number: entry.number,
            hash: sealed.hash,
        };
        if self.seen.is_some_and(|seen| seen.number == entry.number) {
            self.found = Some(sealed.hash);
        }
        Some(entry)
    }

    /// Whether an entry follows the one before it.
    fn check(&mut self, entry: &Entry) {
        let (last, number) = (self.head.number, entry.number);
        if self.entries == 0 {
            let begins = number == 1 && entry.previous == Head::NONE.hash;
            let goes_on = number > 1 && matches!(entry.fact, Fact::File { .. });
            if !begins && !goes_on {
                self.note(format!(
                    "it begins in the middle, at entry {number}: what stood before was removed"
                ));
            }
        } else if number <= last {
            self.note(format!("entry {number} stands behind entry {last}"));
        } else if number > last + 1 {
            self.note(match (last + 1, number - 1) {
                (from, to) if from == to => format!("entry {from} is missing"),
                (from, to) => format!("entries {from} to {to} are missing"),
            });
        } else if entry.previous != self.head.hash {
            self.note(format!(
                "entry {number} was made behind another entry {last} than the one that stands there"
            ));
        }
    }

    fn note(&mut self, why: String) {
        if self.breaks.len() < MOST_BREAKS {
            let after = self.head.number;
            self.breaks.push(Break { after, why });
        }
    }

    /// What there is to say behind the last line.
    #[must_use]
    pub fn finish(mut self) -> Verdict {
        let gone = self.first.saturating_sub(1);
        // A record without its oldest file says itself that it was dropped.
        let told = self.breaks.first().is_some_and(|it| it.after == 0);
        if gone > self.dropped && !told {
            let why = format!("entries 1 to {gone} are gone, and no entry says that they went");
            self.breaks.insert(0, Break { after: 0, why });
        }
        Verdict {
            first: self.first,
            head: self.head,
            entries: self.entries,
            compared: self.compared(),
            breaks: self.breaks,
        }
    }

    fn compared(&self) -> Compared {
        let Some(seen) = self.seen.filter(|seen| seen.number > 0) else {
            return Compared::Nothing;
        };
        match self.found {
            Some(hash) if hash == seen.hash => Compared::Same(seen),
            Some(_) => Compared::Other(seen),
            None if seen.number > self.head.number => Compared::Shorter(seen),
            None if seen.number <= self.dropped => Compared::Dropped(seen),
            // It stands in a gap, which is told as a break.
            None => Compared::Other(seen),
        }
    }
}
