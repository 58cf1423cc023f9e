//! From the lines that apply to a host to how it is reached: for every keyword the first value wins.

use std::path::PathBuf;
use std::time::Duration;

use super::expand::{self, Tokens};
use super::file::Entry;
use super::{ConfigError, Settings, Surroundings, Unknown};
use crate::fleet::address::SshTarget;

/// The keys that are tried if the configuration names none. RSA is among them so that its refusal is heard of.
const KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

pub(super) fn settle(
    target: &SshTarget,
    around: &Surroundings,
    entries: &[Entry],
) -> Result<Settings, ConfigError> {
    let lines = Lines(entries);
    let typed = target.host.as_str();
    let host = match lines.first("hostname")? {
        Some((text, entry)) => named(entry, expand::host_name(text, typed))?,
        None => typed.to_owned(),
    };
    let port = match (target.port, lines.first("port")?) {
        (Some(port), _) => port,
        (None, Some((text, entry))) => {
            port(text).ok_or_else(|| entry.place.error(format!("has no port in {text:?}")))?
        }
        (None, None) => 22,
    };
    let user = target.user.clone().or(lines.text("user")?);
    let user = user.unwrap_or_else(|| around.user.clone());
    if user.is_empty() {
        return Err(ConfigError::NoUser);
    }
    let alias = lines.text("hostkeyalias")?;
    let tokens = Tokens {
        around,
        typed,
        host: &host,
        alias: alias.as_deref().unwrap_or(&host),
        port,
        user: &user,
    };
    Ok(Settings {
        identities: identities(&lines, &tokens)?,
        identities_only: lines.yes("identitiesonly")?,
        agent: agent(&lines, &tokens)?,
        jump: jump(&lines, &tokens)?,
        known_hosts: files(&lines, "userknownhostsfile", &tokens, || {
            ["known_hosts", "known_hosts2"]
                .map(|name| around.home.join(".ssh").join(name))
                .to_vec()
        })?,
        global_known_hosts: files(&lines, "globalknownhostsfile", &tokens, || {
            ["ssh_known_hosts", "ssh_known_hosts2"]
                .map(|name| around.system.join(name))
                .to_vec()
        })?,
        hash_known_hosts: lines.yes("hashknownhosts")?,
        unknown: unknown(&lines)?,
        connect_timeout: timeout(&lines)?,
        notes: Vec::new(),
        host,
        port,
        user,
        alias,
    })
}

/// The lines that apply, asked by keyword.
struct Lines<'a>(&'a [Entry]);

impl<'a> Lines<'a> {
    fn all(&self, keyword: &'static str) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| entry.keyword == keyword)
    }

    fn first(&self, keyword: &'static str) -> Result<Option<(&'a str, &'a Entry)>, ConfigError> {
        let Some(entry) = self.all(keyword).next() else {
            return Ok(None);
        };
        match entry.arguments.first() {
            Some(text) if !text.is_empty() => Ok(Some((text, entry))),
            _ => Err(entry.place.error(format!("{keyword} has no value"))),
        }
    }

    fn text(&self, keyword: &'static str) -> Result<Option<String>, ConfigError> {
        Ok(self.first(keyword)?.map(|(text, _)| text.to_owned()))
    }

    fn yes(&self, keyword: &'static str) -> Result<bool, ConfigError> {
        let Some((text, entry)) = self.first(keyword)? else {
            return Ok(false);
        };
        match text.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            _ => Err(entry
                .place
                .error(format!("{keyword} is neither yes nor no"))),
        }
    }
}

fn named<T>(entry: &Entry, value: Result<T, String>) -> Result<T, ConfigError> {
    value.map_err(|what| entry.place.error(what))
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|&port| port != 0)
}

