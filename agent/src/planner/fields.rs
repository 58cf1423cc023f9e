//! The settings that differ between a committed service and a wanted one: as texts where they may be shown, as keyed
//! digests elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use proto::plan::{Change, FieldChange};

use crate::resolved::{ResolvedService, short};

type Texts = BTreeMap<String, BTreeSet<String>>;

/// Every setting that differs, by name; the image is not one of them.
pub(super) fn changed(old: &ResolvedService, new: &ResolvedService) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = old.marks.keys().chain(new.marks.keys()).collect();
    names
        .into_iter()
        .filter(|name| *name != "image" && old.marks.get(*name) != new.marks.get(*name))
        .flat_map(|name| setting(name, old, new))
        .collect()
}

fn setting(name: &str, old: &ResolvedService, new: &ResolvedService) -> Vec<FieldChange> {
    let (before, after) = (old.marks.get(name), new.marks.get(name));
    let texts = if is_shown(name, old) && is_shown(name, new) {
        in_texts(name, &old.shown, &new.shown)
    } else {
        Vec::new()
    };
    // What can be shown may be the same though the setting is not: masked, cut, or in another part of it.
    if texts.is_empty() {
        let digest = |mark: Option<&String>| mark.map(|mark| short(mark));
        return change(name, digest(before), digest(after))
            .into_iter()
            .collect();
    }
    texts
}

/// Revisions of an older agent have no texts: they must not look as if everything were new.
fn is_shown(name: &str, service: &ResolvedService) -> bool {
    !service.marks.contains_key(name) || service.shown.keys().any(|key| is_part(key, name))
}

fn is_part(key: &str, name: &str) -> bool {
    key.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn in_texts(name: &str, old: &Texts, new: &Texts) -> Vec<FieldChange> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let none = BTreeSet::new();
    keys.into_iter()
        .filter(|key| is_part(key, name))
        .flat_map(|key| {
            let before = old.get(key).unwrap_or(&none);
            let after = new.get(key).unwrap_or(&none);
            items(key, before, after)
        })
        .collect()
}

/// One for one is a change; otherwise items come and go.
fn items(name: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<FieldChange> {
    let gone: Vec<&String> = before.difference(after).collect();
    let come: Vec<&String> = after.difference(before).collect();
    if let ([gone], [come]) = (gone.as_slice(), come.as_slice()) {
        return change(name, Some((*gone).clone()), Some((*come).clone()))
            .into_iter()
            .collect();
    }
    let gone = gone
        .into_iter()
        .filter_map(|text| change(name, Some(text.clone()), None));
    let come = come
        .into_iter()
        .filter_map(|text| change(name, None, Some(text.clone())));
    gone.chain(come).collect()
}

fn change(name: &str, before: Option<String>, after: Option<String>) -> Option<FieldChange> {
    let change = match (&before, &after) {
        (None, None) => return None,
        (None, Some(_)) => Change::Added,
        (Some(_), None) => Change::Removed,
        (Some(_), Some(_)) => Change::Changed,
    };
    Some(FieldChange {
        name: name.to_owned(),
        change,
        before,
        after,
    })
}
