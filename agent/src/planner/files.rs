//! The files of a plan. Three versions of each count: what was laid out last, what lies on the host now, what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proto::exclude::Excluded;
use proto::fault::{Fault, FaultKind};
use proto::path::RelPath;
use proto::plan::{Change, FilePlan, HostFile};
use proto::stack::ShippedFile;

use super::Inputs;
use crate::projectdir::OnHost;

/// What is to be done with one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileStep {
    /// Nothing: it is as wanted.
    Leave,
    /// Nothing: only the host has changed it, and it stays.
    KeepHosts,
    /// Only its mode changes.
    SetMode,
    /// It is written; what lies there, if anything, is what was laid out.
    Write,
    /// It was laid out, is gone on the host, and is made again.
    MakeAgain,
    /// It has left the stack, and is removed.
    Remove,
    /// It has left the stack, was changed on the host, and stays.
    LeaveBehind,
    /// Both have changed it: written only where an operator says so.
    Conflict,
}

/// Decides from the three versions of a path. `laid` has two where a deploy was cut short while it laid them out: either
/// may lie there. Modes count where the stack changes them.
#[must_use]
pub fn file_step(laid: &[&ShippedFile], host: &OnHost, wanted: Option<&ShippedFile>) -> FileStep {
    let ours = laid.iter().any(|laid| host.blob() == Some(laid.blob));
    let Some(wanted) = wanted else {
        return match host {
            OnHost::Nothing | OnHost::BelowFile | OnHost::BelowLink | OnHost::Folder => {
                FileStep::Leave
            }
            _ if ours => FileStep::Remove,
            _ => FileStep::LeaveBehind,
        };
    };
    let unchanged = laid.iter().any(|laid| laid.blob == wanted.blob);
    match host {
        OnHost::Nothing if !laid.is_empty() => FileStep::MakeAgain,
        OnHost::Nothing | OnHost::BelowFile | OnHost::BelowLink => FileStep::Write,
        OnHost::File {
            known, ownership, ..
        } => {
            let new_mode = laid.iter().all(|laid| laid.mode != wanted.mode);
            let mode_differs = new_mode && ownership.mode != wanted.mode;
            if known.blob == wanted.blob {
                if mode_differs {
                    FileStep::SetMode
                } else {
                    FileStep::Leave
                }
            } else if ours {
                FileStep::Write
            } else if unchanged {
                FileStep::KeepHosts
            } else {
                FileStep::Conflict
            }
        }
        // One that has nothing of others in it: the plan has seen to that.
        OnHost::Folder if laid.is_empty() => FileStep::Write,
        OnHost::Folder | OnHost::Other if unchanged => FileStep::KeepHosts,
        OnHost::Folder | OnHost::Other => FileStep::Conflict,
    }
}

/// The versions of each file that may lie in a project directory: one as a rule, two where a deploy was cut short.
#[derive(Debug, Default)]
pub struct LaidOut<'a>(BTreeMap<&'a RelPath, Vec<&'a ShippedFile>>);

impl<'a> LaidOut<'a> {
    /// By path, in the order of the list.
    #[must_use]
    pub fn of(files: &'a [ShippedFile]) -> Self {
        let mut laid = Self::default();
        for file in files {
            laid.0.entry(&file.path).or_default().push(file);
        }
        laid
    }

    /// Those of a path.
    #[must_use]
    pub fn at(&self, path: &RelPath) -> &[&'a ShippedFile] {
        self.0.get(path).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every path.
    pub fn paths(&self) -> impl Iterator<Item = &'a RelPath> {
        self.0.keys().copied()
    }
}

/// What lies at each path of a stack, and what lies in folders that files are to take the place of.
#[derive(Debug, Clone, Default)]
pub struct HostFiles {
    /// By path.
    pub found: BTreeMap<RelPath, OnHost>,
    /// For each wanted file in whose place is a folder: the files in it.
    pub inside: BTreeMap<RelPath, Vec<RelPath>>,
}

impl HostFiles {
    /// What lies at a path; nothing where nobody has looked.
    #[must_use]
    pub fn at(&self, path: &RelPath) -> &OnHost {
        self.found.get(path).unwrap_or(&OnHost::Nothing)
    }
}

/// The files of a plan.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// What differs.
    pub(super) changes: Vec<FilePlan>,
    /// What the host has changed and keeps.
    pub(super) kept: Vec<RelPath>,
}

