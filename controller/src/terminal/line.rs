//! A line of output made of toned pieces. Every piece is made harmless as it comes in, so that a line can
//! carry text from anywhere; colour is added on the way out and never carries meaning of its own.

use std::fmt;

use super::sanitize;

/// How a piece looks where colour is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As the terminal writes.
    Plain,
    /// Stands out.
    Strong,
    /// Steps back.
    Faint,
    /// Went well.
    Good,
    /// Wants attention.
    Warn,
    /// Went wrong.
    Bad,
    /// Is going on.
    Busy,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Faint => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Busy => "\x1b[36m",
        }
    }
}

/// One line, without its newline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    parts: Vec<(Tone, String)>,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The line with a plain piece added.
    #[must_use]
    pub fn text(self, text: impl AsRef<str>) -> Self {
        self.toned(Tone::Plain, text)
    }

    /// The line with a piece added.
    #[must_use]
    pub fn toned(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        let text = sanitize(text.as_ref());
        if !text.is_empty() {
            self.parts.push((tone, text.into_owned()));
        }
        self
    }

    /// The line with another one behind it.
    #[must_use]
    pub fn append(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// The line with blanks up to a column; nothing when it is already longer.
    #[must_use]
    pub fn pad_to(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        self.text(" ".repeat(missing))
    }

    /// Characters in it.
    #[must_use]
    pub fn width(&self) -> usize {
        self.parts
            .iter()
            .map(|(_, text)| text.chars().count())
            .sum()
    }

    /// The line without what exceeds a width; an ellipsis marks the cut.
    #[must_use]
    pub fn cut(mut self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut room = width.saturating_sub(1);
        for (_, text) in &mut self.parts {
            let kept: String = text.chars().take(room).collect();
            room -= kept.chars().count();
            *text = kept;
        }
        self.parts.retain(|(_, text)| !text.is_empty());
        self.text("…")
    }

    /// The text, coloured or not, without blanks at its end.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for (tone, text) in &self.parts {
            if colour && *tone != Tone::Plain {
                out.push_str(tone.code());
                out.push_str(text);
                out.push_str("\x1b[0m");
            } else {
                out.push_str(text);
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self::new().text(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self::new().text(text)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_piece_can_bring_an_escape(text in "[\\x00-\\x7f]{0,30}") {
            let line = Line::new().toned(Tone::Good, &text).text(&text);
            prop_assert!(!line.render(false).chars().any(|c| c.is_control() && c != '\t'));
        }

        #[test]
        fn a_cut_line_fits(text in "\\PC{0,40}", width in 1_usize..30) {
            let line = Line::new().text("ab").toned(Tone::Bad, &text).cut(width);
            prop_assert!(line.width() <= width);
        }
    }

    #[test]
    fn colour_only_wraps_the_same_text() {
        let line = Line::new().text("web  ").toned(Tone::Good, "healthy");
        assert_eq!(line.render(false), "web  healthy");
        assert_eq!(line.render(true), "web  \x1b[32mhealthy\x1b[0m");
    }
}
