//! Patterns as OpenSSH writes them: `*`, `?`, lists with commas and `!` for "but not".

/// Whether `text` fits `pattern`, in which `*` stands for anything and `?` for one byte.
pub(super) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: one byte further.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || text.get(t) == Some(&byte) => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&byte| byte == b'*')
}

/// Whether `text` fits one of `patterns` and none that begins with `!`.
pub(super) fn fits_any<'a>(patterns: impl IntoIterator<Item = &'a [u8]>, text: &[u8]) -> bool {
    let mut fitting = false;
    for pattern in patterns {
        match pattern.strip_prefix(b"!") {
            Some(pattern) if fits(pattern, text) => return false,
            Some(_) => {}
            None => fitting |= fits(pattern, text),
        }
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_should() {
        for (pattern, text, fitting) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("?", "", false),
            ("a?c", "abc", true),
            ("*.example.org", "emilia.example.org", true),
            ("*.example.org", "example.org", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("a*a", "a", false),
        ] {
            let found = fits(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, fitting, "{pattern} {text}");
        }
    }

    #[test]
    fn one_negation_outweighs_every_other_pattern() {
        let list: [&[u8]; 2] = [b"*.example.org", b"!bad.example.org"];
        assert!(fits_any(list, b"good.example.org"));
        assert!(!fits_any(list, b"bad.example.org"));
        assert!(
            !fits_any([b"!x".as_slice()], b"y"),
            "a negation alone chooses nobody"
        );
    }
}
