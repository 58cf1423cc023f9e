//! Durations as Compose prints them and `fleet.toml` writes them: `1m30s`, `500ms`, `1h0m0s`.

use std::time::Duration;

/// The longest that Go has: 63 bits of nanoseconds. What is added up from durations then has room.
const LONGEST: Duration = Duration::from_nanos(i64::MAX as u64);

/// Reads a duration in Go's notation; `None` when it is not one.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        total += number.parse::<f64>().ok()? * seconds(unit)?;
        rest = tail;
    }
    let duration = Duration::try_from_secs_f64(total).ok()?;
    (duration <= LONGEST).then_some(duration)
}

fn seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,30}") {
            prop_assert!(parse(&text).is_none_or(|value| value >= Duration::ZERO));
        }
    }

    #[test]
    fn composes_notation_is_read() {
        for (text, millis) in [
            ("1s", 1000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1h0m0s", 3_600_000),
            ("1.5s", 1500),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1x", "-1s", "1e400h", "9999999999999h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
