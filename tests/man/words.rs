//! What the pages say beside the `--help` texts: exit codes, files and variables.

use std::path::Path;

use agent::config::{Config, DEFAULT_FOLDER};

/// A term and what it means.
pub(crate) type Entry = (String, String);

/// The source of the exit codes: the words of its table are the words of the pages.
const EXIT: &str = include_str!("../../controller/src/exit.rs");

/// Each number that `controller` ends with, and what it means.
pub(crate) fn exit_codes() -> Vec<Entry> {
    let mut codes = Vec::new();
    let mut said = Vec::new();
    for line in EXIT.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("/// ") {
            said.push(doc);
            continue;
        }
        let number = line
            .strip_suffix(',')
            .and_then(|line| line.split_once(" = "));
        if let Some(number) = number.and_then(|(_, number)| number.parse::<u8>().ok()) {
            codes.push((number.to_string(), said.join(" ").replace('`', "")));
        }
        said.clear();
    }
    codes
}

/// What `agent` ends with.
pub(crate) fn agent_exit_codes() -> Vec<Entry> {
    entries(&[
        ("0", "Done, or told to stop."),
        ("1", "Failed; standard error says why and what to do."),
        ("64", "Bad usage."),
    ])
}

fn entries(table: &[(&str, &str)]) -> Vec<Entry> {
    let entry = |(term, text): &(&str, &str)| ((*term).to_owned(), (*text).to_owned());
    table.iter().map(entry).collect()
}

/// What `controller` reads and writes.
pub(crate) fn files() -> Vec<Entry> {
    entries(&[
        (
            "fleet.toml",
            "The fleet: hosts, stacks and values. Found by walking up from the working directory.",
        ),
        (
            "ca.pem",
            "The public certificates of the fleet's two authorities, beside fleet.toml; of four while controller ca \
             rotate replaces them.",
        ),
        (
            "operators/NAME-KEY.pem",
            "The certificates that controller ca rotate --switch has signed once more for operators' keys, beside \
             ca.pem. Each operator's controller takes its own from there.",
        ),
        (
            "revoked.crl",
            "The operators that no longer count, beside fleet.toml.",
        ),
        (
            "~/.config/longshore/fleets/FLEET/operator.pem",
            "This machine's key and certificate for one fleet, readable by its owner alone. The folder is \
             $XDG_CONFIG_HOME/longshore, or config below $LONGSHORE_HOME.",
        ),
        (
            "~/.config/longshore/fleets/FLEET/authorities.pem",
            "The authorities' keys, encrypted, where controller init was run. Keep a copy in a safe place.",
        ),
        (
            "~/.config/longshore/fleets/FLEET/issued.jsonl",
            "What the authorities have signed here, one JSON object a line.",
        ),
        (
            "~/.local/state/longshore/fleets/FLEET/audit/HOST",
            "The newest entry of a host's audit record that this machine was told of. The folder is \
             $XDG_STATE_HOME/longshore, or state below $LONGSHORE_HOME.",
        ),
        (
            "~/.local/share/longshore/agents/VERSION/agent-linux-ARCH",
            "The agents that host add brings onto servers, with SHA256SUMS beside them. The folder is \
             $XDG_DATA_HOME/longshore, or data below $LONGSHORE_HOME; /usr/local/share/longshore/agents and \
             /usr/share/longshore/agents are looked at after it.",
        ),
        (
            "~/.ssh/config, ~/.ssh/known_hosts",
            "How servers are reached through SSH, and the keys they are known by. A key that somebody has said yes to \
             is added.",
        ),
        (
            "~/.docker/config.json",
            "Logins for registries and the credential helpers that know them, as docker login writes them.",
        ),
    ])
}

/// What steers `controller` from outside.
pub(crate) fn environment() -> Vec<Entry> {
    entries(&[
        (
            "LONGSHORE_HOME",
            "One folder for identities, state, cache and data, instead of the XDG folders.",
        ),
        (
            "XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME, XDG_DATA_HOME",
            "Where identities, what is remembered, what can be made again and agents for hosts are kept, each in a \
             folder longshore. Without them: .config, .local/state, .cache and .local/share below HOME.",
        ),
        (
            "LONGSHORE_CA_PASSPHRASE",
            "The passphrase of the authorities. --passphrase-file wins over it.",
        ),
        (
            "LONGSHORE_CA_PASSPHRASE_FILE",
            "A file with the passphrase of the authorities, readable by its owner alone.",
        ),
        (
            "DOCKER_CONFIG",
            "The folder of Docker's config.json, instead of ~/.docker.",
        ),
        (
            "SSH_AUTH_SOCK",
            "The socket of ssh-agent, for logins on servers.",
        ),
        ("NO_COLOR", "When set and not empty, nothing is coloured."),
        (
            "TERM",
            "With dumb, nothing is coloured and the cursor is not moved.",
        ),
    ])
}

/// What `agent` reads and writes.
pub(crate) fn agent_files() -> Vec<Entry> {
    let Config {
        state,
        docker,
        listen,
        ..
    } = Config::default();
    let in_folder = |name: &str| Path::new(DEFAULT_FOLDER).join(name).display().to_string();
    vec![
        (
            in_folder("agent.toml"),
            format!(
                "Settings, with their defaults: listen ({listen}), state ({}), docker ({}), and compose, the \
                 path of the Compose plugin where it is not in one of Docker's own places. May be absent.",
                state.display(),
                docker.display()
            ),
        ),
        (
            in_folder("identity.pem"),
            "The host's key and what the fleet grants it, readable by root alone.".to_owned(),
        ),
        (
            in_folder("pending.pem"),
            "A key that waits for agent accept.".to_owned(),
        ),
        (
            format!("{}/", state.display()),
            "Revisions, journals and project directories.".to_owned(),
        ),
        (
            format!("{}/audit/", state.display()),
            "Who changed what: one JSON object a line, each with the hash of the one before."
                .to_owned(),
        ),
        (
            "longshore-agent.service".to_owned(),
            "The unit that runs agent run.".to_owned(),
        ),
    ]
}

/// What steers `agent` from outside.
pub(crate) fn agent_environment() -> Vec<Entry> {
    entries(&[(
        "RUST_LOG",
        "How much is logged to standard error: error, warn, info (the default), debug or trace.",
    )])
}
