//! Shows what has been done to stacks, and what a rollback would do: a block for each place, or JSON.

use proto::fault::Fault;
use proto::history::{Deed, HistoryEntry};
use proto::id::{OperatorName, RevisionId};
use serde::Serialize;

use super::words;
use crate::event::Place;
use crate::terminal::{Line, Tone};

/// What one place answered: one element of `history -o json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlaceHistory {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// The newest first.
    pub entries: Vec<HistoryEntry>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// A revision, and who made it the stack's when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub id: RevisionId,
    /// Who; `None` when that was not recorded.
    pub operator: Option<OperatorName>,
    /// Unix milliseconds.
    pub at_millis: u64,
}

/// From where a stack would go back to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// What it is at; `None` after it was taken down.
    pub from: Option<Known>,
    /// What it would be.
    pub to: Known,
}

/// One line of `history -o jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row<'a> {
    #[serde(flatten)]
    place: &'a Place,
    #[serde(flatten)]
    entry: &'a HistoryEntry,
}

impl PlaceHistory {
    /// A place with its answer.
    #[must_use]
    pub fn new(place: Place, answer: Result<Vec<HistoryEntry>, Fault>) -> Self {
        let (entries, fault) = match answer {
            Ok(entries) => (entries, None),
            Err(fault) => (Vec::new(), Some(fault)),
        };
        Self {
            place,
            entries,
            fault,
        }
    }

    /// Its entries with where they belong.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let place = &self.place;
        self.entries.iter().map(move |entry| Row { place, entry })
    }
}

const HEADINGS: [&str; 6] = ["age", "deploy", "what", "operator", "outcome", "revision"];

/// All places for people. The present is given, so that the same answers give the same screen.
#[must_use]
pub fn lines(places: &[PlaceHistory], now_millis: u64) -> Vec<Line> {
    let block = |one: &PlaceHistory| {
        if one.fault.is_some() {
            return vec![
                Line::new()
                    .toned(Tone::Bad, "✗ ")
                    .toned(Tone::Strong, one.place.to_string())
                    .toned(Tone::Bad, "  no answer"),
            ];
        }
        let mut lines = vec![Line::new().toned(Tone::Strong, one.place.to_string())];
        lines.extend(table(&one.entries, now_millis));
        lines
    };
    places.iter().flat_map(block).collect()
}

fn table(entries: &[HistoryEntry], now_millis: u64) -> Vec<Line> {
    let rows: Vec<[String; 6]> = entries.iter().map(|one| cells(one, now_millis)).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings = padded(&HEADINGS.map(str::to_owned), &widths);
    let mut lines = vec![Line::from("    ").toned(Tone::Faint, headings.join("  ") + "  changes")];
    for (one, row) in entries.iter().zip(&rows) {
        lines.push(line(one, padded(row, &widths)));
    }
    lines
}

fn padded(row: &[String; 6], widths: &[usize; 6]) -> [String; 6] {
    let mut widths = widths.iter();
    row.clone().map(|cell| {
        let width = widths.next().copied().unwrap_or_default();
        format!("{cell:width$}")
    })
}

fn line(one: &HistoryEntry, row: [String; 6]) -> Line {
    let (_, tone) = outcome(one);
    let [age, deploy, what, operator, outcome, revision] = row;
    let revision_tone = if one.current {
        Tone::Strong
    } else {
        Tone::Plain
    };
    Line::from("  ")
        .toned(tone, words::sign(tone))
        .text(format!(" {age}  {deploy}  {what}  {operator}  "))
        .toned(tone, outcome)
        .text("  ")
        .toned(revision_tone, revision)
        .text("  ")
        .toned(Tone::Faint, one.changes.join("; "))
}

fn cells(one: &HistoryEntry, now_millis: u64) -> [String; 6] {
    let revision = match &one.revision {
        None => String::new(),
        Some(revision) if one.current => format!("{} current", revision.short()),
        Some(revision) if one.kept => format!("{} kept", revision.short()),
        Some(revision) => revision.short(),
    };
    let operator = one.operator.as_ref();
    [
        words::age(now_millis.saturating_sub(one.began_at_millis)),
        one.deploy.short(),
        deed(one.deed).to_owned(),
        operator.map_or_else(|| "unknown".to_owned(), ToString::to_string),
        outcome(one).0,
        revision,
    ]
}

fn deed(deed: Deed) -> &'static str {
    match deed {
        Deed::Deploy => "deploy",
        Deed::Rollback => "rollback",
        Deed::Down => "down",
    }
}

fn outcome(one: &HistoryEntry) -> (String, Tone) {
    match one.ending {
        Some(ending) => words::ending(ending.outcome, ending.state),
        None => ("running".to_owned(), Tone::Busy),
    }
}

/// `ana, 3m ago`.
pub(crate) fn who_and_when(known: &Known, now_millis: u64) -> String {
    let age = words::age(now_millis.saturating_sub(known.at_millis));
    match &known.operator {
        Some(operator) => format!("{operator}, {age} ago"),
        None => format!("{age} ago"),
    }
}

/// From where to where each place would go.
pub fn ways<'a>(ways: impl Iterator<Item = (&'a Place, &'a Way)>, now_millis: u64) -> Vec<Line> {
    let known = |sign: &str, word: &str, tone, known: &Known| {
        Line::new()
            .toned(tone, format!("  {sign} {word:9} "))
            .text(format!("revision {}", known.id.short()))
            .toned(
                Tone::Faint,
                format!("  {}", who_and_when(known, now_millis)),
            )
    };
    let block = |(place, way): (&Place, &Way)| {
        let from = match &way.from {
            Some(from) => known("-", "from", Tone::Warn, from),
            None => Line::new()
                .toned(Tone::Warn, format!("  - {:9} ", "from"))
                .text("nothing committed"),
        };
        [
            Line::new().toned(Tone::Strong, place.to_string()),
            from,
            known("+", "to", Tone::Good, &way.to),
            Line::new(),
        ]
    };
    ways.flat_map(block).collect()
}
