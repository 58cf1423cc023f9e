//! Probes and deadlines of a stack as `fleet.toml` describes them.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::id::{ServiceName, StackName};
use proto::probe::{Check, DEADLINES, INTERVAL, PROBES, Probe, TIMEOUT};
use toml::de::DeValue;

use super::document::{Item, Problems, Section, entries, kind, number, parse, text, words};

/// The most that HTTP has.
const MOST_STATUS: u16 = 599;

/// `[[stacks.NAME.probes]]`.
pub(super) fn read_probes(
    stack: &StackName,
    item: &Item<'_>,
    problems: &mut Problems,
) -> Vec<Probe> {
    let place = format!("[[stacks.{stack}.probes]]");
    let DeValue::Array(items) = item.get_ref() else {
        let what = format!("`probes` must be a list of tables, not {}", kind(item));
        let hint = Some(format!("write {place}"));
        problems.add_with::<()>(item.span(), what, hint);
        return Vec::new();
    };
    if items.len() > PROBES {
        problems.add::<()>(item.span(), format!("a stack has {PROBES} probes at most"));
    }
    let read = |item| read_probe(&place, item, problems);
    items.iter().filter_map(read).collect()
}

fn read_probe(place: &str, item: &Item<'_>, problems: &mut Problems) -> Option<Probe> {
    let mut section = Section::new(place, item, problems)?;
    let service = section.need("service", problems);
    let service = service.and_then(|item| parse("service", item, problems));
    let check = read_check(&mut section, item, problems);
    let timeout = read_time("timeout", TIMEOUT, &mut section, problems);
    let interval = read_time("interval", INTERVAL, &mut section, problems);
    section.finish(problems);
    match Probe::new(service?, check?, timeout?, interval?) {
        Ok(probe) => Some(probe),
        Err(error) => problems.add(item.span(), error.to_string()),
    }
}

fn read_check(
    section: &mut Section<'_, '_>,
    item: &Item<'_>,
    problems: &mut Problems,
) -> Option<Check> {
    let (http, tcp, exec) = (section.get("http"), section.get("tcp"), section.get("exec"));
    let (port, status) = (section.get("port"), section.get("status"));
    if http.is_none() {
        for (key, item) in [("port", port), ("status", status)] {
            if let Some(item) = item {
                let what = format!("`{key}` goes with `http`");
                problems.add::<()>(item.span(), what);
            }
        }
    }
    match (http, tcp, exec) {
        (Some(path), None, None) => {
            let path = text("http", path, problems)?.to_owned();
            let status = match status {
                Some(item) => Some(number("status", MOST_STATUS, item, problems)?),
                None => None,
            };
            let Some(port) = port else {
                let what = "an `http` probe needs the `port` inside the container";
                return problems.add(item.span(), what);
            };
            let port = number("port", u16::MAX, port, problems)?;
            Some(Check::Http { port, path, status })
        }
        (None, Some(port), None) => {
            let port = number("tcp", u16::MAX, port, problems)?;
            Some(Check::Tcp { port })
        }
        (None, None, Some(exec)) => {
            let argv = words("exec", exec, problems)?;
            Some(Check::Exec { argv })
        }
        _ => {
            let what = "a probe asks exactly one of `http`, `tcp` and `exec`";
            problems.add(item.span(), what)
        }
    }
}

fn read_time(
    key: &'static str,
    default: Duration,
    section: &mut Section<'_, '_>,
    problems: &mut Problems,
) -> Option<Duration> {
    match section.get(key) {
        Some(item) => time(key, item, problems),
        None => Some(default),
    }
}

/// `[stacks.NAME.deadlines]`.
pub(super) fn read_deadlines(
    stack: &StackName,
    item: &Item<'_>,
    problems: &mut Problems,
) -> BTreeMap<ServiceName, Duration> {
    let place = format!("[stacks.{stack}.deadlines]");
    let (least, most) = DEADLINES;
    let mut deadlines = BTreeMap::new();
    for (service, item) in entries::<ServiceName>(&place, item, problems) {
        let Some(time) = time(service.value.as_str(), item, problems) else {
            continue;
        };
        if time < least || time > most {
            let what = "a service's deadline is a time from 1s to 24h";
            problems.add::<()>(item.span(), what);
            continue;
        }
        deadlines.insert(service.value, time);
    }
    deadlines
}

fn time(key: &str, item: &Item<'_>, problems: &mut Problems) -> Option<Duration> {
    let text = match item.get_ref() {
        DeValue::String(text) => text.as_ref(),
        DeValue::Integer(number) => {
            let what = format!("`{key}` must be a time, not an integer");
            let hint = format!("write {key} = \"{}s\"", number.as_str());
            return problems.add_with(item.span(), what, Some(hint));
        }
        _ => {
            let what = format!("`{key}` must be a time such as \"5s\", not {}", kind(item));
            return problems.add(item.span(), what);
        }
    };
    let Some(time) = proto::duration::parse(text) else {
        let what = format!("{text:?} is no time");
        let hint = "a time is made of numbers with ms, s, m or h behind them: 500ms, 1m30s";
        return problems.add_with(item.span(), what, Some(hint.to_owned()));
    };
    Some(time)
}
