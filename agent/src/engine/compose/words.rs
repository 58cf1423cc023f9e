//! What Compose says on standard error: log lines and plain ones; and the lists that it prints.

use std::collections::{BTreeMap, BTreeSet};

use proto::id::ServiceName;

/// The warnings of a run that went well.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Variables that nothing defines, sorted.
    pub(super) undefined: Vec<String>,
    /// Everything else, each once, in order.
    pub(super) warnings: Vec<String>,
}

/// Sorts the lines of a run into what it warns of. Compose repeats itself; this does not.
pub(super) fn read(lines: &[String]) -> Words {
    let mut undefined = BTreeSet::new();
    let mut warnings = Vec::new();
    for text in plain(lines) {
        if let Some(name) = undefined_name(&text) {
            undefined.insert(name.to_owned());
        } else {
            warnings.push(text);
        }
    }
    Words {
        undefined: undefined.into_iter().collect(),
        warnings,
    }
}

/// `config --hash`: a service and its hash on each line.
pub(super) fn hashes(printed: &[u8]) -> Option<BTreeMap<ServiceName, String>> {
    let lines = std::str::from_utf8(printed).ok()?.lines();
    let lines = lines.filter(|line| !line.trim().is_empty());
    let hash = |line: &str| {
        let (service, hash) = line.split_once(' ')?;
        Some((service.parse().ok()?, hash.trim().to_owned()))
    };
    lines.map(hash).collect()
}

/// The lines without log prefixes, blank lines and repetitions.
pub(super) fn plain(lines: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let texts = lines
        .iter()
        .map(|line| message(line).unwrap_or_else(|| line.clone()));
    texts
        .filter(|text| !text.trim().is_empty() && seen.insert(text.clone()))
        .collect()
}

fn undefined_name(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("The \"")?;
    let (name, rest) = rest.split_once('"')?;
    rest.starts_with(" variable is not set").then_some(name)
}

/// The message of a log line: `time="…" level=warning msg="…"`.
fn message(line: &str) -> Option<String> {
    if !line.starts_with("time=") {
        return None;
    }
    let (_, rest) = line.split_once(" msg=")?;
    match rest.strip_prefix('"') {
        Some(quoted) => Some(unquote(quoted)),
        None => Some(rest.split(' ').next().unwrap_or(rest).to_owned()),
    }
}

/// Undoes Go's quoting up to the closing quote.
fn unquote(quoted: &str) -> String {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('x') => text.push(scalar(&mut chars, 2)),
                Some('u') => text.push(scalar(&mut chars, 4)),
                Some('U') => text.push(scalar(&mut chars, 8)),
                Some(other) => text.push(other),
                None => break,
            },
            c => text.push(c),
        }
    }
    text
}

fn scalar(chars: &mut std::str::Chars<'_>, digits: usize) -> char {
    let hex: String = chars.by_ref().take(digits).collect();
    let number = u32::from_str_radix(&hex, 16).ok();
    number
        .and_then(char::from_u32)
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn undefined_variables_are_told_from_other_warnings() {
        // As printed by 2.26.1.
        let said = lines(
            r#"time="2026-11-21T04:56:16Z" level=warning msg="/t/compose.yml: the attribute `version` is obsolete"
time="2026-11-21T04:57:09Z" level=warning msg="The \"TAG\" variable is not set. Defaulting to a blank string."
time="2026-11-21T04:57:09Z" level=warning msg="The \"BLANK\" variable is not set. Defaulting to a blank string."
time="2026-11-21T04:57:09Z" level=warning msg="The \"BLANK\" variable is not set. Defaulting to a blank string.""#,
        );
        let words = read(&said);
        assert_eq!(words.undefined, ["BLANK", "TAG"]);
        assert_eq!(
            words.warnings,
            ["/t/compose.yml: the attribute `version` is obsolete"]
        );
    }

    #[test]
    fn a_hash_is_read_for_each_service() {
        let read = hashes(b"db 7edc44\nweb.a 2dee6b\n").unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|(name, hash)| (name.as_str(), hash.as_str()))
            .collect();
        assert_eq!(read, [("db", "7edc44"), ("web.a", "2dee6b")]);
        assert_eq!(hashes(b""), Some(BTreeMap::new()));
        for odd in [&b"db"[..], b"../db 7edc44", b"\xff 1"] {
            assert_eq!(hashes(odd), None);
        }
    }

    #[test]
    fn errors_keep_their_own_words() {
        let said = lines(
            "time=\"2026-11-21T04:57:09Z\" level=warning msg=\"The \\\"R\\\" variable is not set.\"\n\n\
             validating /t/bad.yml: services.a Additional property foo is not allowed",
        );
        assert_eq!(
            plain(&said),
            [
                "The \"R\" variable is not set.",
                "validating /t/bad.yml: services.a Additional property foo is not allowed"
            ]
        );
    }

    #[test]
    fn quoting_is_undone() {
        for (quoted, text) in [
            (r#"a\tb\nc" extra=1"#, "a\tb\nc"),
            (r#"\u00e9\x41\U0001F600""#, "éA😀"),
            (r#"\uD800\xZZ"#, "\u{fffd}\u{fffd}"),
            (r"cut\", "cut"),
        ] {
            assert_eq!(unquote(quoted), text);
        }
        assert_eq!(
            message("time=1 level=info msg=bare more=x").as_deref(),
            Some("bare")
        );
    }

    proptest! {
        #[test]
        fn no_line_breaks_it(line in ".{0,200}", tail in r#"[\\"a-z ]{0,40}"#) {
            let log = format!("time=\"x\" level=warning msg=\"{tail}");
            read(&[line, log]);
        }
    }
}
