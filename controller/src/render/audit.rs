//! Shows what hosts have recorded of every change, and whether the record holds: a block for each host, or JSON.

use proto::audit::{Called, Compared, Decision, Ended, Entry, Fact, Verdict};
use proto::fault::{Fault, FaultKind};
use proto::id::{DeployId, HostName};
use serde::Serialize;

use super::words;
use crate::terminal::{Line, Tone};

/// A record that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Those to be shown, the newest last.
    pub entries: Vec<Entry>,
    /// What there is to say of all of them.
    pub verdict: Verdict,
    /// Whether it is taken as it is from here on.
    pub accepted: bool,
}

/// What one host answered: one element of `audit -o json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostRecord {
    /// Which.
    pub host: HostName,
    /// The newest last.
    pub entries: Vec<Entry>,
    /// Whether the whole record holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    #[serde(skip)]
    read: Option<Read>,
}

/// What a machine is told of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Whether nothing was changed, removed or cut off.
    pub holds: bool,
    /// Entries that are sound.
    pub entries: u64,
    /// Number of the first that is kept.
    pub first: u64,
    /// `NUMBER-HASH` of the newest.
    pub head: String,
    /// Where it is broken.
    pub broken: Vec<String>,
    /// Against what this workstation had seen.
    pub compared: String,
}

/// One line of `audit -o jsonl`: an entry, or behind the last what there is to say of all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Row<'a> {
    /// An entry.
    Entry {
        /// Where.
        host: &'a HostName,
        /// What.
        #[serde(flatten)]
        entry: &'a Entry,
    },
    /// The whole record.
    Verified {
        /// Where.
        host: &'a HostName,
        /// How it is.
        verified: &'a Verified,
    },
}

impl HostRecord {
    /// A host with its answer.
    #[must_use]
    pub fn new(host: HostName, answer: Result<Read, Fault>) -> Self {
        let (read, fault) = match answer {
            Ok(read) => (Some(read), None),
            Err(fault) => (None, Some(fault)),
        };
        let entries = read.as_ref().map(|read| read.entries.clone());
        Self {
            host,
            entries: entries.unwrap_or_default(),
            verified: read.as_ref().map(|read| verified(&read.verdict)),
            fault,
            read,
        }
    }

    /// Its entries, and what there is to say of all.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let host = &self.host;
        let entries = self.entries.iter();
        let entries = entries.map(move |entry| Row::Entry { host, entry });
        let verified = self.verified.iter();
        entries.chain(verified.map(move |verified| Row::Verified { host, verified }))
    }
}

fn verified(verdict: &Verdict) -> Verified {
    Verified {
        holds: verdict.holds(),
        entries: verdict.entries,
        first: verdict.first,
        head: verdict.head.to_string(),
        broken: verdict.breaks.iter().map(|it| it.why.clone()).collect(),
        compared: compared(verdict.compared).0,
    }
}

const COLUMNS: usize = 6;
const HEADINGS: [&str; COLUMNS] = ["number", "age", "operator", "what", "stack", "outcome"];

/// All hosts for people. The present is given, so that the same answers give the same screen.
#[must_use]
pub fn lines(records: &[HostRecord], now_millis: u64) -> Vec<Line> {
    let block = |one: &HostRecord| {
        let Some(read) = &one.read else {
            return vec![
                Line::new()
                    .toned(Tone::Bad, "✗ ")
                    .toned(Tone::Strong, one.host.to_string())
                    .toned(Tone::Bad, "  no answer"),
            ];
        };
        let mut lines = vec![Line::new().toned(Tone::Strong, one.host.to_string())];
        if !one.entries.is_empty() {
            lines.extend(table(&one.entries, now_millis));
        }
        lines.extend(judged(read));
        lines
    };
    records.iter().flat_map(block).collect()
}

fn table(entries: &[Entry], now_millis: u64) -> Vec<Line> {
    let rows: Vec<_> = entries.iter().map(|one| row(one, now_millis)).collect();
    let mut widths = HEADINGS.map(str::len);
    for Shown { cells, .. } in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let padded = |cells: [String; COLUMNS]| {
        let cells = cells.into_iter().zip(widths);
        let cells: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ")
    };
    let headings = padded(HEADINGS.map(str::to_owned)) + "  details";
    let mut lines = vec![Line::from("    ").toned(Tone::Faint, headings)];
    for Shown {
        cells,
        tone,
        details,
    } in rows
    {
        lines.push(
            Line::from("  ")
                .toned(tone, words::sign(tone))
                .text(format!(" {}  ", padded(cells)))
                .toned(Tone::Faint, details),
        );
    }
    lines
}

/// One entry on the screen.
struct Shown {
    cells: [String; COLUMNS],
    tone: Tone,
    details: String,
}