fn identities(lines: &Lines<'_>, tokens: &Tokens<'_>) -> Result<Vec<PathBuf>, ConfigError> {
    let mut paths = Vec::new();
    let mut any = false;
    for entry in lines.all("identityfile") {
        any = true;
        for text in &entry.arguments {
            let path = named(entry, tokens.path(text))?;
            if text != "none" && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    if !any {
        let folder = tokens.around.home.join(".ssh");
        paths.extend(KEYS.map(|name| folder.join(name)));
    }
    Ok(paths)
}

fn agent(lines: &Lines<'_>, tokens: &Tokens<'_>) -> Result<Option<PathBuf>, ConfigError> {
    let variable = |name: &str| {
        let value = tokens.around.variables.get(name);
        value.filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    Ok(match lines.first("identityagent")? {
        None | Some(("SSH_AUTH_SOCK", _)) => variable("SSH_AUTH_SOCK"),
        Some(("none", _)) => None,
        Some((text, entry)) => match text.strip_prefix('$') {
            Some(name) if !name.starts_with('{') => variable(name),
            _ => Some(named(entry, tokens.path(text))?),
        },
    })
}

fn jump(lines: &Lines<'_>, tokens: &Tokens<'_>) -> Result<Vec<SshTarget>, ConfigError> {
    // Of the two, too, the first wins.
    let either = |entry: &&Entry| ["proxyjump", "proxycommand"].contains(&entry.keyword.as_str());
    let Some(entry) = lines.0.iter().find(either) else {
        return Ok(Vec::new());
    };
    if entry
        .arguments
        .first()
        .is_none_or(|first| first.eq_ignore_ascii_case("none"))
    {
        return Ok(Vec::new());
    }
    if entry.keyword == "proxycommand" {
        return Err(entry
            .place
            .error("longshore runs no ProxyCommand; name the host in between with ProxyJump"));
    }
    let list = entry.arguments.join(",");
    let one = |text: &str| {
        let text = named(entry, tokens.text(text.trim()))?;
        let text = text.strip_prefix("ssh://").unwrap_or(&text);
        let target: Result<SshTarget, _> = text.parse();
        target.map_err(|error| entry.place.error(error.to_string()))
    };
    list.split(',').map(one).collect()
}

fn files(
    lines: &Lines<'_>,
    keyword: &'static str,
    tokens: &Tokens<'_>,
    usual: impl FnOnce() -> Vec<PathBuf>,
) -> Result<Vec<PathBuf>, ConfigError> {
    let Some(entry) = lines.all(keyword).next() else {
        return Ok(usual());
    };
    let named_files = entry.arguments.iter().filter(|text| *text != "none");
    named_files
        .map(|text| named(entry, tokens.path(text)))
        .collect()
}

fn unknown(lines: &Lines<'_>) -> Result<Unknown, ConfigError> {
    let Some((text, entry)) = lines.first("stricthostkeychecking")? else {
        return Ok(Unknown::Ask);
    };
    // `no` would take a changed key too, which longshore never does.
    match text.to_ascii_lowercase().as_str() {
        "ask" => Ok(Unknown::Ask),
        "yes" | "true" => Ok(Unknown::Refuse),
        "accept-new" | "no" | "false" | "off" => Ok(Unknown::Take),
        _ => Err(entry
            .place
            .error(format!("StrictHostKeyChecking cannot be {text:?}"))),
    }
}

fn timeout(lines: &Lines<'_>) -> Result<Option<Duration>, ConfigError> {
    let Some((text, entry)) = lines.first("connecttimeout")? else {
        return Ok(None);
    };
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's' | 'S')) => (text.get(..at), 1),
        Some((at, 'm' | 'M')) => (text.get(..at), 60),
        _ => (Some(text), 1),
    };
    let seconds: Option<u32> = number.and_then(|number| number.parse().ok());
    match seconds {
        Some(0) => Ok(None),
        Some(seconds) => Ok(Some(Duration::from_secs(u64::from(seconds) * unit))),
        None if text == "none" => Ok(None),
        None => Err(entry
            .place
            .error(format!("ConnectTimeout has no seconds in {text:?}"))),
    }
}
