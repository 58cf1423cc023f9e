//! Kills the process at a step that a test chooses.
//!
//! `LONGSHORE_DIE` names a file. While it is there, each step is noted behind it (`FILE.steps`, one name a line). Its
//! content is how often a step is to come and which, `3 project`, or `17` for the seventeenth of any name: then the
//! file is removed and the process kills itself.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

static FILE: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("LONGSHORE_DIE").map(PathBuf::from));

/// How many of the wanted steps have come; steps of several tasks come one after the other.
static SEEN: Mutex<u64> = Mutex::new(0);

pub(super) fn step(name: impl FnOnce() -> String) {
    let Some(file) = FILE.as_ref() else { return };
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(text) = fs::read_to_string(file) else {
        *seen = 0;
        return;
    };
    let name = name();
    note(file, &name);
    let (count, wanted) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if !wanted.is_empty() && wanted != name {
        return;
    }
    *seen += 1;
    if count.parse() == Ok(*seen) {
        drop(fs::remove_file(file));
        die();
    }
}

fn note(file: &Path, name: &str) {
    let steps = file.with_extension("steps");
    let opened = OpenOptions::new().append(true).create(true).open(steps);
    // Only the test reads it, and it tells when nothing is there.
    drop(opened.and_then(|mut steps| writeln!(steps, "{name}")));
}

fn die() -> ! {
    kill_process(getpid(), Signal::KILL).ok();
    loop {
        std::thread::park();
    }
}

/// What a change is called: an event by its kind or state, a record by its file, one of many alike by its folder.
pub(super) fn name(path: &Path) -> String {
    let part = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let own = part(path);
    if own == "events.jsonl" {
        return event(path).unwrap_or(own);
    }
    let (stem, ending) = own.split_once('.').unwrap_or((&own, ""));
    let alike = stem.len() >= 16 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    match path.parent() {
        Some(folder) if alike && ending == "tmp" => format!("{}.tmp", part(folder)),
        Some(folder) if alike => part(folder),
        _ => own,
    }
}

fn event(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let event: serde_json::Value = serde_json::from_str(text.lines().last()?).ok()?;
    let kind = event["event"].as_str()?;
    let state = event["state"].as_str().filter(|_| kind == "state_entered");
    Some(state.unwrap_or(kind).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_called_by_what_changed() {
        const WORK: &str = "work";
        let id = "0123456789abcdef0123456789abcdef";
        for (path, called) in [
            ("/s/stacks/shop/current.json".to_owned(), "current.json"),
            ("/s/stacks/shop/current.tmp".to_owned(), "current.tmp"),
            ("/s/stacks/shop/project".to_owned(), "project"),
            (format!("/s/stages/{id}.json"), "stages"),
            (
                format!("/s/stacks/shop/revisions/{id}.tmp"),
                "revisions.tmp",
            ),
            (format!("/s/{WORK}/{id}"), WORK),
        ] {
            assert_eq!(name(Path::new(&path)), called);
        }
    }

    #[test]
    fn an_event_is_called_by_its_state_or_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let lines =
            "{\"event\":\"received\"}\n{\"event\":\"state_entered\",\"state\":\"applying\"}\n";
        fs::write(&path, lines).unwrap();
        assert_eq!(name(&path), "applying");
        fs::write(&path, "{\"event\":\"finished\",\"state\":\"failed\"}\n").unwrap();
        assert_eq!(name(&path), "finished");
    }
}
