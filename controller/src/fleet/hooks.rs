//! The commands that a stack wants run before and after a deploy, as `fleet.toml` describes them.

use proto::hook::{
    COMMAND_BYTES, Gate, HOOKS, Hook, Save, SavePlace, TIMEOUT_MOST_SECONDS, TIMEOUT_SECONDS,
    Template, When,
};
use proto::id::ServiceName;
use toml::de::DeValue;

use super::StackHook;
use super::diagnostic::{Diagnostic, Problem};
use super::document::{Item, Problems, Section, boolean, kind, parse, text};
use super::value::Document;
use crate::cli;

/// Reads `hooks` of a stack: those before a deploy, then those after it.
pub(super) fn read_hooks(
    place: &str,
    item: &Item<'_>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Vec<StackHook> {
    let Some(mut section) = Section::new(format!("`hooks` in {place}"), item, problems) else {
        return Vec::new();
    };
    let sides = [(When::Before, "before"), (When::After, "after")];
    let sides = sides.map(|(when, key)| (when, key, section.get(key)));
    section.finish(problems);
    let mut hooks = Vec::new();
    for (when, key, item) in sides {
        let Some(item) = item else { continue };
        let DeValue::Array(items) = item.get_ref() else {
            let what = format!("`{key}` must be a list of tables, not {}", kind(item));
            let name = place.trim_matches(['[', ']']);
            let hint = format!("write [[{name}.hooks.{key}]]");
            problems.add_with::<()>(item.span(), what, Some(hint));
            continue;
        };
        hooks.extend(
            items
                .iter()
                .filter_map(|item| read_hook(when, item, document, problems)),
        );
    }
    if hooks.len() > HOOKS {
        let what = format!("{} hooks; {HOOKS} is the most", hooks.len());
        problems.add::<()>(item.span(), what);
    }
    hooks
}

fn read_hook(
    when: When,
    item: &Item<'_>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<StackHook> {
    let mut section = Section::new(format!("a hook {when} the deploy"), item, problems)?;
    let service_item = section.need("service", problems);
    let service = service_item.and_then(|item| parse::<ServiceName>("service", item, problems));
    let run = section.need("run", problems);
    let run = run.and_then(|item| words(item, problems));
    let one_off = section.get("one_off");
    let one_off = one_off.and_then(|item| boolean("one_off", item, problems));
    let timeout = section.get("timeout");
    let timeout = timeout.and_then(|item| seconds(item, problems));
    let gate = Keys {
        gate: section.get("gate"),
        at_least: section.get("at_least"),
        at_most: section.get("at_most"),
    };
    let gate = gate.read(when, problems);
    let save = (section.get("save"), section.get("save_on"));
    let save = read_save(save.0, save.1, item, problems);
    section.finish(problems);
    if gate.is_some() && save.is_some() {
        let what = "a hook is either a gate or saves what it prints";
        problems.add_with::<()>(item.span(), what, Some("make two of it".to_owned()));
    }
    let service_at = service_item.map_or_else(|| item.span(), Item::span);
    let problem = Problem {
        span: service_at,
        what: String::new(),
        hint: None,
    };
    Some(StackHook {
        service_at: Diagnostic::new(document.file, document.text, problem),
        hook: Hook {
            when,
            service: service?,
            run: run?,
            one_off: one_off.unwrap_or(false),
            timeout_seconds: timeout.unwrap_or(TIMEOUT_SECONDS),
            gate,
            save,
        },
    })
}

