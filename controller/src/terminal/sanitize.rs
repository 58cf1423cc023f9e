//! Makes text from elsewhere harmless: nothing that a container or a host wrote may steer the terminal.

use std::borrow::Cow;

/// Whether a character could move the cursor, change a state of the terminal or reorder what is read.
fn is_harmful(c: char) -> bool {
    if c.is_control() {
        return c != '\t';
    }
    // Marks and overrides of text direction: they make one text look like another.
    matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}

/// The same text with every harmful character made visible; a tab stays.
#[must_use]
pub fn sanitize(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        push(&mut clean, c);
    }
    Cow::Owned(clean)
}

fn push(clean: &mut String, c: char) {
    if !is_harmful(c) {
        clean.push(c);
    } else if let Some(picture) = picture(c) {
        clean.push(picture);
    } else {
        clean.push_str(&format!("<{:x}>", u32::from(c)));
    }
}

/// Unicode's own picture of a C0 control, such as `␛`.
fn picture(c: char) -> Option<char> {
    match u32::from(c) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code),
        0x7f => Some('\u{2421}'),
        _ => None,
    }
}

/// A container's line for a terminal: colours are dropped, a carriage return at the end too, everything
/// else harmful is made visible.
#[must_use]
pub fn sanitize_line(bytes: &[u8]) -> Cow<'_, str> {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => sanitize_coloured(text),
        Cow::Owned(text) => Cow::Owned(sanitize_coloured(&text).into_owned()),
    }
}

fn sanitize_coloured(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return sanitize(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        clean.push_str(&sanitize(before));
        match after_colour(after) {
            Some(following) => rest = following,
            None => {
                clean.push('\u{241b}');
                rest = after;
            }
        }
    }
    clean.push_str(&sanitize(rest));
    Cow::Owned(clean)
}

/// What follows a colour sequence (`[1;31m`) at the start of the text.
fn after_colour(text: &str) -> Option<&str> {
    let body = text.strip_prefix('[')?;
    let numbers = |c: char| c.is_ascii_digit() || c == ';' || c == ':';
    body.trim_start_matches(numbers).strip_prefix('m')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn harmless(text: &str) -> bool {
        !text.chars().any(is_harmful)
    }

    proptest! {
        #[test]
        fn nothing_harmful_survives(text in "\\PC{0,20}[\\x00-\\x20\\x7f-\\xa0\u{200e}-\u{2070}\u{61c}]{0,20}\\PC{0,20}") {
            prop_assert!(harmless(&sanitize(&text)));
        }

        #[test]
        fn no_escape_survives_in_a_line(bytes: Vec<u8>, tail in "(\x1b\\[?[0-9;]{0,4}[a-zA-Z]?){0,5}") {
            let mut line = bytes;
            line.extend(tail.as_bytes());
            prop_assert!(harmless(&sanitize_line(&line)));
        }

        #[test]
        fn plain_text_is_not_copied(text in "[a-zA-Z0-9 \té→✓]{0,40}") {
            prop_assert!(matches!(sanitize(&text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_was_there_stays_visible() {
        assert_eq!(
            sanitize("a\x1b[2Jb\x07\tc\u{202e}d\u{9b}"),
            "a␛[2Jb␇\tc<202e>d<9b>"
        );
    }

    #[test]
    fn colours_of_a_container_are_dropped_and_nothing_else() {
        assert_eq!(sanitize_line(b"\x1b[1;31mred\x1b[0m \x1b[2J\r"), "red ␛[2J");
        assert_eq!(sanitize_line(b"caf\xc3\xa9 \xff"), "café \u{fffd}");
    }
}
