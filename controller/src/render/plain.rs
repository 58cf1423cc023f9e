//! Append-only lines with the place and the time since the deploy began in front: for CI and for reading back.

use proto::event::{EventKind, Outcome, State};

use super::{hooks, words};
use crate::board::{Container, Site};
use crate::event::{Fact, FleetEvent, Own};
use crate::terminal::{Line, Tone};

/// The lines of an event; none for progress.
pub(super) fn lines(event: &FleetEvent, site: &Site, width: usize) -> Vec<Line> {
    let told = match &event.fact {
        Fact::Own(own) => own_line(own),
        Fact::Agent(event) => agent_line(&event.kind, site),
    };
    told.into_iter()
        .map(|line| prefix(site, width).append(line))
        .collect()
}

/// The line that a live screen leaves standing: what would be gone with the next redraw.
pub(super) fn lasting(event: &FleetEvent, site: &Site, width: usize) -> Option<Line> {
    let lasts = match &event.fact {
        Fact::Own(own) => matches!(
            own,
            Own::LinkLost { .. } | Own::LinkRestored | Own::Fetched { .. } | Own::NotFetched { .. }
        ),
        Fact::Agent(event) => matches!(
            event.kind,
            EventKind::Warning { .. }
                | EventKind::ConfirmWanted { .. }
                | EventKind::HookFinished { .. }
        ),
    };
    lasts.then(|| lines(event, site, width).pop()).flatten()
}

fn prefix(site: &Site, width: usize) -> Line {
    let place = site.place.to_string();
    let elapsed = words::duration(site.elapsed_millis());
    Line::new()
        .toned(Tone::Strong, format!("{place:width$}"))
        .toned(Tone::Faint, format!(" {elapsed:>7}  "))
}

fn own_line(own: &Own) -> Option<Line> {
    Some(match own {
        Own::Connected { .. } | Own::Uploading { .. } | Own::Planned { .. } | Own::Unchanged => {
            return None;
        }
        Own::Detached { .. } => return None,
        Own::Waiting { deploy, operator } => Line::from(format!(
            "waiting for deploy {} of {operator}",
            deploy.short()
        )),
        Own::Submitted { deploy } => Line::from("submitted as deploy ").text(deploy.to_string()),
        Own::LinkLost { why } => Line::new()
            .toned(Tone::Warn, "link lost")
            .text(format!(", trying again; the deploy goes on ({why})")),
        Own::LinkRestored => Line::from("link restored, nothing was missed"),
        Own::Fetched {
            size, file, before, ..
        } => hooks::fetched(*size, file, *before),
        Own::NotFetched { fault, .. } => hooks::not_fetched(fault),
        Own::Left { .. } => Line::new().toned(Tone::Warn, "left"),
        Own::Broke { fault } => Line::new()
            .toned(Tone::Bad, "failed")
            .text(format!(": {fault}")),
    })
}

fn agent_line(kind: &EventKind, site: &Site) -> Option<Line> {
    Some(match kind {
        EventKind::Received { operator, .. } => Line::from(format!("received from {operator}")),
        // Told by its own event, with the id.
        EventKind::StateEntered {
            state: State::Received,
        } => return None,
        EventKind::StateEntered { state } => {
            let (word, tone) = words::state(*state);
            Line::new().toned(tone, word)
        }
        EventKind::PullStarted { image } => Line::from(format!("pulling {image}")),
        EventKind::LayerProgress { .. } => return None,
        EventKind::PullFinished {
            image,
            digest,
            outcome,
        } => pulled(image, digest, *outcome),
        EventKind::ComposeLine { text } => Line::new().toned(Tone::Faint, "compose: ").text(text),
        EventKind::HookStarted { .. }
        | EventKind::HookLine { .. }
        | EventKind::HookFinished { .. } => return hooks::line(kind, site),
        EventKind::ServiceState {
            service,
            container,
            state,
            health,
            exit_code,
            settled,
        } => {
            let one = Container {
                service: service.clone(),
                state: *state,
                health: *health,
                exit_code: *exit_code,
                settled: *settled,
            };
            service_line(container, &one)
        }
        EventKind::ProbeAnswered {
            service,
            container,
            probe,
            passed,
            answer,
        } => {
            let tone = if *passed { Tone::Good } else { Tone::Busy };
            Line::from(format!("{service} {container}: {probe} ")).toned(tone, answer)
        }
        EventKind::Warning { text } => Line::new().toned(Tone::Warn, "warning: ").text(text),
        EventKind::ConfirmWanted { seconds } => Line::from("goes back in ")
            .text(words::duration(u64::from(*seconds) * 1000))
            .text(" unless it is confirmed: ")
            .toned(Tone::Strong, format!("controller confirm {}", site.place)),
        // The last lines say it.
        EventKind::Renewed { .. } => return None,
        EventKind::Confirmed { operator } => Line::from(format!("confirmed by {operator}")),
        EventKind::Finished {
            revision, outcome, ..
        } => {
            let (word, tone) = words::outcome(*outcome);
            let line = Line::new().toned(tone, word);
            match revision {
                Some(revision) => line.text(format!(", revision {}", revision.short())),
                None => line,
            }
        }
    })
}

fn pulled(image: &str, digest: &str, outcome: Outcome) -> Line {
    match outcome {
        Outcome::Succeeded => {
            Line::from(format!("pulled {image} ")).toned(Tone::Faint, words::digest(digest))
        }
        Outcome::Skipped => {
            Line::from(format!("present {image} ")).toned(Tone::Faint, words::digest(digest))
        }
        other => {
            let (word, tone) = words::outcome(other);
            Line::from(format!("pulling {image} ")).toned(tone, word)
        }
    }
}

fn service_line(container: &str, one: &Container) -> Line {
    let (phrase, tone) = words::container(one);
    let line = Line::from(format!("{} {container}: ", one.service)).toned(tone, phrase);
    if one.settled {
        line.toned(Tone::Good, ", ready")
    } else {
        line
    }
}
