//! Walks a TOML document with exact places, collecting every problem instead of stopping at the first.

use std::collections::HashSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Problem;
use crate::suggest;

/// A value with its place.
pub(super) type Item<'d> = Spanned<DeValue<'d>>;

/// Where problems are put.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a problem; `None`, so that a reader can return it.
    pub(super) fn add<T>(&mut self, span: Range<usize>, what: impl Into<String>) -> Option<T> {
        self.add_with(span, what, None)
    }

    /// Notes a problem with a hint.
    pub(super) fn add_with<T>(
        &mut self,
        span: Range<usize>,
        what: impl Into<String>,
        hint: Option<String>,
    ) -> Option<T> {
        let what = what.into();
        self.0.push(Problem { span, what, hint });
        None
    }

    /// Everything found, in the order of the text.
    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.span.start);
        self.0
    }
}

/// One table whose keys are all known; asking for a key is what makes it known.
pub(super) struct Section<'a, 'd> {
    place: String,
    span: Range<usize>,
    table: &'a DeTable<'d>,
    asked: Vec<&'static str>,
}

impl<'a, 'd> Section<'a, 'd> {
    /// The table at `item`; `place` is how messages name it.
    pub(super) fn new(
        place: impl Into<String>,
        item: &'a Item<'d>,
        problems: &mut Problems,
    ) -> Option<Self> {
        let place = place.into();
        let DeValue::Table(table) = item.get_ref() else {
            let what = format!("{place} must be a table, not {}", kind(item));
            return problems.add(item.span(), what);
        };
        Some(Self::over(place, item.span(), table))
    }

    /// The table itself.
    pub(super) fn over(
        place: impl Into<String>,
        span: Range<usize>,
        table: &'a DeTable<'d>,
    ) -> Self {
        Self {
            place: place.into(),
            span,
            table,
            asked: Vec::new(),
        }
    }

    /// The value of `key`, if it is there.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Item<'d>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// The value of `key`; not having it is a problem.
    pub(super) fn need(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<&'a Item<'d>> {
        let found = self.get(key);
        if found.is_none() {
            let what = format!("{} lacks `{key}`", self.place);
            problems.add::<()>(self.span.clone(), what);
        }
        found
    }

    /// A text parsed by its type.
    pub(super) fn parse<T>(&mut self, key: &'static str, problems: &mut Problems) -> Option<T>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let item = self.get(key)?;
        parse(key, item, problems)
    }

    /// A list of texts, each parsed by its type; naming one twice is a problem.
    pub(super) fn list<T>(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Placed<T>>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        self.get(key)
            .map(|item| list(key, item, problems))
            .unwrap_or_default()
    }

    /// One text, or a list of them.
    pub(super) fn one_or_list<T>(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Vec<Placed<T>>
    where
        T: std::str::FromStr<Err: std::fmt::Display>,
    {
        let Some(item) = self.get(key) else {
            return Vec::new();
        };
        if !matches!(item.get_ref(), DeValue::String(_)) {
            return list(key, item, problems);
        }
        let value = parse(key, item, problems);
        let span = item.span();
        value
            .map(|value| Placed { span, value })
            .into_iter()
            .collect()
    }

    /// Everything that was not asked for is unknown; whether there was nothing of that kind.
    pub(super) fn finish(self, problems: &mut Problems) -> bool {
        let mut clean = true;
        for (key, _) in self.table {
            if self.asked.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let what = format!("unknown key `{}` in {}", key.get_ref(), self.place);
            let hint = suggest::hint(key.get_ref(), self.asked.iter().copied());
            problems.add_with::<()>(key.span(), what, hint);
            clean = false;
        }
        clean
    }
}

/// A parsed value with the place it came from.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    /// Where.
    pub(super) span: Range<usize>,
    /// What.
    pub(super) value: T,
}

/// The entries of a table whose keys are names, in the order of the text.
pub(super) fn entries<'a, 'd, K>(
    place: &str,
    item: &'a Item<'d>,
    problems: &mut Problems,
) -> Vec<(Placed<K>, &'a Item<'d>)>
where
    K: std::str::FromStr<Err: std::fmt::Display>,
{
    let DeValue::Table(table) = item.get_ref() else {
        let what = format!("{place} must be a table, not {}", kind(item));
        problems.add::<()>(item.span(), what);
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, item) in table {
        let span = key.span();
        match key.get_ref().parse::<K>() {
            Ok(value) => found.push((Placed { span, value }, item)),
            Err(error) => {
                problems.add::<()>(span, error.to_string());
            }
        }
    }
    found.sort_by_key(|(key, _)| key.span.start);
    found
}

/// The text at `item`.
pub(super) fn text<'a>(key: &str, item: &'a Item<'_>, problems: &mut Problems) -> Option<&'a str> {
    match item.get_ref() {
        DeValue::String(text) => Some(text.as_ref()),
        _ => {
            let what = format!("`{key}` must be a string, not {}", kind(item));
            problems.add(item.span(), what)
        }
    }
}

/// The truth value at `item`.
pub(super) fn boolean(key: &str, item: &Item<'_>, problems: &mut Problems) -> Option<bool> {
    match item.get_ref() {
        DeValue::Boolean(value) => Some(*value),
        _ => {
            let what = format!("`{key}` must be true or false, not {}", kind(item));
            problems.add(item.span(), what)
        }
    }
}

/// The whole number at `item`, from 1 to `most`.
pub(super) fn number(
    key: &str,
    most: u16,
    item: &Item<'_>,
    problems: &mut Problems,
) -> Option<u16> {
    let number = match item.get_ref() {
        DeValue::Integer(number) => u16::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    let number = number.filter(|number| (1..=most).contains(number));
    if number.is_none() {
        let what = format!("`{key}` must be a number from 1 to {most}");
        problems.add::<()>(item.span(), what);
    }
    number
}

/// The words of a command at `item`; unlike in other lists, one may come twice.
pub(super) fn words(key: &str, item: &Item<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let DeValue::Array(items) = item.get_ref() else {
        // Reuse the message that every list has.
        list::<String>(key, item, problems);
        return None;
    };
    let words: Vec<String> = items
        .iter()
        .filter_map(|item| text(key, item, problems).map(str::to_owned))
        .collect();
    if words.first().is_none_or(String::is_empty) {
        return problems.add(item.span(), format!("`{key}` names no program"));
    }
    Some(words)
}

/// The text at `item`, parsed by its type.
pub(super) fn parse<T>(key: &str, item: &Item<'_>, problems: &mut Problems) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let parsed = text(key, item, problems)?.parse();
    match parsed {
        Ok(value) => Some(value),
        Err(error) => problems.add(item.span(), error.to_string()),
    }
}

/// The list at `item`.
pub(super) fn list<T>(key: &str, item: &Item<'_>, problems: &mut Problems) -> Vec<Placed<T>>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let DeValue::Array(items) = item.get_ref() else {
        let what = format!("`{key}` must be a list of strings, not {}", kind(item));
        let hint = match item.get_ref() {
            DeValue::String(text) => Some(format!("write {key} = [{text:?}]")),
            _ => None,
        };
        problems.add_with::<()>(item.span(), what, hint);
        return Vec::new();
    };
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for item in items {
        let Some(value) = parse(key, item, problems) else {
            continue;
        };
        let span = item.span();
        if let DeValue::String(text) = item.get_ref()
            && !seen.insert(text)
        {
            problems.add::<()>(span, format!("`{key}` names {text:?} twice"));
            continue;
        }
        found.push(Placed { span, value });
    }
    found
}

/// What a value is, with its article.
pub(super) fn kind(item: &Item<'_>) -> &'static str {
    match item.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