fn row(one: &Entry, now_millis: u64) -> Shown {
    let age = words::age(now_millis.saturating_sub(one.at_millis));
    let own = |what: &str, tone, details: String| {
        let agent = ["agent", what, "", ""].map(str::to_owned);
        (agent, tone, details)
    };
    let (told, tone, details) = match &one.fact {
        Fact::Called(called) => call(called),
        Fact::Ended(ended) => end(ended),
        Fact::File { dropped: 0 } => {
            own("new file", Tone::Plain, "all entries are kept".to_owned())
        }
        Fact::File { dropped } => own(
            "new file",
            Tone::Plain,
            format!("entries 1 to {dropped} are no longer kept"),
        ),
        Fact::Torn { bytes } => own(
            "torn end",
            Tone::Warn,
            format!("{bytes} bytes of an unfinished entry were cut off"),
        ),
        Fact::Broken { after, why } => {
            own("broken", Tone::Bad, format!("after entry {after}: {why}"))
        }
        Fact::Other => own("unknown", Tone::Plain, "from a newer agent".to_owned()),
    };
    let [operator, what, stack, outcome] = told;
    Shown {
        cells: [one.number.to_string(), age, operator, what, stack, outcome],
        tone,
        details,
    }
}

type Told = ([String; 4], Tone, String);

fn call(called: &Called) -> Told {
    let Called {
        operator,
        role,
        serial,
        verb,
        stack,
        deploy,
        asked,
        decision,
    } = called;
    let (outcome, tone) = match decision {
        Decision::LetIn => ("let in".to_owned(), Tone::Good),
        Decision::Refused(kind) => (format!("refused: {}", sort(*kind)), Tone::Warn),
    };
    let cells = [
        format!("{operator} ({role})"),
        verb.to_lowercase(),
        stack.as_ref().map(ToString::to_string).unwrap_or_default(),
        outcome,
    ];
    let parts = [
        asked.clone(),
        named(*deploy),
        format!("certificate {serial}"),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    (cells, tone, parts.join(", "))
}

fn end(ended: &Ended) -> Told {
    let (outcome, tone) = words::ending(ended.outcome, ended.state);
    let operator = ended.operator.as_ref().map(ToString::to_string);
    let revision = ended
        .revision
        .map(|it| format!(", revision {}", it.short()));
    let fault = ended.fault.map(|kind| format!(", {}", sort(kind)));
    let details = [
        named(Some(ended.deploy)),
        revision.unwrap_or_default(),
        fault.unwrap_or_default(),
    ];
    let cells = [
        operator.unwrap_or_else(|| "unknown".to_owned()),
        "end".to_owned(),
        ended.stack.to_string(),
        outcome,
    ];
    (cells, tone, details.concat())
}

fn named(deploy: Option<DeployId>) -> String {
    deploy
        .map(|id| format!("deploy {}", id.short()))
        .unwrap_or_default()
}

fn sort(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::InvalidStack => "invalid stack",
        FaultKind::InvalidRequest => "invalid request",
        FaultKind::Refused => "not allowed",
        FaultKind::Busy => "busy",
        FaultKind::Denied => "denied",
        FaultKind::Stale => "stale",
        FaultKind::Unsupported => "not supported",
        FaultKind::Engine => "engine",
        FaultKind::Failed => "failed",
        FaultKind::UnknownName => "unknown name",
        FaultKind::Unreachable => "unreachable",
        FaultKind::Internal => "defect",
    }
}

/// Whether the record holds, and what it was compared with.
fn judged(read: &Read) -> Vec<Line> {
    let verdict = &read.verdict;
    let (seen, tone) = compared(verdict.compared);
    let mut lines = Vec::new();
    if verdict.breaks.is_empty() {
        let from = match verdict.first {
            0 | 1 => String::new(),
            first => format!(" from {first} on"),
        };
        let entries = match verdict.entries {
            1 => "1 entry".to_owned(),
            entries => format!("{entries} entries"),
        };
        let unbroken = format!("{entries}{from}, unbroken; ");
        let word = if tone == Tone::Bad {
            "not verified: "
        } else {
            "verified: "
        };
        lines.push(
            Line::from("  ")
                .toned(tone, format!("{} {word}", words::sign(tone)))
                .text(unbroken)
                .toned(if tone == Tone::Bad { tone } else { Tone::Plain }, seen),
        );
    } else {
        let not = |text: String| {
            Line::from("  ")
                .toned(
                    Tone::Bad,
                    format!("{} not verified: ", words::sign(Tone::Bad)),
                )
                .text(text)
        };
        lines.extend(verdict.breaks.iter().map(|one| not(one.why.clone())));
        if tone == Tone::Bad {
            lines.push(not(seen));
        }
    }
    if read.accepted {
        lines.push(Line::from(format!(
            "    taken as it is: from here on this workstation compares with {}",
            verdict.head.number
        )));
    }
    lines
}

fn compared(compared: Compared) -> (String, Tone) {
    match compared {
        Compared::Nothing => (
            "this workstation had seen none of it before".to_owned(),
            Tone::Good,
        ),
        Compared::Same(seen) => (
            format!("matches what this workstation saw at {}", seen.number),
            Tone::Good,
        ),
        Compared::Dropped(seen) => (
            format!(
                "what this workstation saw at {} is no longer kept",
                seen.number
            ),
            Tone::Good,
        ),
        Compared::Other(seen) => (
            format!(
                "entry {} is not the one that this workstation saw",
                seen.number
            ),
            Tone::Bad,
        ),
        Compared::Shorter(seen) => (
            format!(
                "it ends before entry {}, which this workstation saw",
                seen.number
            ),
            Tone::Bad,
        ),
    }
}
