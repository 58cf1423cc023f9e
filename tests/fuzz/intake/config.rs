//! Settings files: `.env`, Docker's `config.json`, `agent.toml`.

use std::collections::BTreeSet;

use agent::config::Config;
use controller::docker_auth::credentials;
use controller::dotenv::DotEnv;
use proto::fault::Fault;
use proto::limits::VALUE_BYTES;

use super::{check_error, check_fault, in_scratch, text};

/// A stack's `.env`, with one value from outside.
pub(super) fn dotenv(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let set = |name: &str| (name == "TAG").then_some("1.2 $x ${y}");
    let mut read = DotEnv::default();
    if let Err(error) = read.add(text, set) {
        check_error(&error);
        assert!((1..=text.matches('\n').count() + 1).contains(&error.line));
        return;
    }
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_.-".contains(c));
    for name in words.collect::<BTreeSet<_>>() {
        match read.get(name) {
            // A file of references to references must not grow without bounds.
            Ok(Some(value)) => assert!(value.len() <= VALUE_BYTES.max(text.len())),
            Ok(None) => {}
            Err(unresolved) => {
                check_error(unresolved);
                assert!(read.defines(name));
            }
        }
    }
    // `Debug` shows names alone, and values go nowhere else.
    assert!(!format!("{read:?}").contains("1.2 $x"));
}

/// Docker's `config.json`, asked for three registries.
pub(super) fn docker(bytes: &[u8]) {
    let has = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    if has(b"cred") || has(b"\\u") {
        // A helper would be run; its name is what Docker's own file says, and no business of random bytes.
        return;
    }
    let registries = ["docker.io", "ghcr.io", "10.77.0.1:5000"].map(str::to_owned);
    let found = in_scratch(|scratch| {
        scratch.write("config.json", bytes);
        runtime().block_on(credentials(scratch.path(), &registries))
    });
    match found {
        Ok(logins) => {
            assert!(logins.found.len() + logins.failed.len() <= registries.len());
            for login in logins.found {
                assert!(registries.contains(&login.registry));
                assert!(!login.password.is_empty() || !login.identity_token.is_empty());
            }
        }
        Err(error) => {
            check_error(&error);
            let fault = Fault::from(error);
            check_fault(&fault);
            // The parser's own words may quote a password.
            assert!(!format!("{fault:?}").contains("hunter22"));
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// `agent.toml`.
pub(super) fn agent(bytes: &[u8]) {
    let loaded = in_scratch(|scratch| Config::load(&scratch.write("agent.toml", bytes)));
    match loaded {
        Ok(config) => {
            assert!(config.state.is_absolute() && config.docker.is_absolute());
            assert!(config.compose.is_none_or(|compose| compose.is_absolute()));
        }
        Err(error) => {
            check_error(&error);
            check_fault(&Fault::from(error));
        }
    }
}