/// A program and its arguments, each as it is.
fn words(item: &Item<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let DeValue::Array(items) = item.get_ref() else {
        let what = format!("`run` must be a list of strings, not {}", kind(item));
        let hint = match item.get_ref() {
            DeValue::String(text) => {
                let words: Vec<&str> = text.split_whitespace().collect();
                Some(format!("there is no shell: write run = {words:?}"))
            }
            _ => None,
        };
        return problems.add_with(item.span(), what, hint);
    };
    let mut words = Vec::new();
    for item in items {
        let word = text("run", item, problems)?;
        if word.contains('\0') {
            return problems.add(item.span(), "an argument cannot have a NUL in it");
        }
        words.push(word.to_owned());
    }
    if words.first().is_none_or(String::is_empty) {
        return problems.add(item.span(), "`run` names no program");
    }
    if words.iter().map(String::len).sum::<usize>() > COMMAND_BYTES {
        let what = format!("`run` is longer than {COMMAND_BYTES} bytes");
        return problems.add(item.span(), what);
    }
    Some(words)
}

fn seconds(item: &Item<'_>, problems: &mut Problems) -> Option<u32> {
    let written = text("timeout", item, problems)?;
    match cli::duration(written) {
        Ok(time) => match u32::try_from(time.as_secs()) {
            Ok(seconds @ 1..=TIMEOUT_MOST_SECONDS) => Some(seconds),
            _ => problems.add(item.span(), "`timeout` must be between 1s and 24h"),
        },
        Err(rule) => problems.add(item.span(), rule),
    }
}

/// What makes a hook a gate.
struct Keys<'a, 'd> {
    gate: Option<&'a Item<'d>>,
    at_least: Option<&'a Item<'d>>,
    at_most: Option<&'a Item<'d>>,
}

impl Keys<'_, '_> {
    fn read(&self, when: When, problems: &mut Problems) -> Option<Gate> {
        let said = self.gate.and_then(|item| boolean("gate", item, problems));
        let at_least = self
            .at_least
            .and_then(|item| integer("at_least", item, problems));
        let at_most = self
            .at_most
            .and_then(|item| integer("at_most", item, problems));
        let first = [self.gate, self.at_least, self.at_most];
        let first = first.into_iter().flatten().next()?;
        let bounded = self.at_least.is_some() || self.at_most.is_some();
        if said == Some(false) && bounded {
            let what = "`gate = false` says the opposite of `at_least` and `at_most`";
            return problems.add(first.span(), what);
        }
        if said == Some(false) {
            return None;
        }
        if when == When::After {
            let what =
                "after a deploy there is nothing left to refuse: only a hook before it is a gate";
            return problems.add(first.span(), what);
        }
        if let (Some(least), Some(most)) = (at_least, at_most)
            && least > most
        {
            return problems.add(first.span(), "no number is between the two");
        }
        Some(Gate { at_least, at_most })
    }
}

fn integer(key: &str, item: &Item<'_>, problems: &mut Problems) -> Option<i64> {
    if let DeValue::Integer(number) = item.get_ref()
        && let Ok(value) = i64::from_str_radix(number.as_str(), number.radix())
    {
        return Some(value);
    }
    let what = format!("`{key}` must be a whole number, not {}", kind(item));
    problems.add(item.span(), what)
}

fn read_save(
    save: Option<&Item<'_>>,
    save_on: Option<&Item<'_>>,
    hook: &Item<'_>,
    problems: &mut Problems,
) -> Option<Save> {
    let place = match save_on.map(|item| (item, text("save_on", item, problems))) {
        None => SavePlace::Workstation,
        Some((_, Some("host"))) => SavePlace::Host,
        Some((_, Some("workstation"))) => SavePlace::Workstation,
        Some((item, other)) => {
            // What is no string at all was told of already.
            if other.is_some() {
                let what = "`save_on` is \"host\" or \"workstation\"";
                problems.add::<()>(item.span(), what);
            }
            return None;
        }
    };
    let Some(item) = save else {
        if save_on.is_some() {
            let what = "`save_on` needs `save`, which says to what file";
            problems.add::<()>(hook.span(), what);
        }
        return None;
    };
    let file: Template = parse("save", item, problems)?;
    if place == SavePlace::Host && !file.is_absolute() {
        let what = "a file on the host is named by its absolute path";
        return problems.add(item.span(), what);
    }
    Some(Save { place, file })
}
