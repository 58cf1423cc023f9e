//! Shows what a deploy would do, and why: as a table for people, as JSON for machines.

use std::collections::BTreeSet;

use proto::fault::Fault;
use proto::id::ServiceName;
use proto::plan::{
    Action, Adoption, Change, Downtime, FieldChange, FilePlan, HostFile, ImagePlan, OrphanPlan,
    Part, Plan, ServicePlan,
};
use serde::Serialize;

use super::{hooks, words};
use crate::amount::bytes;
use crate::event::Place;
use crate::terminal::{Line, Tone};

/// Names of settings are lined up to this width.
const NAME_WIDTH: usize = 32;

/// The plan of one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanView {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// Whether a deploy would do anything.
    pub changes: bool,
    /// Whether orphans would be removed.
    pub remove_orphans: bool,
    /// What it would do.
    pub plan: Plan,
}

/// Every plan, and the places that gave none: the document of `plan -o json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanDocument {
    /// What would be done.
    pub plans: Vec<PlanView>,
    /// Where no plan could be made.
    pub failed: Vec<FailedPlace>,
}

/// A place that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedPlace {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// Why.
    pub fault: Fault,
}

/// Whether a deploy would do anything: orphans alone count only where they would be removed.
#[must_use]
pub fn changes(plan: &Plan, remove_orphans: bool) -> bool {
    let orphans = remove_orphans && !plan.orphans.is_empty();
    let services = plan.services.iter().any(|one| one.action != Action::Keep);
    plan.adoption.is_some()
        || orphans
        || services
        || !plan.files.is_empty()
        || plan.images.iter().any(|one| one.pull)
}

/// All plans; places with the same plan share one.
#[must_use]
pub fn lines(views: &[PlanView]) -> Vec<Line> {
    let mut groups: Vec<(Vec<&PlanView>, Vec<Line>)> = Vec::new();
    for view in views {
        let body = body(view);
        match groups.iter_mut().find(|(_, known)| *known == body) {
            Some((members, _)) => members.push(view),
            None => groups.push((vec![view], body)),
        }
    }
    let show = |(members, body): (Vec<&PlanView>, Vec<Line>)| {
        let headers = members.into_iter().map(header).collect::<Vec<_>>();
        headers.into_iter().chain(body).chain([Line::new()])
    };
    groups.into_iter().flat_map(show).collect()
}

fn header(view: &PlanView) -> Line {
    let base = match &view.plan.base {
        Some(base) => format!("against revision {}", base.short()),
        None => "nothing deployed by longshore yet".to_owned(),
    };
    let more = format!("  in {}, {base}", view.plan.project_directory);
    Line::new()
        .toned(Tone::Strong, view.place.to_string())
        .toned(Tone::Faint, more)
}

fn body(view: &PlanView) -> Vec<Line> {
    let plan = &view.plan;
    let mut lines: Vec<Line> = plan.part.iter().map(part).collect();
    lines.extend(plan.adoption.iter().map(|it| adoption(plan, it)));
    lines.extend(services(plan));
    lines.extend(images(plan));
    lines.extend(files(plan));
    lines.extend(orphans(plan, view.remove_orphans));
    if view.changes {
        lines.extend(hooks::planned(plan));
    }
    let note = |text: &String| Line::new().toned(Tone::Faint, "  note: ").text(text);
    lines.extend(plan.notes.iter().map(note));
    let warning = |text: &String| Line::new().toned(Tone::Warn, "  ! warning: ").text(text);
    lines.extend(plan.warnings.iter().map(warning));
    lines.push(total(view));
    lines
}

/// That most of the stack stays as it is must not be missed.
fn part(part: &Part) -> Line {
    let join = |names: &BTreeSet<ServiceName>| {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        names.join(", ")
    };
    let mut text = format!("  only {}", join(&part.named));
    if !part.needed.is_empty() {
        let depend = if part.named.len() == 1 {
            "it depends"
        } else {
            "they depend"
        };
        text.push_str(&format!(" and what {depend} on: {}", join(&part.needed)));
    }
    Line::new().toned(Tone::Strong, text)
}

fn adoption(plan: &Plan, adoption: &Adoption) -> Line {
    let (project, from) = (&plan.project, &adoption.directory);
    let text = format!("  takes over project {project}, which was started by hand from {from}");
    Line::new().toned(Tone::Strong, text)
}