/// What differs on the host, or from what the committed containers were made with: after a deploy that failed, the two
/// are not the same.
pub(super) fn plan(inputs: &Inputs<'_>) -> Result<Files, Fault> {
    let wanted = by_path(&inputs.stage.spec.files);
    let laid = LaidOut::of(inputs.on_disk);
    let base = inputs.base.map(|base| by_path(&base.spec.files));
    let mut paths: BTreeSet<&RelPath> = wanted.keys().copied().chain(laid.paths()).collect();
    paths.extend(base.iter().flat_map(|base| base.keys()));
    check_folders(inputs, &laid, &wanted)?;
    check_mounted(inputs, &laid, &wanted)?;
    let excluded = Excluded::new(&inputs.stage.spec.exclude);
    let mut files = Files::default();
    for path in paths {
        let (laid, wanted) = (laid.at(path), wanted.get(path).copied());
        // It was shipped once, and is the host's from now on.
        if wanted.is_none() && excluded.has(Path::new(path.as_str()), false) {
            continue;
        }
        let host = inputs.host.at(path);
        let step = file_step(laid, host, wanted);
        let seen = base.as_ref().map(|base| base.get(path).copied());
        let changed =
            change(step, laid.first().copied(), wanted).or_else(|| differs(seen?, wanted));
        match changed {
            Some(change) => files.changes.push(FilePlan {
                path: path.clone(),
                change,
                host: host_file(step),
            }),
            None if step == FileStep::KeepHosts => files.kept.push(path.clone()),
            None => {}
        }
    }
    Ok(files)
}

fn change(
    step: FileStep,
    laid: Option<&ShippedFile>,
    wanted: Option<&ShippedFile>,
) -> Option<Change> {
    match step {
        FileStep::Leave | FileStep::KeepHosts => differs(laid, wanted),
        FileStep::MakeAgain => Some(Change::Added),
        FileStep::Write if laid.is_none() => Some(Change::Added),
        FileStep::SetMode | FileStep::Write | FileStep::Conflict => Some(Change::Changed),
        FileStep::Remove | FileStep::LeaveBehind => Some(Change::Removed),
    }
}

/// How two versions of a file differ.
fn differs(there: Option<&ShippedFile>, wanted: Option<&ShippedFile>) -> Option<Change> {
    match (there, wanted) {
        (None, None) => None,
        (None, _) => Some(Change::Added),
        (_, None) => Some(Change::Removed),
        (Some(a), Some(b)) if a.blob != b.blob || a.mode != b.mode => Some(Change::Changed),
        _ => None,
    }
}

fn host_file(step: FileStep) -> HostFile {
    match step {
        FileStep::Conflict | FileStep::LeaveBehind | FileStep::KeepHosts => HostFile::Changed,
        FileStep::MakeAgain => HostFile::Gone,
        FileStep::Leave | FileStep::SetMode | FileStep::Write | FileStep::Remove => {
            HostFile::AsLaidOut
        }
    }
}

fn by_path(files: &[ShippedFile]) -> BTreeMap<&RelPath, &ShippedFile> {
    files.iter().map(|file| (&file.path, file)).collect()
}

