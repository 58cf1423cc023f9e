//! Escapes and `${…}` references inside a `.env` value.

use proto::limits::VALUE_BYTES;

/// Deeper than anyone writes; keeps a hostile file from exhausting the stack.
const DEPTH: usize = 16;
const TOO_LONG: &str = "is longer than 131072 bytes, the most an environment takes";
const BAD: &str = "has a `$` that begins no reference; a plain one is written `$$`";

/// Undoes the escapes of a double-quoted value; `\$` becomes `$$`, which [`expand`] reads as one `$`.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        let known = match chars.next() {
            Some('a') => Some("\u{7}"),
            Some('b') => Some("\u{8}"),
            Some('f') => Some("\u{c}"),
            Some('n') => Some("\n"),
            Some('r') => Some("\r"),
            Some('t') => Some("\t"),
            Some('v') => Some("\u{b}"),
            Some('"') => Some("\""),
            Some('\\') => Some("\\"),
            Some('$') => Some("$$"),
            _ => None,
        };
        rest = if let Some(known) = known {
            out.push_str(known);
            chars.as_str()
        } else if let Some((octal, rest)) = octal(after) {
            out.push(octal);
            rest
        } else {
            out.push('\\');
            after
        };
    }
    out.push_str(rest);
    out
}

/// `0` and three octal digits.
fn octal(text: &str) -> Option<(char, &str)> {
    let (digits, rest) = text.strip_prefix('0')?.split_at_checked(3)?;
    let octal = digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    let code = u8::from_str_radix(digits, 8).ok()?;
    octal.then_some((char::from(code), rest))
}

/// `text` with every reference replaced by what `lookup` says; an unset one is empty.
pub(crate) fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, &'static str> {
    expand_at(text, lookup, 0)
}

fn expand_at(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, &'static str> {
    if depth > DEPTH {
        return Err("has references nested too deep");
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        // A few lines that each say the one before twice would fill the memory.
        if out.len() > VALUE_BYTES {
            return Err(TOO_LONG);
        }
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let (inside, after) = braced(after).ok_or(BAD)?;
            out.push_str(&reference(inside, lookup, depth)?);
            rest = after;
        } else {
            let (name, after) = name(after).ok_or(BAD)?;
            out.push_str(&lookup(name).unwrap_or_default());
            rest = after;
        }
    }
    out.push_str(rest);
    if out.len() > VALUE_BYTES {
        return Err(TOO_LONG);
    }
    Ok(out)
}

/// The inside of `${…}`.
fn reference(
    inside: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, &'static str> {
    let (name, rest) = name(inside).ok_or(BAD)?;
    let value = lookup(name);
    if rest.is_empty() {
        return Ok(value.unwrap_or_default());
    }
    // With a colon, an empty value counts as unset.
    let (value, rest) = match rest.strip_prefix(':') {
        Some(rest) => (value.filter(|value| !value.is_empty()), rest),
        None => (value, rest),
    };
    let word = |word: &str| expand_at(word, lookup, depth + 1);
    if let Some(default) = rest.strip_prefix('-') {
        value.map_or_else(|| word(default), Ok)
    } else if rest.starts_with('?') {
        value.ok_or("refers to a variable that must be set, and is not")
    } else if let Some(instead) = rest.strip_prefix('+') {
        value.map_or_else(|| Ok(String::new()), |_| word(instead))
    } else {
        Err(BAD)
    }
}

/// The name at the start of `text`, and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(letter) {
        return None;
    }
    let end = text.find(|c: char| !letter(c) && !c.is_ascii_digit());
    text.split_at_checked(end.unwrap_or(text.len()))
}

/// Up to the brace that closes one already open, and what follows it.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut open = 1usize;
    let mut before = '\0';
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == '$' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            let (inside, rest) = text.split_at_checked(at)?;
            return Some((inside, rest.strip_prefix('}')?));
        }
        before = c;
    }
    None
}
