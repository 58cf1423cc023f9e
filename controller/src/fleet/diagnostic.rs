//! An error in a text file, shown as file:line:column with the offending line and a caret under it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How much of a long line is shown around the caret.
const WINDOW: usize = 100;

/// A problem found at a place in the text, before the place is turned into a line and a column.
#[derive(Debug)]
pub(super) struct Problem {
    /// Bytes of the text that are wrong.
    pub(super) span: Range<usize>,
    /// What is wrong, without a period.
    pub(super) what: String,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

/// One error in a file, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Counted from one.
    pub line: usize,
    /// Counted from one, in characters.
    pub column: usize,
    /// What is wrong, without a period.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    excerpt: String,
    caret: Range<usize>,
}

impl Diagnostic {
    /// Finds the place of `problem` in `text`.
    pub(super) fn new(file: &Path, text: &str, problem: Problem) -> Self {
        let Place { line, column, rest } = Place::of(text, problem.span.start);
        let width = text.get(problem.span).map_or(1, |wrong| {
            wrong.lines().next().unwrap_or("").chars().count()
        });
        let start = column - 1;
        let from = start.saturating_sub(WINDOW / 2);
        // A terminal must not act on what a file contains.
        let harmless = |c: char| if c.is_control() { ' ' } else { c };
        let excerpt: String = rest.chars().skip(from).take(WINDOW).map(harmless).collect();
        let start = start - from;
        let end = (start + width.max(1)).min(excerpt.chars().count().max(start + 1));
        Self {
            file: file.to_owned(),
            line,
            column,
            what: problem.what,
            hint: problem.hint,
            excerpt: excerpt.trim_end().to_owned(),
            caret: start..end,
        }
    }

    /// `file:line:column: what`.
    #[must_use]
    pub fn headline(&self) -> String {
        let file = self.file.display();
        format!("{file}:{}:{}: {}", self.line, self.column, self.what)
    }

    /// The offending line with a caret under what is wrong.
    #[must_use]
    pub fn snippet(&self) -> Vec<String> {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(self.caret.start);
        let carets = "^".repeat(self.caret.len());
        vec![
            format!("{margin} |"),
            format!("{number} | {}", self.excerpt),
            format!("{margin} | {indent}{carets}"),
        ]
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for line in self.snippet() {
            write!(f, "\n{line}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Where a byte offset is.
struct Place<'a> {
    line: usize,
    column: usize,
    rest: &'a str,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, offset: usize) -> Self {
        // An offset from a parser may be one past the end; it never lies inside a character.
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let tail = text.get(start..).unwrap_or("");
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(start..).unwrap_or("").chars().count() + 1,
            rest: tail.lines().next().unwrap_or(""),
        }
    }
}

/// The line, counted from one, of a byte offset.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    Place::of(text, offset).line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problem(span: Range<usize>) -> Problem {
        let what = "wrong".to_owned();
        let hint = None;
        Problem { span, what, hint }
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let text = "a = 1\nnäme = \"x\"\n";
        let at = text.find("\"x\"").unwrap();
        let shown = Diagnostic::new(Path::new("f"), text, problem(at..at + 3));
        insta::assert_snapshot!(shown, @r#"
        f:2:8: wrong
          |
        2 | näme = "x"
          |        ^^^
        "#);
    }

    #[test]
    fn a_terminal_sequence_in_the_file_is_not_passed_on() {
        let text = "a = '\u{1b}[31m'";
        let shown = Diagnostic::new(Path::new("f"), text, problem(0..1));
        assert!(!shown.to_string().contains('\u{1b}'));
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_can_be_shown(text in "\\PC{0,300}|[a\n\té]{0,300}", start in 0usize..400, len in 0usize..20) {
            let shown = Diagnostic::new(Path::new("f"), &text, problem(start..start + len));
            prop_assert!(shown.snippet().iter().all(|line| line.chars().count() < WINDOW + 120));
        }
    }
}
