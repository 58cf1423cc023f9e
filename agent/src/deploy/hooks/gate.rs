//! What a gate makes of the last number that its command printed.

use proto::hook::Gate;

/// Characters of a number that is shown; what is longer is none that anybody compares with.
const LONGEST: usize = 40;

/// The last number in a text, as it is written there.
pub(super) fn last_number(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let mut start = end;
    while start > 0 && digit(start - 1) {
        start -= 1;
    }
    if start >= 2 && bytes.get(start - 1) == Some(&b'.') && digit(start - 2) {
        start -= 1;
        while start > 0 && digit(start - 1) {
            start -= 1;
        }
    }
    // A dash between digits is one of a date.
    if start > 0 && bytes.get(start - 1) == Some(&b'-') && (start < 2 || !digit(start - 2)) {
        start -= 1;
    }
    let number = text.get(start..end)?;
    (number.len() <= LONGEST).then(|| number.to_owned())
}

/// Why a number refuses; `None` when it does not.
pub(super) fn refusal(gate: Gate, number: Option<&str>) -> Option<String> {
    let Gate { at_least, at_most } = gate;
    if at_least.is_none() && at_most.is_none() {
        return None;
    }
    let Some(value) = number.and_then(|number| number.parse::<f64>().ok()) else {
        return Some("it printed no number".to_owned());
    };
    let shown = number.unwrap_or_default();
    match (at_least, at_most) {
        (Some(least), _) if value < as_float(least) => {
            Some(format!("it printed {shown}, and {least} is the least"))
        }
        (_, Some(most)) if value > as_float(most) => {
            Some(format!("it printed {shown}, and {most} is the most"))
        }
        _ => None,
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a bound beyond 2^53 is compared as closely as the printed number is read"
)]
fn as_float(bound: i64) -> f64 {
    bound as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_number_counts() {
        for (text, number) in [
            ("901\n", Some("901")),
            ("last use 2026-11-21, 12.5 s ago", Some("12.5")),
            ("-3", Some("-3")),
            ("2026-11-21", Some("21")),
            ("v1.2.3", Some("2.3")),
            ("é7é", Some("7")),
            ("none", None),
            ("", None),
        ] {
            assert_eq!(last_number(text).as_deref(), number, "{text:?}");
        }
    }

    #[test]
    fn bounds_are_inclusive() {
        let gate = |at_least, at_most| Gate { at_least, at_most };
        for (gate, number, passes) in [
            (gate(Some(900), None), Some("900"), true),
            (gate(Some(900), None), Some("899.9"), false),
            (gate(None, Some(5)), Some("5"), true),
            (gate(None, Some(5)), Some("5.01"), false),
            (gate(Some(-1), Some(1)), Some("0"), true),
            (gate(Some(1), None), None, false),
            (gate(None, None), None, true),
        ] {
            assert_eq!(
                refusal(gate, number).is_none(),
                passes,
                "{gate:?} {number:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_number_that_reads_or_none(text in "\\PC{0,60}|[-.0-9 ]{0,20}") {
            if let Some(number) = last_number(&text) {
                prop_assert!(number.parse::<f64>().is_ok(), "{}", number);
            }
        }
    }
}
