//! Shows how a server becomes a host: a line for each step, or the list of what would be done.

use proto::id::HostName;

use crate::enrol::Told;
use crate::terminal::{Line, Tone};

const WORD: usize = 9;

/// The lines for one thing that happened; `dry_run` shows the plan, which else speaks for itself.
#[must_use]
pub fn lines(host: &HostName, told: &Told, dry_run: bool) -> Vec<Line> {
    match told {
        Told::Server {
            system,
            architecture,
            rights,
        } => vec![
            Line::new()
                .toned(Tone::Strong, host.to_string())
                .text(format!("  {system}, {architecture}, {rights}")),
        ],
        Told::Plan { steps } if dry_run => {
            let line = |one: &crate::enrol::step::Planned| {
                let (tone, mark) = if one.needed {
                    (Tone::Busy, "+")
                } else {
                    (Tone::Faint, "=")
                };
                line(tone, mark, one.step.word(), &one.what)
            };
            steps.iter().map(line).collect()
        }
        Told::Plan { .. } => Vec::new(),
        Told::Begun { step, what } => vec![line(Tone::Faint, "…", step.word(), what)],
        Told::Done { step, what } => vec![line(Tone::Good, "✓", step.word(), what)],
        Told::Warning { step, what, hint } => vec![
            line(Tone::Warn, "!", step.word(), what),
            Line::new()
                .toned(Tone::Busy, format!("    {:WORD$} ", "hint:"))
                .text(hint),
        ],
    }
}

fn line(tone: Tone, mark: &str, word: &str, what: &str) -> Line {
    let line = Line::new().toned(tone, format!("  {mark} "));
    line.toned(Tone::Faint, format!("{word:WORD$} ")).text(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrol::step::{Planned, Step};

    fn shown(told: &[Told], dry_run: bool) -> String {
        let host = "emilia".parse().unwrap();
        let lines = told.iter().flat_map(|told| lines(&host, told, dry_run));
        lines
            .map(|line| line.render(false))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn story() -> Vec<Told> {
        let server = Told::Server {
            system: "Debian GNU/Linux 13 (trixie)".into(),
            architecture: "arm64".into(),
            rights: "as ops with sudo".into(),
        };
        let steps = vec![
            Planned {
                step: Step::Agent,
                needed: false,
                what: "0.1.0 is installed".into(),
            },
            Planned {
                step: Step::Identity,
                needed: true,
                what: "make a key there".into(),
            },
        ];
        let warning = Told::Warning {
            step: Step::Docker,
            what: "Docker missing".into(),
            hint: "do something".into(),
        };
        let done = Told::Done {
            step: Step::Identity,
            what: "longshore://opq/host/emilia".into(),
        };
        vec![server, Told::Plan { steps }, done, warning]
    }

    #[test]
    fn every_step_is_a_line() {
        insta::assert_snapshot!(shown(&story(), false), @r"
        emilia  Debian GNU/Linux 13 (trixie), arm64, as ops with sudo
          ✓ identity  longshore://opq/host/emilia
          ! docker    Docker missing
            hint:     do something
        ");
    }

    #[test]
    fn a_dry_run_lists_what_would_be_done() {
        insta::assert_snapshot!(shown(&story()[..2], true), @r"
        emilia  Debian GNU/Linux 13 (trixie), arm64, as ops with sudo
          = agent     0.1.0 is installed
          + identity  make a key there
        ");
    }
}
