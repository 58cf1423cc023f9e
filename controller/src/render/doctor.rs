//! Shows what is wrong: a block for each finding, with why and what mends it, or JSON.

use proto::check::Finding;
use proto::id::HostName;
use serde::Serialize;

use crate::terminal::{Line, Tone};

/// One host: one element of `doctor -o json`, one line of `-o jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostCheck {
    /// Where.
    pub host: HostName,
    /// Everything that is wrong; nothing when it is empty.
    pub findings: Vec<Finding>,
}

/// All hosts for people.
#[must_use]
pub fn lines(hosts: &[HostCheck]) -> Vec<Line> {
    let mut lines = Vec::new();
    for host in hosts {
        if host.findings.is_empty() {
            let line = Line::new().toned(Tone::Good, "✓ ");
            let line = line.toned(Tone::Strong, host.host.to_string());
            lines.push(line.text("  nothing is wrong"));
        }
        for finding in &host.findings {
            let place = match &finding.stack {
                Some(stack) => format!("{}/{stack}", host.host),
                None => host.host.to_string(),
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
