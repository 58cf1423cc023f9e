//! The words and signs of every screen. A sign never stands without its word, so that nothing depends on
//! colour or on a font.

use proto::event::{ContainerState, Health, LayerPhase, Outcome, State};
use time::OffsetDateTime;

use crate::amount::bytes;
use crate::board::{Container, End, Site};
use crate::terminal::Tone;

pub(super) fn state(state: State) -> (&'static str, Tone) {
    match state {
        State::Received => ("received", Tone::Busy),
        State::Staged => ("staged", Tone::Busy),
        State::Planned => ("planned", Tone::Busy),
        State::Hooks => ("running hooks", Tone::Busy),
        State::Pulled => ("images ready", Tone::Busy),
        State::Applying => ("applying", Tone::Busy),
        State::Verifying => ("verifying", Tone::Busy),
        State::AwaitingConfirm => ("waiting to be confirmed", Tone::Warn),
        State::Committed => ("committed", Tone::Good),
        State::RollingBack => ("rolling back", Tone::Warn),
        State::RolledBack => ("rolled back", Tone::Warn),
        State::Failed => ("failed", Tone::Bad),
        State::Removed => ("removed", Tone::Good),
    }
}

pub(super) fn outcome(outcome: Outcome) -> (&'static str, Tone) {
    match outcome {
        Outcome::Succeeded => ("succeeded", Tone::Good),
        Outcome::Skipped => ("nothing to do", Tone::Good),
        Outcome::Failed => ("failed", Tone::Bad),
        Outcome::TimedOut => ("timed out", Tone::Bad),
        Outcome::Cancelled => ("cancelled", Tone::Warn),
        Outcome::Interrupted => ("interrupted", Tone::Bad),
    }
}

/// As much of a digest as tells images apart, as Docker shows ids; JSON output has all of it.
pub(super) fn digest(digest: &str) -> &str {
    const SHOWN: usize = "sha256:".len() + 12;
    digest.get(..SHOWN).unwrap_or(digest)
}

/// The second of two names or digests, without what it begins with like the first: `org/web:1 -> 2`.
pub(super) fn beside<'a>(before: &str, after: &'a str) -> &'a str {
    let place = |text: &str| text.rfind(':').filter(|at| text.rfind('/') < Some(*at));
    match (place(before), place(after)) {
        (Some(one), Some(other)) if before.get(..one) == after.get(..other) => {
            after.get(other + 1..).unwrap_or(after)
        }
        _ => after,
    }
}

/// A duration in whole seconds, rounded to the nearest and at least one.
pub(super) fn seconds(millis: u64) -> String {
    match (millis.saturating_add(500) / 1000).max(1) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

pub(super) fn phase(phase: LayerPhase) -> &'static str {
    match phase {
        LayerPhase::Waiting => "waiting",
        LayerPhase::Downloading => "downloading",
        LayerPhase::Extracting => "extracting",
        LayerPhase::Done => "done",
    }
}

pub(super) fn container_state(state: ContainerState, exit_code: i64) -> (String, Tone) {
    let (word, tone) = match state {
        ContainerState::Created => ("created", Tone::Busy),
        ContainerState::Running => ("running", Tone::Good),
        ContainerState::Restarting => ("restarting", Tone::Warn),
        ContainerState::Paused => ("paused", Tone::Warn),
        ContainerState::Exited if exit_code == 0 => ("exited 0", Tone::Plain),
        ContainerState::Exited => return (format!("exited {exit_code}"), Tone::Bad),
        ContainerState::Dead => ("dead", Tone::Bad),
        ContainerState::Removing => ("removing", Tone::Busy),
    };
    (word.to_owned(), tone)
}

pub(super) fn health(health: Health) -> (&'static str, Tone) {
    match health {
        Health::None => ("", Tone::Plain),
        Health::Starting => ("starting", Tone::Busy),
        Health::Healthy => ("healthy", Tone::Good),
        Health::Unhealthy => ("unhealthy", Tone::Bad),
    }
}

