//! A line of an ssh configuration: its keyword, and its arguments with their quotes taken off.

/// `Keyword argument "another one"` or `Keyword=argument`; the keyword comes in lower case.
///
/// # Errors
/// With what is wrong with the line. `Ok(None)` is a line that says nothing.
pub(super) fn split(line: &str) -> Result<Option<(String, Vec<String>)>, &'static str> {
    let line = line.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0c');
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let blank = |c: char| c.is_ascii_whitespace();
    let (keyword, rest) = match line.find(|c| blank(c) || c == '=') {
        Some(end) => line.split_at(end),
        None => (line, ""),
    };
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok(Some((keyword.to_ascii_lowercase(), arguments(rest)?)))
}

fn arguments(text: &str) -> Result<Vec<String>, &'static str> {
    let mut all = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(char::is_ascii_whitespace).is_some() {}
        match rest.peek() {
            // A comment may follow the arguments.
            None | Some('#') => return Ok(all),
            Some(_) => all.push(argument(&mut rest)?),
        }
    }
}

fn argument(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, &'static str> {
    let mut word = String::new();
    let mut quote = None;
    while let Some(&c) = rest.peek() {
        if quote.is_none() && c.is_ascii_whitespace() {
            break;
        }
        rest.next();
        match c {
            '\\' => {
                let taken = rest
                    .next_if(|&c| matches!(c, '\\' | '"' | '\'') || quote.is_none() && c == ' ');
                word.push(taken.unwrap_or('\\'));
            }
            _ if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            _ => word.push(c),
        }
    }
    if quote.is_some() {
        return Err("has a quote that is never closed");
    }
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_as_openssh_does() {
        for (line, keyword, expected) in [
            ("Host a b", "host", vec!["a", "b"]),
            ("  Port=22  ", "port", vec!["22"]),
            ("Port = 22\r", "port", vec!["22"]),
            (
                "IdentityFile \"/a b/c\" # mine",
                "identityfile",
                vec!["/a b/c"],
            ),
            ("IdentityFile '/a \"b'x", "identityfile", vec!["/a \"bx"]),
            (r"User a\ b\\c", "user", vec![r"a b\c"]),
            ("User", "user", vec![]),
        ] {
            let (found, arguments) = split(line).unwrap().unwrap();
            assert_eq!(
                (found.as_str(), arguments),
                (keyword, expected.iter().map(|&a| a.to_owned()).collect())
            );
        }
        assert!(split("# Host a").unwrap().is_none());
        assert!(split(" \t ").unwrap().is_none());
        assert!(split("User \"a").is_err());
    }
}
