//! A failure on its way to a person: what, on which host, why, the last output, and what to do next.

use proto::fault::{Fault, FaultKind};

use crate::exit::Exit;
use crate::terminal::{Line, Tone};

/// A fault and where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The host, where there is one.
    pub host: Option<String>,
    /// What went wrong.
    pub fault: Fault,
}

impl Failure {
    /// A failure on a host.
    #[must_use]
    pub fn on(host: &proto::id::HostName, fault: Fault) -> Self {
        Self {
            host: Some(host.to_string()),
            fault,
        }
    }

    /// The code that the command ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.fault.kind.into()
    }

    /// The lines for standard error.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        let Fault {
            kind,
            what: _,
            causes,
            output,
            hints,
            reason: _,
        } = &self.fault;
        let mut lines = vec![
            Line::new()
                .toned(Tone::Bad, "error: ")
                .text(self.sentence()),
        ];
        let caused = |cause| Line::new().toned(Tone::Faint, "caused by: ").text(cause);
        lines.extend(causes.iter().flat_map(|cause| cause.lines()).map(caused));
        lines.extend(output.iter().map(|line| Line::from("    ").text(line)));
        let hinted = |hint| Line::new().toned(Tone::Busy, "hint: ").text(hint);
        lines.extend(hints.iter().map(|hint| hinted(hint.as_str())));
        if *kind == FaultKind::Internal {
            lines.push(hinted("this is a defect in longshore; please report it"));
        }
        lines
    }

    fn sentence(&self) -> String {
        let what = &self.fault.what;
        match &self.host {
            Some(host) if !names(what, host) => format!("{what}, on {host}"),
            _ => what.clone(),
        }
    }
}

/// Whether a sentence already says where.
fn names(what: &str, host: &str) -> bool {
    let word = |word: &str| word.trim_end_matches([',', ':', ';']).to_owned();
    let words: Vec<String> = what.split_whitespace().map(word).collect();
    words.windows(2).any(|pair| pair == ["on", host])
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { host: None, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(failure: &Failure) -> String {
        let lines: Vec<String> = failure.lines().iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn a_failure_says_what_where_why_and_what_next() {
        let fault = Fault::new(FaultKind::Failed, "web did not become healthy")
            .cause("its healthcheck failed 3 times")
            .cause("connection refused")
            .output([
                "listening on \x1b[1m8080\x1b[0m".to_owned(),
                "panic".to_owned(),
            ])
            .hint("look at controller logs emilia/opq/web")
            .hint("the stack is back at revision 0a1b2c3d4e5f");
        insta::assert_snapshot!(shown(&Failure::on(&"emilia".parse().unwrap(), fault)), @r"
        error: web did not become healthy, on emilia
        caused by: its healthcheck failed 3 times
        caused by: connection refused
            listening on ␛[1m8080␛[0m
            panic
        hint: look at controller logs emilia/opq/web
        hint: the stack is back at revision 0a1b2c3d4e5f
        ");
    }

    #[test]
    fn a_failure_without_a_host_names_none() {
        let fault = Fault::new(FaultKind::InvalidStack, "fleet.toml is not valid");
        assert_eq!(shown(&fault.into()), "error: fleet.toml is not valid");
    }

    #[test]
    fn a_sentence_that_names_the_host_is_left_alone() {
        let what = "controller 0.1.0 speaks protocol 1, agent 0.9.0 on emilia speaks 2: upgrade the controller";
        let fault = Fault::new(FaultKind::Unsupported, what);
        let failure = Failure::on(&"emilia".parse().unwrap(), fault);
        assert_eq!(shown(&failure), format!("error: {what}"));
    }

    #[test]
    fn a_defect_says_so() {
        let fault = Fault::new(FaultKind::Internal, "no JSON form");
        assert!(
            shown(&fault.into()).ends_with("hint: this is a defect in longshore; please report it")
        );
    }
}