/// A folder in a file's place, or a file in a folder's, makes way only where all of it is ours and leaves the stack.
fn check_folders(
    inputs: &Inputs<'_>,
    laid: &LaidOut<'_>,
    wanted: &BTreeMap<&RelPath, &ShippedFile>,
) -> Result<(), Fault> {
    let goes = |path: &RelPath| {
        let host = inputs.host.at(path);
        file_step(laid.at(path), host, wanted.get(path).copied()) == FileStep::Remove
    };
    let mut causes = Vec::new();
    for path in wanted.keys() {
        match inputs.host.at(path) {
            OnHost::Folder if laid.at(path).is_empty() => {
                let inside = inputs.host.inside.get(*path).into_iter().flatten();
                let other = inside.into_iter().find(|file| !goes(file));
                causes.extend(
                    other.map(|file| format!("{path} is a folder on the host, with {file} in it")),
                );
            }
            OnHost::BelowFile => {
                let above = above(path).find(|it| {
                    let there = inputs.host.at(it);
                    !matches!(there, OnHost::Nothing | OnHost::BelowFile | OnHost::Folder)
                });
                let stays = above.filter(|it| !goes(it));
                causes.extend(stays.map(|file| {
                    format!("{file} is a file on the host, and {path} needs a folder there")
                }));
            }
            OnHost::BelowLink => causes.push(format!(
                "a part of {path} is a symbolic link on the host; longshore does not write through links"
            )),
            _ => {}
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let what = "what lies on the host is in the way of files of the stack, and is not longshore's";
    let mut fault = Fault::new(FaultKind::Refused, what).hint(format!(
        "move it away on the host, in {}",
        inputs.stage.directory.display()
    ));
    fault.causes = causes;
    Err(fault)
}

/// A file that was laid out, is mounted by itself and is missing in the stack now: Docker would make a folder of it.
fn check_mounted(
    inputs: &Inputs<'_>,
    laid: &LaidOut<'_>,
    wanted: &BTreeMap<&RelPath, &ShippedFile>,
) -> Result<(), Fault> {
    let services = inputs.stage.resolved.services.iter();
    let services = services.filter(|service| inputs.covers(&service.name));
    let causes: Vec<String> = services
        .flat_map(|service| {
            let gone = service.mounts.iter().filter(|mount| {
                let step = file_step(laid.at(mount), inputs.host.at(mount), None);
                let below = wanted.keys().any(|path| path.is_within(mount));
                !below && step == FileStep::Remove
            });
            gone.map(|mount| format!("{} mounts {mount}", service.name))
        })
        .collect();
    if causes.is_empty() {
        return Ok(());
    }
    let what = "a mounted file is no longer in the stack's folder, and Docker would make an empty folder of it";
    let mut fault = Fault::new(FaultKind::InvalidStack, what)
        .hint("put the file back, or take the mount out of the Compose files");
    fault.causes = causes;
    Err(fault)
}

/// The folders above a path, the nearest first.
pub(crate) fn above(path: &RelPath) -> impl Iterator<Item = RelPath> + use<> {
    let mut rest = path.as_str().to_owned();
    std::iter::from_fn(move || {
        let end = rest.rfind('/')?;
        rest.truncate(end);
        rest.parse().ok()
    })
}

/// What differs between the files that are there and those that are wanted.
#[must_use]
pub fn differing(there: &[ShippedFile], wanted: &[ShippedFile]) -> Vec<FilePlan> {
    let (before, after) = (by_path(there), by_path(wanted));
    let paths: BTreeSet<&RelPath> = before.keys().chain(after.keys()).copied().collect();
    let differing = paths.into_iter().filter_map(|path| {
        let change = differs(before.get(path).copied(), after.get(path).copied())?;
        Some(FilePlan {
            path: path.clone(),
            change,
            host: HostFile::AsLaidOut,
        })
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use proto::id::BlobId;

    use super::*;
    use crate::projectdir::{Known, Ownership};
    use crate::testing::stamp;

    fn file(content: u8, mode: u32) -> ShippedFile {
        ShippedFile {
            path: "conf/a".parse().unwrap(),
            mode,
            size: 1,
            blob: BlobId::from_bytes([content; 32]),
        }
    }

    fn host(content: u8, mode: u32) -> OnHost {
        OnHost::File {
            known: Known {
                stamp: stamp(),
                blob: BlobId::from_bytes([content; 32]),
            },
            size: 1,
            ownership: Ownership {
                uid: 999,
                gid: 999,
                mode,
            },
        }
    }

    #[test]
    fn every_combination_of_the_three_versions_has_its_step() {
        use FileStep::*;
        let (one, two) = (file(1, 0o644), file(2, 0o644));
        let (h1, h2, h3) = (host(1, 0o600), host(2, 0o600), host(3, 0o600));
        for (laid, here, wanted, step) in [
            (None, &OnHost::Nothing, Some(&one), Write),
            (None, &h1, Some(&one), SetMode),
            (None, &h3, Some(&one), Conflict),
            (None, &OnHost::Folder, Some(&one), Write),
            (Some(&one), &OnHost::Folder, Some(&two), Conflict),
            (None, &OnHost::BelowFile, Some(&one), Write),
            (Some(&one), &h1, Some(&one), Leave),
            (Some(&one), &h3, Some(&one), KeepHosts),
            (Some(&one), &OnHost::Other, Some(&one), KeepHosts),
            (Some(&one), &OnHost::Nothing, Some(&one), MakeAgain),
            (Some(&one), &h1, Some(&two), Write),
            (Some(&one), &h2, Some(&two), Leave),
            (Some(&one), &h3, Some(&two), Conflict),
            (Some(&one), &OnHost::Other, Some(&two), Conflict),
            (Some(&one), &OnHost::Nothing, Some(&two), MakeAgain),
            (Some(&one), &h1, None, Remove),
            (Some(&one), &h3, None, LeaveBehind),
            (Some(&one), &OnHost::Nothing, None, Leave),
            (Some(&one), &OnHost::Folder, None, Leave),
            (None, &h1, None, LeaveBehind),
        ] {
            let laid: Vec<&ShippedFile> = laid.into_iter().collect();
            assert_eq!(
                file_step(&laid, here, wanted),
                step,
                "{laid:?} {here:?} {wanted:?}"
            );
        }
    }

    #[test]
    fn of_two_versions_that_may_lie_there_either_is_ours() {
        let (one, two, three) = (file(1, 0o644), file(2, 0o644), file(3, 0o644));
        let both = [&two, &one];
        for (here, wanted, step) in [
            (1, &two, FileStep::Write),
            (2, &two, FileStep::Leave),
            (1, &three, FileStep::Write),
            (9, &two, FileStep::KeepHosts),
            (9, &three, FileStep::Conflict),
        ] {
            assert_eq!(file_step(&both, &host(here, 0o644), Some(wanted)), step);
        }
    }

    #[test]
    fn a_mode_counts_where_the_stack_changes_it() {
        let (old, new) = (file(1, 0o644), file(1, 0o755));
        let step = |mode| file_step(&[&old], &host(1, mode), Some(&new));
        assert_eq!(step(0o600), FileStep::SetMode);
        assert_eq!(step(0o755), FileStep::Leave);
        let same = file_step(&[&old], &host(1, 0o600), Some(&old));
        assert_eq!(same, FileStep::Leave);
    }

    #[test]
    fn the_folders_above_a_path_are_told_from_below() {
        let path: RelPath = "a/b/c".parse().unwrap();
        let told: Vec<String> = above(&path).map(|it| it.to_string()).collect();
        assert_eq!(told, ["a/b", "a"]);
    }
}
