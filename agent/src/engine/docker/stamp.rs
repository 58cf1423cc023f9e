//! The engine's timestamps: RFC 3339 with up to nine digits of a second.

/// Length of a log entry's timestamp with the blank behind it.
pub(super) const LOG_STAMP: usize = "2006-01-02T15:04:05.000000000Z ".len();

/// Unix nanoseconds; `None` when the text is no timestamp or lies outside the years 1678 to 2261.
pub(super) fn nanos(text: &[u8]) -> Option<i64> {
    let year = number(text.get(0..4)?)?;
    let month = number(text.get(5..7)?)?;
    let day = number(text.get(8..10)?)?;
    let hour = number(text.get(11..13)?)?;
    let minute = number(text.get(14..16)?)?;
    let second = number(text.get(17..19)?)?;
    let marks = [text[4], text[7], text[10], text[13], text[16]];
    if marks != *b"--T::" || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (fraction, zone) = fraction(text.get(19..)?)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    (seconds - offset(zone)?)
        .checked_mul(1_000_000_000)?
        .checked_add(fraction)
}

/// The timestamp in front of a log entry.
pub(super) fn of_entry(entry: &[u8]) -> Option<i64> {
    let (stamp, blank) = entry.get(..LOG_STAMP)?.split_at(LOG_STAMP - 1);
    nanos(stamp).filter(|_| blank == b" ")
}

/// As the engine's `since` and `until` want it.
pub(super) fn seconds(nanos: i64) -> String {
    let nanos = nanos.max(0);
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        Some(sum * 10 + digit)
    })
}

fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else {
        return Some((0, rest));
    };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, zone) = rest.split_at(count);
    let mut value = number(digits.get(..count.min(9)).filter(|some| !some.is_empty())?)?;
    for _ in count..9 {
        value *= 10;
    }
    Some((value, zone))
}

fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, rest) = zone.split_first()?;
    match (sign, rest) {
        (b'Z', []) => Some(0),
        (b'+' | b'-', [h1, h2, b':', m1, m2]) => {
            let seconds = number(&[*h1, *h2])? * 3600 + number(&[*m1, *m2])? * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, counted in years that begin in March, so that the
/// leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-21T04:57:09.5Z", Some(1_795_237_029_500_000_000)),
            (
                "2024-02-29T23:59:59.123456789Z",
                Some(1_709_251_199_123_456_789),
            ),
            (
                "2024-03-01T01:59:59.123456789+02:00",
                Some(1_709_251_199_123_456_789),
            ),
            ("1969-12-31T23:59:59.999999999Z", Some(-1)),
            (
                "2026-11-21T04:57:09.1234567891Z",
                Some(1_795_237_029_123_456_789),
            ),
            ("0001-01-01T00:00:00Z", None),
            ("2026-13-21T04:57:09Z", None),
            ("2026-11-21T04:57:09.Z", None),
            ("2026-11-21T04:57:09", None),
            ("2026-11-21 04:57:09Z", None),
            ("", None),
        ] {
            assert_eq!(nanos(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn ranges_keep_their_nanoseconds() {
        assert_eq!(seconds(1_709_251_199_000_000_001), "1709251199.000000001");
        assert_eq!(seconds(-5), "0.000000000");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            nanos(&bytes);
            of_entry(&bytes);
        }

        #[test]
        fn it_agrees_with_the_time_crate(at in -8_000_000_000_i64..9_000_000_000) {
            let date = time::OffsetDateTime::from_unix_timestamp(at).unwrap();
            let text = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                date.year(), u8::from(date.month()), date.day(),
                date.hour(), date.minute(), date.second(),
            );
            prop_assert_eq!(nanos(text.as_bytes()), Some(at * 1_000_000_000));
        }
    }
}
