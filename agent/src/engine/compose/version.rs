//! Which Compose this is, and whether we can drive it.

use proto::compose::{OLDEST, numbers};

use crate::engine::EngineError;

/// What `version --short` said, without a leading `v`, when it is new enough.
pub(super) fn usable(output: &str) -> Result<String, EngineError> {
    // Some say it in a sentence whatever they are asked.
    let words = output.split_whitespace().map(|word| {
        let word = word.trim_end_matches(',');
        word.strip_prefix('v').unwrap_or(word)
    });
    let mut versions = words.filter_map(|word| numbers(word).map(|version| (word, version)));
    match versions.next() {
        Some((text, version)) if version >= OLDEST => Ok(text.to_owned()),
        Some((text, _)) => Err(EngineError::ComposeTooOld(text.to_owned())),
        None => Err(EngineError::ComposeUnclear(
            output.trim().chars().take(80).collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_as_they_are_spelt() {
        for (output, version) in [
            ("2.26.1-4\n", "2.26.1-4"),
            ("v2.26.0\n", "2.26.0"),
            ("2.27.0-desktop.2\n", "2.27.0-desktop.2"),
            ("2.40.3+ds1-0ubuntu1\n", "2.40.3+ds1-0ubuntu1"),
            ("Docker Compose version v2.40.3\n", "2.40.3"),
            ("5.0.0\n", "5.0.0"),
            ("v5.5.0", "5.5.0"),
        ] {
            assert_eq!(usable(output).unwrap(), version);
        }
    }

    #[test]
    fn old_ones_are_refused_by_name() {
        for (output, version) in [
            ("1.29.2\n", "1.29.2"),
            ("1.29.2, build unknown\n", "1.29.2"),
            ("docker-compose version 1.29.2, build 5becea4c\n", "1.29.2"),
            ("2.25.0\n", "2.25.0"),
            ("2.2.3", "2.2.3"),
        ] {
            let error = usable(output).unwrap_err();
            assert!(
                matches!(&error, EngineError::ComposeTooOld(old) if old == version),
                "{error:?}"
            );
        }
    }

    #[test]
    fn nonsense_is_not_a_version() {
        for output in ["", "dev", "2", "two.point", "99999999999.1"] {
            assert!(matches!(
                usable(output),
                Err(EngineError::ComposeUnclear(_))
            ));
        }
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it(output in ".{0,60}") {
            usable(&output).ok();
        }
    }
}
