//! Bytes of a command, cut into lines of bounded length.

use std::collections::VecDeque;

/// Bytes of one line; a longer one comes in pieces.
const LINE: usize = 4096;
/// Last lines that are kept for whoever asks what went wrong.
const KEPT: usize = 20;

/// One output under way.
#[derive(Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that are whole by now.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LINE) {
                self.begun.extend_from_slice(part);
                if part.ends_with(b"\n") || self.begun.len() >= LINE {
                    found.extend(self.rest());
                }
            }
        }
        found
    }

    /// What has no end yet.
    pub(super) fn rest(&mut self) -> Option<String> {
        if self.begun.is_empty() {
            return None;
        }
        let line = std::mem::take(&mut self.begun);
        let text = String::from_utf8_lossy(&line);
        Some(text.trim_end_matches(['\n', '\r']).to_owned())
    }
}

/// The last lines, oldest first.
#[derive(Default)]
pub(super) struct Tail(VecDeque<String>);

impl Tail {
    pub(super) fn push(&mut self, line: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cut_gives_the_same_lines(text in "[a-z\n]{0,200}", cut in 1_usize..20) {
            let mut lines = Lines::default();
            let mut found: Vec<String> = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                found.extend(lines.take(piece));
            }
            found.extend(lines.rest());
            let wanted: Vec<&str> = text.lines().collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn no_line_is_long(bytes in prop::collection::vec(b'a'..=b'b', 0..20_000)) {
            let mut lines = Lines::default();
            for line in lines.take(&bytes) {
                prop_assert!(line.len() <= LINE);
            }
        }
    }
}