fn services(plan: &Plan) -> Vec<Line> {
    let changed = || {
        let changes = |one: &&ServicePlan| one.action != Action::Keep;
        plan.services.iter().filter(changes)
    };
    let width = changed().map(|one| name(one).len()).max().unwrap_or(0);
    let mut lines: Vec<Line> = changed().flat_map(|one| service(one, width)).collect();
    let kept: Vec<&str> = plan
        .services
        .iter()
        .filter(|one| one.action == Action::Keep)
        .map(|one| one.service.as_str())
        .collect();
    if !kept.is_empty() {
        let text = format!("    {:9} {}", "keep", kept.join(", "));
        lines.push(Line::new().toned(Tone::Faint, text));
    }
    lines
}

fn name(one: &ServicePlan) -> String {
    match one.replicas {
        0 | 1 => one.service.to_string(),
        many => format!("{} x{many}", one.service),
    }
}

fn service(one: &ServicePlan, width: usize) -> Vec<Line> {
    let (sign, word, tone) = match one.action {
        Action::Create => ("+", "create", Tone::Good),
        Action::Recreate => ("~", "recreate", Tone::Warn),
        Action::Start => (">", "start", Tone::Good),
        Action::Remove => ("-", "remove", Tone::Bad),
        Action::Keep => (" ", "keep", Tone::Faint),
    };
    let first = Line::new()
        .toned(tone, format!("  {sign} {word:9} "))
        .text(format!("{:width$}", name(one)));
    let column = first.width() + 2;
    let mut why = why(one).into_iter();
    let mut lines = vec![match why.next() {
        Some(reason) => first.text("  ").append(reason),
        None => first,
    }];
    lines.extend(why.map(|reason| Line::new().pad_to(column).append(reason)));
    lines
}

/// Settings with what they were and would be, then what else is a reason.
fn why(one: &ServicePlan) -> Vec<Line> {
    let names = one.fields.iter().map(|field| field.name.chars().count());
    let width = names.max().unwrap_or(0).min(NAME_WIDTH);
    let fields = one.fields.iter().map(|field| setting(field, width));
    let reasons = one.reasons.iter().map(|reason| Line::new().text(reason));
    fields.chain(reasons).chain(downtime(one)).collect()
}

/// How long nobody serves.
fn downtime(one: &ServicePlan) -> Option<Line> {
    let Downtime { millis, with_stop } = one.downtime?;
    let service = &one.service;
    let text = match millis.map(words::seconds) {
        None => format!("time without {service}: not measured yet"),
        Some(time) if with_stop => {
            format!("about {time} without {service} (measured at its last start)")
        }
        Some(time) => format!(
            "at least {time} without {service} (its last start; its stop was not measured yet)"
        ),
    };
    Some(Line::new().toned(Tone::Faint, text))
}

fn setting(field: &FieldChange, width: usize) -> Line {
    let (sign, tone) = match field.change {
        Change::Added => ("+", Tone::Good),
        Change::Changed => ("~", Tone::Warn),
        Change::Removed => ("-", Tone::Bad),
    };
    let line = Line::new()
        .toned(tone, format!("{sign} "))
        .text(format!("{:width$}  ", field.name));
    match (&field.before, &field.after) {
        (Some(before), Some(after)) => line
            .toned(Tone::Faint, before)
            .toned(Tone::Faint, " -> ")
            .text(match field.name.as_str() {
                "image" => words::beside(before, after),
                _ => after.as_str(),
            }),
        (Some(one), None) | (None, Some(one)) => line.text(one),
        (None, None) => line,
    }
}

fn images(plan: &Plan) -> Vec<Line> {
    let listed: Vec<&ImagePlan> = plan
        .images
        .iter()
        .filter(|image| image.pull || image.unasked.is_some() || image.digest.is_none())
        .collect();
    let width = listed
        .iter()
        .map(|image| image.reference.len())
        .max()
        .unwrap_or(0);
    listed
        .into_iter()
        .map(|image| image_line(image, width))
        .collect()
}

fn image_line(image: &ImagePlan, width: usize) -> Line {
    let (sign, word, tone) = match (image.pull, &image.unasked) {
        (true, _) => ('↓', "pull", Tone::Busy),
        (false, Some(_)) => (' ', "as is", Tone::Faint),
        (false, None) => ('?', "unsure", Tone::Warn),
    };
    let services: Vec<&str> = image.services.iter().map(|one| one.as_str()).collect();
    let line = Line::new()
        .toned(tone, format!("  {sign} {word:9} "))
        .text(format!("{:width$}  ", image.reference))
        .toned(Tone::Faint, digests(image));
    let line = match &image.platform {
        Some(platform) => line.text(format!("  {platform}")),
        None => line,
    };
    let line = match image.bytes {
        Some(most) => line.text(format!("  at most {}", bytes(most))),
        None => line,
    };
    line.toned(Tone::Faint, format!("  for {}", services.join(", ")))
}

