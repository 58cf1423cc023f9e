//! Shows what is wrong: a block for each finding, with why and what mends it, or JSON.

use proto::check::Finding;
use proto::id::HostName;
use serde::Serialize;

use crate::terminal::{Line, Tone};

/// One host, or this workstation: one element of `doctor -o json`, one line of `-o jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Where; `null` is this workstation.
    pub host: Option<HostName>,
    /// Everything that is wrong; nothing when it is empty.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// This workstation.
    #[must_use]
    pub fn here(findings: Vec<Finding>) -> Self {
        Self {
            host: None,
            findings,
        }
    }

    fn name(&self) -> String {
        let name = self.host.as_ref().map(ToString::to_string);
        name.unwrap_or_else(|| "this workstation".to_owned())
    }
}

/// All of them for people.
#[must_use]
pub fn lines(all: &[Checked]) -> Vec<Line> {
    let mut lines = Vec::new();
    for one in all {
        let name = one.name();
        if one.findings.is_empty() {
            let line = Line::new().toned(Tone::Good, "✓ ");
            let line = line.toned(Tone::Strong, &name);
            lines.push(line.text("  nothing is wrong"));
        }
        for finding in &one.findings {
            let place = match &finding.stack {
                Some(stack) => format!("{name}/{stack}"),
                None => name.clone(),
            };
            lines.push(
                Line::new()
                    .toned(Tone::Bad, "✗ ")
                    .toned(Tone::Strong, place)
                    .text(format!("  {}", finding.what)),
            );
            for (word, text) in [("why", &finding.why), ("do", &finding.mend)] {
                let line = Line::new().toned(Tone::Faint, format!("    {word:3}  "));
                lines.push(line.text(text));
            }
        }
    }
    lines
}
