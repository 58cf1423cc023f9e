//! Which variables a Compose file refers to, by its letters alone: enough to tell a person, never to decide.

use std::collections::BTreeSet;

/// Names behind `$` in `text`, defaults within defaults included. `$$` is Compose's way to write a plain one, and a
/// line that is all comment refers to nothing.
pub(super) fn references(text: &[u8]) -> BTreeSet<String> {
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii_start().starts_with(b"#"));
    lines.flat_map(in_line).collect()
}

fn in_line(line: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        rest = rest.get(at + 1..).unwrap_or_default();
        rest = match rest {
            [b'$', after @ ..] => after,
            [b'{', after @ ..] => take_name(after, &mut names),
            after => take_name(after, &mut names),
        };
    }
    names
}

/// Takes the name that `text` starts with, if any, and gives what follows it.
fn take_name<'t>(text: &'t [u8], names: &mut Vec<String>) -> &'t [u8] {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if text.first().is_none_or(u8::is_ascii_digit) {
        return text;
    }
    let end = text.iter().position(|byte| !part(byte));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    if let Ok(name) = str::from_utf8(name)
        && !name.is_empty()
    {
        names.push(name.to_owned());
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        references(text.as_bytes()).into_iter().collect()
    }

    #[test]
    fn references_are_found_however_they_are_written() {
        for (text, names) in [
            ("image: ${REPO}/web:$TAG", vec!["REPO", "TAG"]),
            (
                "a: ${A:-${B-$C}}${D:?E $F}${G+H}",
                vec!["A", "B", "C", "D", "F", "G"],
            ),
            ("a: \"$A$B\"\nb: '${A}'", vec!["A", "B"]),
            ("a: $$A $${B} $$$C $$$$D", vec!["C"]),
            ("a: ${A:-$$B}", vec!["A"]),
            ("  # image: $A\n#$B\nc: $C # not $D", vec!["C", "D"]),
            ("a: $1 ${2} $ ${ ${} $-A é$É $_x9", vec!["_x9"]),
            ("a: $", vec![]),
            ("a: ${A", vec!["A"]),
        ] {
            assert_eq!(found(text), names, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            for name in references(&text) {
                prop_assert!(String::from_utf8_lossy(&text).contains(&name));
            }
        }

        #[test]
        fn only_what_stands_behind_a_dollar_is_a_reference(text in "[ab${}:\\-# \n]{0,60}") {
            for name in references(text.as_bytes()) {
                let written = [format!("${name}"), format!("${{{name}")];
                prop_assert!(written.iter().any(|written| text.contains(written)));
            }
        }

        #[test]
        fn a_text_with_every_dollar_escaped_refers_to_nothing(text in "\\PC{0,80}") {
            prop_assert_eq!(found(&text.replace('$', "$$")), Vec::<String>::new());
        }

        #[test]
        fn nested_defaults_are_found_to_any_depth(names in proptest::collection::btree_set("[A-Z_][A-Z0-9_]{0,8}", 1..30)) {
            let text = names.iter().fold(String::new(), |inner, name| format!("${{{name}:-{inner}}}"));
            prop_assert_eq!(references(text.as_bytes()), names);
        }
    }
}
