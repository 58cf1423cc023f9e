//! Times and durations as people type them: `10m`, `2h30m`, `2026-03-01T12:00:00Z`.

use std::str::FromStr;
use std::time::Duration;

use proto::limits::CONFIRM_MOST;
use time::{Date, Month, PrimitiveDateTime, Time, UtcOffset};

use super::Tail;

const DURATION_RULE: &str =
    "a duration is made of numbers with s, m, h or d behind them, such as 90s or 2h30m";
const WHEN_RULE: &str =
    "a time is a duration back from now (10m, 2h30m), a date, or 2026-03-01T12:00:00Z";

/// A point in time: so long ago, or absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Back from now.
    Ago(Duration),
    /// Unix time in nanoseconds.
    At(i64),
}

impl When {
    /// Unix time in nanoseconds, given the present.
    #[must_use]
    pub fn nanos(self, now_nanos: i64) -> i64 {
        match self {
            Self::Ago(back) => {
                let back = i64::try_from(back.as_nanos()).unwrap_or(i64::MAX);
                now_nanos.saturating_sub(back)
            }
            Self::At(nanos) => nanos,
        }
    }
}

impl FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(back) = duration(text) {
            return Ok(Self::Ago(back));
        }
        instant(text)
            .map(Self::At)
            .ok_or_else(|| WHEN_RULE.to_owned())
    }
}

/// Reads a duration; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || DURATION_RULE.to_owned();
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(refuse)?;
        let (digits, unit) = rest.split_at_checked(end).ok_or_else(refuse)?;
        let number: u32 = digits.parse().map_err(|_| refuse())?;
        let seconds = match unit.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            _ => return Err(refuse()),
        };
        total += u64::from(number) * seconds;
        rest = unit.get(1..).unwrap_or_default();
    }
    if text.is_empty() {
        Err(refuse())
    } else {
        Ok(Duration::from_secs(total))
    }
}

/// Reads how long a deploy may wait for its confirmation.
pub(super) fn confirm_within(text: &str) -> Result<Duration, String> {
    let within = duration(text)?;
    if within.is_zero() || within > CONFIRM_MOST {
        let hours = CONFIRM_MOST.as_secs() / 3600;
        return Err(format!(
            "a deploy waits for its confirmation for 1s to {hours}h"
        ));
    }
    Ok(within)
}

/// Reads a date with or without a time; without an offset it is UTC, as the shown timestamps are.
fn instant(text: &str) -> Option<i64> {
    let (date, rest) = match text.split_once(['T', 't', ' ']) {
        Some((date, rest)) => (date, rest),
        None => (text, "00:00:00"),
    };
    let (clock, offset) = split_offset(rest)?;
    let date = PrimitiveDateTime::new(parse_date(date)?, parse_clock(clock)?);
    let nanos = date.assume_offset(offset).unix_timestamp_nanos();
    i64::try_from(nanos).ok()
}

fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4)?;
    let month = Month::try_from(u8::try_from(number(parts.next()?, 2)?).ok()?).ok()?;
    let day = u8::try_from(number(parts.next()?, 2)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()?;
    parts.next().is_none().then_some(date)
}

fn parse_clock(text: &str) -> Option<Time> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = whole.split(':');
    let hour = u8::try_from(number(parts.next()?, 2)?).ok()?;
    let minute = u8::try_from(number(parts.next()?, 2)?).ok()?;
    let second = u8::try_from(parts.next().map_or(Some(0), |text| number(text, 2))?).ok()?;
    let digits = fraction.len();
    if parts.next().is_some() || digits > 9 {
        return None;
    }
    let nanos = number(fraction, digits)? * 10_u32.pow(9 - u32::try_from(digits).ok()?);
    Time::from_hms_nano(hour, minute, second, nanos).ok()
}

fn split_offset(text: &str) -> Option<(&str, UtcOffset)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, UtcOffset::UTC));
    }
    let Some(at) = text.find(['+', '-']) else {
        return Some((text, UtcOffset::UTC));
    };
    let (clock, offset) = text.split_at_checked(at)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let hours = i8::try_from(number(hours, 2)?).ok()?;
    let minutes = i8::try_from(number(minutes, 2)?).ok()?;
    let offset = UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?;
    Some((clock, offset))
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let good = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

/// Reads a count of lines, or `all`.
pub(super) fn tail(text: &str) -> Result<Tail, String> {
    if text == "all" {
        return Ok(Tail(None));
    }
    let count = text
        .parse()
        .map_err(|_| "it is a number of lines, or all".to_owned())?;
    Ok(Tail(Some(count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_772_366_400_000_000_000;

    fn at(text: &str) -> Option<i64> {
        Some(text.parse::<When>().ok()?.nanos(NOW))
    }

    #[test]
    fn durations_count_back_from_now() {
        for (text, seconds) in [
            ("10m", 600),
            ("2h", 7200),
            ("2h30m", 9000),
            ("90", 90),
            ("1d", 86_400),
        ] {
            assert_eq!(at(text), Some(NOW - seconds * 1_000_000_000), "{text}");
        }
    }

    #[test]
    fn instants_are_read_with_and_without_an_offset() {
        for text in [
            "2026-03-01T12:00:00Z",
            "2026-03-01T12:00:00",
            "2026-03-01 12:00",
            "2026-03-01T12:00:00.000Z",
            "2026-03-01T14:30:00+02:30",
            "2026-03-01T07:00:00-05:00",
        ] {
            assert_eq!(at(text), Some(NOW), "{text}");
        }
        assert_eq!(at("2026-03-01T12:00:00.000000001Z"), Some(NOW + 1));
        assert_eq!(at("2026-03-01"), Some(NOW - 12 * 3_600_000_000_000));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "m",
            "10",
            "10x",
            "2026-13-01",
            "2026-03-01T25:00:00Z",
            "1h-2",
            "yesterday",
            "-5m",
        ] {
            let good = text == "10";
            assert_eq!(at(text).is_some(), good, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,30}|[0-9TZ:+.smhd-]{0,30}") {
            at(&text);
        }
    }
}
