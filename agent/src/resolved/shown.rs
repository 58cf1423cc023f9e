//! Settings of a service whose text may be shown. Commands, labels and the environment are not among them: secrets
//! are put into those, so they are known by keyed digests only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::hostkey::HostKey;
use crate::redact::Redactor;

/// Characters of one text.
const LONGEST: usize = 160;
/// Texts of one setting.
const MOST: usize = 100;

/// Plain settings.
const TEXTS: &[&str] = &[
    "cgroup",
    "container_name",
    "cpu_shares",
    "cpus",
    "cpuset",
    "domainname",
    "hostname",
    "init",
    "ipc",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "network_mode",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "privileged",
    "read_only",
    "restart",
    "runtime",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "tty",
    "user",
    "userns_mode",
    "uts",
    "working_dir",
];

/// Settings that are lists of texts.
const LISTS: &[&str] = &[
    "cap_add",
    "cap_drop",
    "dns",
    "dns_search",
    "expose",
    "extra_hosts",
    "group_add",
    "security_opt",
    "tmpfs",
    "volumes_from",
];

/// What can be shown of a service, by setting; a list has several texts. Parts of a setting are told by its name and
/// theirs: `healthcheck interval`.
pub(super) fn of(
    service: &Value,
    key: &HostKey,
    redactor: &Redactor,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut show = |name: &str, text: String| {
        let texts = shown.entry(name.to_owned()).or_default();
        if texts.len() < MOST {
            texts.insert(presentable(&text, redactor));
        }
    };
    for name in TEXTS {
        if let Some(text) = service.get(*name).and_then(text) {
            show(name, text);
        }
    }
    for name in LISTS {
        items(service, name)
            .filter_map(text)
            .for_each(|text| show(name, text));
    }
    items(service, "ports")
        .filter_map(port)
        .for_each(|text| show("ports", text));
    items(service, "volumes")
        .filter_map(volume)
        .for_each(|text| show("volumes", text));
    for name in ["configs", "secrets"] {
        items(service, name)
            .filter_map(source)
            .for_each(|text| show(name, text));
    }
    networks(service)
        .into_iter()
        .for_each(|text| show("networks", text));
    for (name, value) in parts(service, "/healthcheck") {
        // A check may log in somewhere.
        let text = match name {
            "test" => Some(short(&key.mark("setting", value))),
            _ => text(value),
        };
        if let Some(text) = text {
            show(&format!("healthcheck {name}"), text);
        }
    }
    for bound in ["limits", "reservations"] {
        for (name, value) in parts(service, &format!("/deploy/resources/{bound}")) {
            if let Some(text) = text(value) {
                show(&format!("deploy {bound} {name}"), text);
            }
        }
    }
    shown
}

/// A keyed digest as people see it.
pub(crate) fn short(mark: &str) -> String {
    format!("k:{}", mark.get(..6).unwrap_or(mark))
}

/// As the files say it: Compose doubles every dollar sign of what it has resolved.
fn presentable(text: &str, redactor: &Redactor) -> String {
    let text = redactor.line(text.replace("$$", "$"));
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn items<'a>(service: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let items = service.get(name).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn parts<'a>(service: &'a Value, at: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let parts = service.pointer(at).and_then(Value::as_object);
    let parts = parts.into_iter().flatten();
    parts.map(|(name, value)| (name.as_str(), value))
}

/// `127.0.0.1:8080:80/tcp`.
fn port(port: &Value) -> Option<String> {
    let part = |name: &str| port.get(name).and_then(text);
    let inside = part("target")?;
    let protocol = part("protocol").unwrap_or_else(|| "tcp".to_owned());
    let address = part("host_ip").map(|ip| match ip.contains(':') {
        true => format!("[{ip}]:"),
        false => format!("{ip}:"),
    });
    let outside = part("published").map(|port| format!("{port}:"));
    Some(format!(
        "{}{}{inside}/{protocol}",
        address.unwrap_or_default(),
        outside.unwrap_or_default()
    ))
}

/// `db:/var/lib/postgresql`, `/srv/conf:/etc/app:ro`, `tmpfs:/run`.
fn volume(volume: &Value) -> Option<String> {
    let part = |name: &str| volume.get(name).and_then(text);
    let target = part("target")?;
    let source = part("source").or_else(|| part("type")).unwrap_or_default();
    let read_only = volume.get("read_only").and_then(Value::as_bool);
    let flag = if read_only == Some(true) { ":ro" } else { "" };
    Some(format!("{source}:{target}{flag}"))
}

/// `token:/run/secrets/token`.
fn source(item: &Value) -> Option<String> {
    let part = |name: &str| item.get(name).and_then(text);
    let source = part("source")?;
    Some(match part("target") {
        Some(target) => format!("{source}:{target}"),
        None => source,
    })
}

/// Names, with the address that is fixed.
fn networks(service: &Value) -> Vec<String> {
    parts(service, "/networks")
        .map(
            |(name, value)| match value.get("ipv4_address").and_then(text) {
                Some(address) => format!("{name} {address}"),
                None => name.to_owned(),
            },
        )
        .collect()
}