/// Container state and health in one phrase: `running, healthy`.
pub(super) fn container(one: &Container) -> (String, Tone) {
    let (word, tone) = container_state(one.state, one.exit_code);
    match health(one.health) {
        ("", _) => (word, tone),
        _ if one.state != ContainerState::Running => (word, tone),
        (health, tone) => (format!("{word}, {health}"), tone),
    }
}

/// Where a place is, in a few words.
pub(super) fn site(site: &Site) -> (String, Tone) {
    match &site.end {
        Some(End::Judged {
            outcome: how,
            state: at,
            ..
        }) => ending(*how, *at),
        Some(End::Unchanged) => ("nothing to change".to_owned(), Tone::Good),
        Some(End::Detached) => ("left running as asked".to_owned(), Tone::Good),
        Some(End::Left) if site.deploy.is_none() => ("not begun".to_owned(), Tone::Warn),
        Some(End::Left) => ("left running".to_owned(), Tone::Warn),
        Some(End::Broke(_)) => ("failed".to_owned(), Tone::Bad),
        None => going_on(site),
    }
}

pub(super) fn ending(how: Outcome, at: State) -> (String, Tone) {
    let (word, tone) = match how {
        Outcome::Succeeded => state(at),
        _ => outcome(how),
    };
    match at {
        State::Committed if how != Outcome::Succeeded => (
            "committed, and a hook after it failed".to_owned(),
            Tone::Bad,
        ),
        State::RolledBack => (format!("{word} and rolled back"), Tone::Warn),
        _ => (word.to_owned(), tone),
    }
}

fn going_on(site: &Site) -> (String, Tone) {
    if site.lost.is_some() {
        return ("link lost, trying again".to_owned(), Tone::Warn);
    }
    if site.hooks.values().any(|hook| hook.outcome.is_none()) {
        return ("running hooks".to_owned(), Tone::Busy);
    }
    if let Some(at) = site.state {
        let pulling = at < State::Pulled && site.images.iter().any(|image| image.end.is_none());
        let (word, tone) = if pulling {
            ("pulling", Tone::Busy)
        } else {
            state(at)
        };
        return (word.to_owned(), tone);
    }
    if let Some(operator) = &site.waits_for {
        return (format!("waiting for a deploy of {operator}"), Tone::Busy);
    }
    let word = match (site.upload, site.connected) {
        (Some((sent, total)), _) if sent < total => {
            format!("sending {} of {}", bytes(sent), bytes(total))
        }
        _ if site.deploy.is_some() => "submitted".to_owned(),
        (Some(_), _) | (None, true) => "planning".to_owned(),
        (None, false) => "connecting".to_owned(),
    };
    (word, Tone::Busy)
}

/// The sign in front of a place or a container.
pub(super) fn sign(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✗",
        Tone::Warn => "!",
        Tone::Busy => "·",
        Tone::Plain | Tone::Strong | Tone::Faint => " ",
    }
}

/// A length of time: `12.3s`, `2m03s`, `1h02m`, `3d`.
pub(super) fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago, coarsely: `3m`, `2h`, `5d`.
pub(super) fn age(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A point in time in UTC: `2026-03-01T12:00:00.000000000Z`.
#[must_use]
pub fn timestamp(nanos: i64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(nanos.into()) else {
        return nanos.to_string();
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.nanosecond()
    )
}

/// `1 image`, `2 images`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_exact_enough() {
        for (millis, text) in [
            (0, "0.0s"),
            (12_345, "12.3s"),
            (123_000, "2m03s"),
            (3_720_000, "1h02m"),
        ] {
            assert_eq!(duration(millis), text);
        }
        assert_eq!(
            timestamp(1_772_366_400_000_000_001),
            "2026-03-01T12:00:00.000000001Z"
        );
    }

    #[test]
    fn what_two_names_share_is_said_once() {
        for (before, after, shown) in [
            ("org/web:1", "org/web:2", "2"),
            ("h:5000/web:1", "h:5000/web:2", "2"),
            ("h:5000/web", "h:5000/api", "h:5000/api"),
            ("org/web:1", "org/api:1", "org/api:1"),
            ("sha256:aa", "sha256:bb", "bb"),
            ("no", "always", "always"),
        ] {
            assert_eq!(beside(before, after), shown, "{before} -> {after}");
        }
    }
}
