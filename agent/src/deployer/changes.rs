//! What a deploy changes, in a few words for the history: names, and never values.

use proto::id::RevisionId;
use proto::plan::{Action, FieldChange, Plan, ServicePlan};

use crate::deploy::Work;
use crate::redact::Redactor;

/// The most parts of one summary, with one more that counts the rest.
const MOST: usize = 20;
/// The most reasons or files in one part.
const MOST_IN_ONE: usize = 4;
/// Characters of one part.
const LONGEST: usize = 200;

/// What `work` changes in a stack that is at `current`.
pub(super) fn of(work: &Work, current: Option<RevisionId>, redactor: &Redactor) -> Vec<String> {
    let parts = match work {
        Work::Deploy {
            plan,
            remove_orphans,
            ..
        } => of_plan(&redactor.plan(plan.as_ref().clone()), *remove_orphans),
        Work::Rollback { to, .. } => {
            let from = current.map_or_else(|| "nothing".to_owned(), |from| from.short());
            vec![format!("revision {from} -> {}", to.short())]
        }
        Work::Down { volumes: true, .. } => vec!["volumes too".to_owned()],
        Work::Down { volumes: false, .. } => Vec::new(),
    };
    bounded(parts)
}

fn of_plan(plan: &Plan, remove_orphans: bool) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(adoption) = &plan.adoption {
        parts.push(format!("taken over from {}", adoption.directory));
    }
    if let Some(part) = &plan.part {
        let names = part.services().into_iter().map(ToString::to_string);
        parts.push(format!("only {}", listed(names)));
    }
    parts.extend(plan.services.iter().filter_map(of_service));
    if !plan.files.is_empty() {
        let paths = plan.files.iter().map(|file| file.path.to_string());
        parts.push(format!("files {}", listed(paths)));
    }
    let orphans = plan.orphans.iter();
    let removed = orphans.filter(|it| remove_orphans || !it.in_the_way.is_empty());
    parts.extend(removed.map(|orphan| format!("remove {}", orphan.container)));
    parts
}

fn of_service(plan: &ServicePlan) -> Option<String> {
    let verb = match plan.action {
        Action::Keep => return None,
        Action::Create => return Some(format!("create {}", plan.service)),
        Action::Recreate => "recreate",
        Action::Start => "start",
        Action::Remove => "remove",
    };
    let why = plan.why();
    let image = plan.fields.iter().find(|field| field.name == "image");
    Some(match image.and_then(image_change) {
        Some(image) => format!("{}: {image}", plan.service),
        None if why.is_empty() => format!("{verb} {}", plan.service),
        None => format!("{verb} {}: {}", plan.service, listed(why.into_iter())),
    })
}

/// `image org/web:1 -> org/web:2` as `image 1 -> 2`: where it is from has not changed.
fn image_change(field: &FieldChange) -> Option<String> {
    let (old, new) = (field.before.as_deref()?, field.after.as_deref()?);
    let tag = |name: &str| {
        name.rsplit_once(':')
            .map(|(at, tag)| (at.to_owned(), tag.to_owned()))
    };
    Some(match (tag(old), tag(new)) {
        // Tags that look the same were told apart by what is masked in the names.
        (Some((one, old)), Some((other, new))) if one == other && old != new => {
            format!("image {old} -> {new}")
        }
        _ => format!("image {old} -> {new}"),
    })
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(MOST_IN_ONE);
    names.truncate(MOST_IN_ONE);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

fn bounded(mut parts: Vec<String>) -> Vec<String> {
    let more = parts.len().saturating_sub(MOST);
    parts.truncate(MOST);
    for part in &mut parts {
        if part.chars().count() > LONGEST {
            *part = part.chars().take(LONGEST - 1).chain(['…']).collect();
        }
    }
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    parts
}

#[cfg(test)]
mod tests {
    use proto::plan::Change;

    use super::*;

    #[test]
    fn an_image_of_the_same_place_is_told_by_its_tags() {
        let image = |before: Option<&str>, after: &str| FieldChange {
            name: "image".to_owned(),
            change: Change::Changed,
            before: before.map(str::to_owned),
            after: Some(after.to_owned()),
        };
        for (old, new, told) in [
            ("org/web:1", "org/web:2", "image 1 -> 2"),
            ("h:5000/web:1", "h:5000/web:2", "image 1 -> 2"),
            ("a:1", "b:1", "image a:1 -> b:1"),
            ("web", "web:1", "image web -> web:1"),
        ] {
            let change = image(Some(old), new);
            assert_eq!(image_change(&change).as_deref(), Some(told), "{change:?}");
        }
        assert_eq!(image_change(&image(None, "web:1")), None);
    }

    #[test]
    fn a_summary_is_bounded() {
        let parts = bounded(vec!["é".repeat(500); 50]);
        assert_eq!(parts.len(), MOST + 1);
        assert!(parts.iter().all(|part| part.chars().count() <= LONGEST));
        assert_eq!(parts.last().unwrap(), "30 more");
        assert_eq!(listed((0..6).map(|n| n.to_string())), "0, 1, 2, 3, 2 more");
    }
}
