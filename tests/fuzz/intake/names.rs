//! Names, ids, addresses, paths, durations and times: what is accepted prints as it was read, and is harmless.

use std::fmt::{Debug, Display};
use std::path::{Component, Path};
use std::str::FromStr;

use controller::cli::When;
use controller::fleet::address::{Address, SshTarget};
use controller::fleet::label::Label;
use proto::id::{
    BlobId, DeployId, FleetName, HostName, OperatorName, PlanId, ProjectName, RevisionId,
    ServiceName, StackName, StageId,
};
use proto::identity::Identity;
use proto::path::RelPath;
use proto::role::Role;
use proto::stack::VarName;

use super::{check_error, text};

/// Go's durations are 64-bit nanoseconds; so are Compose's.
const LONGEST_SECONDS: u64 = i64::MAX as u64 / 1_000_000_000;

/// Everything that is parsed from a word, over one word.
pub(super) fn names(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let accepted = [
        same::<FleetName>(text),
        same::<HostName>(text),
        same::<StackName>(text),
        same::<ProjectName>(text),
        same::<ServiceName>(text),
        same::<OperatorName>(text),
        same::<VarName>(text),
        same::<Label>(text),
    ];
    // They become part of paths, arguments and filters.
    for name in accepted.into_iter().flatten() {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(!name.starts_with(['-', '.']) && name.len() <= 255);
        assert!(name.chars().all(plain));
    }
    same::<DeployId>(text);
    same::<PlanId>(text);
    same::<StageId>(text);
    same::<RevisionId>(text);
    same::<BlobId>(text);
    same::<Role>(text);
    same::<Identity>(text);
    stable::<Address>(text);
    stable::<SshTarget>(text);
}

/// What is accepted prints as it was written.
fn same<T>(text: &str) -> Option<String>
where
    T: FromStr + Display,
    T::Err: std::error::Error,
{
    let shown = accepted::<T>(text)?.to_string();
    assert_eq!(shown, text);
    Some(shown)
}

/// What is accepted prints as something that means the same; it never becomes an option of a program.
fn stable<T>(text: &str)
where
    T: FromStr + Display + PartialEq + Debug,
    T::Err: std::error::Error,
{
    if let Some(value) = accepted::<T>(text) {
        let shown = value.to_string();
        assert!(!shown.starts_with('-') && !shown.contains(char::is_control));
        assert_eq!(accepted::<T>(&shown), Some(value));
    }
}

fn accepted<T>(text: &str) -> Option<T>
where
    T: FromStr,
    T::Err: std::error::Error,
{
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            check_error(&error);
            assert!(error.to_string().len() < 2048, "a flood in a message");
            None
        }
    }
}

/// A relative path: what is accepted stays below any folder it is joined to.
pub(super) fn path(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Some(path) = accepted::<RelPath>(text) else {
        return;
    };
    let root = Path::new("/root/of/it");
    let joined = path.under(root);
    assert!(joined.starts_with(root) && joined != root);
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    assert!(joined.components().all(plain));
    assert_eq!(accepted::<RelPath>(path.as_str()), Some(path.clone()));
    assert!(path.is_within(&path));
    if let Ok(child) = path.join("a/../b") {
        panic!("{child} was accepted");
    }
    if let Ok(child) = path.join("leaf") {
        assert!(child.is_within(&path) && !path.is_within(&child));
    }
}

/// Durations as Compose prints them, and times as people type them.
pub(super) fn duration(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(duration) = proto::duration::parse(text) {
        // What the agent adds up from them must have room.
        assert!(duration.as_secs() <= LONGEST_SECONDS, "{duration:?}");
    }
    match text.parse::<When>() {
        Ok(when) => {
            let now = 1_800_000_000_000_000_000;
            let at = when.nanos(now);
            assert!(matches!(when, When::At(_)) || at <= now);
        }
        Err(why) => assert!(!why.is_empty()),
    }
}
