//! Lines about hooks: what is run, what it printed, how it ended, and where its output lies.

use proto::event::{EventKind, Outcome};
use proto::fault::Fault;
use proto::hook::Saved;
use proto::plan::{HookPlan, Plan};

use super::words;
use crate::amount::bytes;
use crate::board::{HookSeen, Site};
use crate::terminal::{Line, Tone};

/// The line of an event that is about a hook.
pub(super) fn line(kind: &EventKind, site: &Site) -> Option<Line> {
    let known = |hook: &u32| site.hooks.get(hook);
    Some(match kind {
        EventKind::HookStarted {
            when,
            service,
            command,
            ..
        } => Line::from(format!("{when} the deploy, {service} runs ")).toned(Tone::Strong, command),
        EventKind::HookLine { hook, text } => {
            let service = known(hook).map_or("hook", |hook| hook.service.as_str());
            Line::new()
                .toned(Tone::Faint, format!("{service}: "))
                .text(text)
        }
        EventKind::HookFinished {
            hook,
            outcome,
            number,
            saved,
            note,
            ..
        } => {
            let said = said(number.as_deref(), saved.as_deref(), note.as_deref());
            finished(known(hook), *outcome).text(said)
        }
        _ => return None,
    })
}

fn finished(hook: Option<&HookSeen>, outcome: Outcome) -> Line {
    let (word, tone) = match outcome {
        Outcome::Succeeded => ("done", Tone::Good),
        Outcome::Skipped => ("skipped", Tone::Plain),
        other => words::outcome(other),
    };
    let begin = match hook {
        Some(hook) => format!("{} the deploy, {}: ", hook.when, hook.service),
        None => "hook: ".to_owned(),
    };
    Line::from(begin).toned(tone, word)
}

fn said(number: Option<&str>, saved: Option<&Saved>, note: Option<&str>) -> String {
    let mut said = String::new();
    if let Some(note) = note {
        said.push_str(": ");
        said.push_str(note);
    } else if let Some(number) = number {
        said.push_str(", it printed ");
        said.push_str(number);
    }
    if let Some(saved) = saved {
        let size = bytes(saved.size);
        said.push_str(&match &saved.file {
            Some(file) => format!(", {size} in {file} on the host"),
            None => format!(", {size}"),
        });
    }
    said
}

/// An output that lies on this workstation.
pub(super) fn fetched(size: u64, file: &str, before: bool) -> Line {
    let line = Line::new()
        .toned(Tone::Good, "saved")
        .text(format!(" {file} "));
    let note = if before {
        "(it was here before)".to_owned()
    } else {
        format!("({})", bytes(size))
    };
    line.toned(Tone::Faint, note)
}

/// An output that does not.
pub(super) fn not_fetched(fault: &Fault) -> Line {
    let causes = fault.causes.iter().map(|cause| format!(": {cause}"));
    let causes: String = causes.collect();
    Line::new()
        .toned(Tone::Warn, "not saved here: ")
        .text(format!("{fault}{causes}"))
}

/// What a plan would run besides, a line each.
pub(super) fn planned(plan: &Plan) -> Vec<Line> {
    plan.hooks.iter().map(planned_one).collect()
}

fn planned_one(hook: &HookPlan) -> Line {
    let gate = if hook.gate { ", a gate" } else { "" };
    let own = if hook.one_off {
        ", in a container of its own"
    } else {
        ""
    };
    let line = Line::new()
        .toned(Tone::Busy, format!("  » {:9} ", hook.when.to_string()))
        .text(format!("{}  {}", hook.service, hook.command))
        .toned(Tone::Faint, format!("{gate}{own}"));
    match &hook.save {
        Some(file) if hook.on_host => {
            line.toned(Tone::Faint, format!(", kept in {file} on the host"))
        }
        Some(file) => line.toned(Tone::Faint, format!(", kept in {file}")),
        None => line,
    }
}