/// What runs now beside what would.
fn digests(image: &ImagePlan) -> String {
    let before = image.before.as_deref().map(words::digest);
    let after = image.digest.as_deref().map(words::digest);
    if let Some(why) = &image.unasked {
        return format!("the host's, its registry is not asked: {why}");
    }
    match (before, after) {
        (_, None) if image.pull => "the registry has not said yet what it is".to_owned(),
        (_, None) => "the registry did not say what it is now".to_owned(),
        (Some(before), Some(after)) if image.pull && before != after => {
            format!("{before} -> {}", words::beside(before, after))
        }
        (_, Some(after)) => after.to_owned(),
    }
}

fn files(plan: &Plan) -> Vec<Line> {
    let kept = plan.kept_files.iter().map(|path| {
        Line::new()
            .text(format!("    {:9} {path}", "keep file"))
            .toned(Tone::Faint, "  changed on the host")
    });
    plan.files.iter().map(file).chain(kept).collect()
}

fn file(file: &FilePlan) -> Line {
    let (sign, word, tone) = match file.change {
        Change::Added => ("+", "file", Tone::Good),
        Change::Changed => ("~", "file", Tone::Warn),
        Change::Removed => ("-", "file", Tone::Bad),
    };
    let line = Line::new()
        .toned(tone, format!("  {sign} {word:9} "))
        .text(file.path.as_str());
    match (file.host, file.change) {
        (HostFile::AsLaidOut, _) => line,
        (HostFile::Gone, _) => line.toned(Tone::Faint, "  gone on the host, made again"),
        (HostFile::Changed, Change::Removed) => {
            line.toned(Tone::Faint, "  changed on the host, it stays there")
        }
        (HostFile::Changed, _) => line.toned(
            Tone::Bad,
            "  changed on the host, too: --overwrite replaces it and keeps a copy",
        ),
    }
}

fn orphans(plan: &Plan, remove: bool) -> Vec<Line> {
    plan.orphans.iter().map(|one| orphan(one, remove)).collect()
}

fn orphan(orphan: &OrphanPlan, remove: bool) -> Line {
    let holds = format!("holds {}", orphan.in_the_way.join(", "));
    let (sign, word, tone, note) = match (orphan.in_the_way.as_slice(), remove) {
        ([_, ..], _) => ("-", "remove", Tone::Bad, holds.as_str()),
        ([], true) => (
            "-",
            "remove",
            Tone::Bad,
            "its service is no longer in the stack",
        ),
        ([], false) => (
            "?",
            "orphan",
            Tone::Warn,
            "stays; --remove-orphans removes it",
        ),
    };
    Line::new()
        .toned(tone, format!("  {sign} {word:9} "))
        .text(&orphan.container)
        .toned(Tone::Faint, format!("  service {}, {note}", orphan.service))
}

fn total(view: &PlanView) -> Line {
    if !view.changes {
        return Line::from("  ").toned(Tone::Good, "nothing to change");
    }
    let plan = &view.plan;
    let services = |action, word| {
        let count = plan
            .services
            .iter()
            .filter(|one| one.action == action)
            .count();
        (count > 0).then(|| format!("{count} to {word}"))
    };
    let pulls = plan.images.iter().filter(|image| image.pull).count();
    let free = plan.disk.as_ref().filter(|_| pulls > 0);
    let room = free.map(|disk| format!(" ({} free)", bytes(disk.free)));
    let removed = plan.orphans.iter();
    let removed = removed.filter(|one| view.remove_orphans || !one.in_the_way.is_empty());
    let removed = removed.count();
    let parts = [
        services(Action::Create, "create"),
        services(Action::Recreate, "recreate"),
        services(Action::Start, "start"),
        services(Action::Remove, "remove"),
        (pulls > 0).then(|| words::count(pulls, "image") + " to pull" + &room.unwrap_or_default()),
        (!plan.files.is_empty()).then(|| words::count(plan.files.len(), "file")),
        (removed > 0).then(|| words::count(removed, "orphan") + " to remove"),
    ];
    let mut parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        parts.push("taken over, nothing else changes".to_owned());
    }
    Line::from("  ").toned(Tone::Strong, parts.join(", "))
}
