//! Interpolation values as `fleet.toml` describes them: where each comes from, not yet what it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::stack::VarName;
use toml::de::DeValue;

use super::diagnostic::line_of;
use super::document::{Item, Problems, Section, boolean, entries, kind, text, words};

/// The values of one stack, or of one stack on one host.
pub type Env = BTreeMap<VarName, ValueSpec>;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// Written in `fleet.toml`.
    Text(String),
    /// The content of a file, without one newline at its end.
    File(PathBuf),
    /// What a program prints, without one newline at its end.
    Command(Vec<String>),
    /// A variable of the operator's shell.
    Env(String),
}

/// One value of `fleet.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueSpec {
    /// Where it comes from.
    pub source: ValueSource,
    /// Whether it must stay out of every output.
    pub secret: bool,
    /// The line of `fleet.toml` that says so.
    pub line: usize,
}

/// A value as a file or a program gives it, less one newline at its end, `\n` or `\r\n`: editors and programs end
/// their last line with one that nobody means as part of a password.
#[must_use]
pub fn without_newline(text: &str) -> &str {
    match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    }
}

/// Reads a table of values.
pub(super) fn read_env(
    place: &str,
    item: &Item<'_>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Env {
    let mut env = Env::new();
    for (name, item) in entries::<VarName>(place, item, problems) {
        let Some((source, secret)) =
            read_value(place, name.value.as_str(), item, document, problems)
        else {
            continue;
        };
        let line = line_of(document.text, name.span.start);
        let spec = ValueSpec {
            source,
            secret,
            line,
        };
        env.insert(name.value, spec);
    }
    env
}

/// The text that is being read, and the folder its paths start from.
pub(super) struct Document<'a> {
    /// All of it.
    pub(super) text: &'a str,
    /// The file that it came from.
    pub(super) file: &'a Path,
    /// Where `fleet.toml` lies.
    pub(super) root: &'a Path,
}

fn read_value(
    place: &str,
    name: &str,
    item: &Item<'_>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<(ValueSource, bool)> {
    match item.get_ref() {
        DeValue::String(text) => Some((ValueSource::Text(text.clone().into_owned()), false)),
        DeValue::Boolean(value) => Some((ValueSource::Text(value.to_string()), false)),
        DeValue::Integer(number) if number.radix() == 10 => {
            let text = number.as_str().trim_start_matches('+').to_owned();
            Some((ValueSource::Text(text), false))
        }
        DeValue::Table(_) => {
            let section = Section::new(format!("{place} {name}"), item, problems)?;
            read_source(section, item, document, problems)
        }
        // A float or a date has many spellings; guessing one would change `1.10` to `1.1`.
        _ => {
            let written = document.text.get(item.span()).unwrap_or("").trim();
            let what = format!("the value of {name} is {}, not a string", kind(item));
            let quoted = !written.is_empty() && !written.contains(['\n', '"', '[']);
            let hint = quoted.then(|| format!("put it in quotes: {name} = \"{written}\""));
            problems.add_with(item.span(), what, hint)
        }
    }
}

fn read_source(
    mut section: Section<'_, '_>,
    item: &Item<'_>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<(ValueSource, bool)> {
    let file = section.get("file");
    let command = section.get("command");
    let env = section.get("env");
    let secret = section.get("secret");
    if !section.finish(problems) {
        // Most likely one of the three, misspelt.
        return None;
    }
    // What is kept outside of fleet.toml is kept there for a reason: secret unless said otherwise.
    let secret = secret
        .and_then(|item| boolean("secret", item, problems))
        .unwrap_or(true);
    let source = match (file, command, env) {
        (Some(file), None, None) => {
            let path = non_empty("file", file, problems)?;
            ValueSource::File(document.root.join(path))
        }
        (None, Some(command), None) => {
            let words: Vec<String> = words("command", command, problems)?;
            ValueSource::Command(words)
        }
        (None, None, Some(env)) => {
            let name = non_empty("env", env, problems)?;
            if name.contains(['=', '\0']) {
                let what = format!("{name:?} is not a variable name");
                return problems.add(env.span(), what);
            }
            ValueSource::Env(name.to_owned())
        }
        _ => {
            let what = "a value comes from exactly one of `file`, `command` and `env`";
            return problems.add(item.span(), what);
        }
    };
    Some((source, secret))
}

fn non_empty<'a>(key: &str, item: &'a Item<'_>, problems: &mut Problems) -> Option<&'a str> {
    let text = text(key, item, problems)?;
    if text.is_empty() {
        return problems.add(item.span(), format!("`{key}` is empty"));
    }
    Some(text)
}
