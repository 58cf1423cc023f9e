//! Brings a project directory to a stack's files, one by one and each at once, and loses nothing of what others wrote.
//!
//! What only the host has changed stays. What a deploy replaces or removes is noted before, with its owner and mode, so
//! that the way back puts it back as it was; what somebody has written since then stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proto::exclude::Excluded;
use proto::fault::{Fault, FaultKind};
use proto::id::BlobId;
use proto::limits::BUNDLE_BYTES;
use proto::path::RelPath;
use proto::plan::Overwrite;
use proto::stack::{ShippedFile, StackSpec};
use serde::{Deserialize, Serialize};

use super::{Job, Stopped};
use crate::deployer::on_disk;
use crate::files::{self, FileError};
use crate::planner::{FileStep, LaidOut, file_step};
use crate::projectdir::{Known, OnHost, Ownership, ProjectDir, Taken};
use crate::record;
use crate::store::Applied;

/// What a deploy has found where it was to write, on disk before the first file is replaced.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Replaced {
    /// By path; `None` where there was nothing.
    before: BTreeMap<RelPath, Option<Before>>,
}

/// A file as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    blob: BlobId,
    size: u64,
    ownership: Ownership,
    /// Whether it was what an earlier deploy had laid out.
    ours: bool,
}

impl Replaced {
    fn path(folder: &Path) -> PathBuf {
        folder.join("replaced.json")
    }

    fn load(folder: &Path) -> Result<Option<Self>, FileError> {
        record::read(&Self::path(folder))
    }

    fn save(&self, folder: &Path) -> Result<(), FileError> {
        record::write(&Self::path(folder), self)
    }
}

/// What becomes of files that both the host and the stack have changed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Conflicts<'a> {
    /// Refused, but for those that an operator gives up.
    Refused(&'a Overwrite),
    /// The host's version makes way, and a copy of it is kept.
    Replaced,
    /// The host's version stays.
    Stay,
}

/// Notes what lies where files of `spec` are to be written or removed, and keeps a copy of each that nobody else has.
/// Changes nothing.
pub(super) fn note(
    job: &Job,
    spec: &StackSpec,
    directory: &Path,
    conflicts: Conflicts<'_>,
) -> Result<(), Stopped> {
    if Replaced::load(&job.folder())?.is_some() {
        return Ok(());
    }
    let there = on_disk(job.store.applied(&spec.stack)?.as_ref());
    let directory = ProjectDir::open(directory)?;
    let mut replaced = Replaced::default();
    let mut refused = Vec::new();
    let laid = LaidOut::of(&there);
    for (path, laid, wanted) in versions(&laid, spec) {
        let host = directory.look(path, None)?;
        let step = file_step(laid, &host, wanted);
        match step {
            FileStep::Leave | FileStep::KeepHosts | FileStep::LeaveBehind => continue,
            FileStep::Conflict => match conflicts {
                Conflicts::Refused(overwrite) if !overwrite.covers(path) => {
                    refused.push(path);
                    continue;
                }
                Conflicts::Stay => continue,
                Conflicts::Refused(_) | Conflicts::Replaced => {}
            },
            FileStep::SetMode | FileStep::Write | FileStep::MakeAgain | FileStep::Remove => {}
        }
        let ours = laid.iter().any(|laid| host.blob() == Some(laid.blob));
        let before = match before(job, &directory, path, &host, ours)? {
            Noted::As(before) => before,
            // What cannot be kept is not replaced. A rollback is never refused for a file.
            Noted::TooLarge if matches!(conflicts, Conflicts::Replaced) => continue,
            Noted::TooLarge => return Err(written_since_the_plan(&[path]).into()),
        };
        if let Some(before) = before.as_ref().filter(|_| step == FileStep::Conflict) {
            keep_copy(job, path, before)?;
        }
        replaced.before.insert(path.clone(), before);
    }
    if !refused.is_empty() {
        return Err(written_since_the_plan(&refused).into());
    }
    job.store.blobs().settle()?;
    Ok(replaced.save(&job.folder())?)
}

fn written_since_the_plan(paths: &[&RelPath]) -> Fault {
    let paths: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
    let what = format!(
        "changed on the host since this plan was made: {}",
        paths.join(", ")
    );
    Fault::new(FaultKind::Stale, what).hint("run the same command again to plan anew")
}

/// What was found of a file that is to be replaced.
enum Noted {
    /// As it was; `None` where there was no file.
    As(Option<Before>),
    /// It is being written, or too large to be kept.
    TooLarge,
}

/// What lies there now, its content in the store.
fn before(
    job: &Job,
    directory: &ProjectDir,
    path: &RelPath,
    host: &OnHost,
    ours: bool,
) -> Result<Noted, Stopped> {
    let OnHost::File {
        known,
        size,
        ownership,
    } = host
    else {
        return Ok(Noted::As(None));
    };
    let blobs = job.store.blobs();
    if !blobs.claim(&known.blob) {
        match directory.take(path, BUNDLE_BYTES, blobs)? {
            Taken::File(file) if file.blob == known.blob => {}
            _ => return Ok(Noted::TooLarge),
        }
    }
    Ok(Noted::As(Some(Before {
        blob: known.blob,
        size: *size,
        ownership: *ownership,
        ours,
    })))
}

/// A copy of the host's version beside the deploy's records, where a person finds it.
fn keep_copy(job: &Job, path: &RelPath, before: &Before) -> Result<(), Stopped> {
    let copy = job.store.copy_of_replaced(&job.deploy, path);
    if let Some(parent) = copy.parent() {
        files::private_dir(parent)?;
    }
    let mut file = files::create_private(&copy)?;
    job.store.blobs().copy_to(&before.blob, &mut file, &copy)?;
    job.warn(format!(
        "{path} was changed on the host and is replaced; a copy of it is {}",
        copy.display()
    ));
    Ok(())
}

/// A path with what may lie there and what is wanted.
type Versions<'a> = (&'a RelPath, &'a [&'a ShippedFile], Option<&'a ShippedFile>);

/// Every path of either, less what the stack excludes.
fn versions<'a>(laid: &'a LaidOut<'a>, spec: &'a StackSpec) -> Vec<Versions<'a>> {
    let wanted: BTreeMap<&RelPath, &ShippedFile> =
        spec.files.iter().map(|file| (&file.path, file)).collect();
    // What is excluded was shipped once at most, and is the host's from now on.
    let excluded = Excluded::new(&spec.exclude);
    let left = laid
        .paths()
        .filter(|path| !excluded.has(Path::new(path.as_str()), false));
    let paths: BTreeSet<&RelPath> = left.chain(wanted.keys().copied()).collect();
    let both = paths
        .into_iter()
        .map(|path| (path, laid.at(path), wanted.get(path).copied()));
    both.collect()
}

/// The record comes first: after a crash it says what may lie there. Files that we did not ship are never touched.
pub(super) fn lay_out(
    job: &Job,
    spec: &StackSpec,
    directory: &Path,
    conflicts: Conflicts<'_>,
) -> Result<(), Stopped> {
    let there = on_disk(job.store.applied(&spec.stack)?.as_ref());
    let noted = Replaced::load(&job.folder())?.unwrap_or_default();
    let mut applied = Applied {
        deploy: job.deploy,
        spec: spec.clone(),
        before: there.clone(),
        known: BTreeMap::new(),
    };
    job.store.save_applied(&applied)?;
    let layout = Layout {
        job,
        directory: ProjectDir::open(directory)?,
        noted,
        conflicts,
    };
    let laid = LaidOut::of(&there);
    let versions = versions(&laid, spec);
    // What leaves makes way for what comes: a file may take the place of a folder.
    for (path, laid, wanted) in versions.iter().filter(|(_, _, wanted)| wanted.is_none()) {
        layout.bring(path, laid, *wanted)?;
    }
    for (path, laid, wanted) in versions.iter().filter(|(_, _, wanted)| wanted.is_some()) {
        layout.bring(path, laid, *wanted)?;
    }
    layout.directory.settle()?;
    for file in &spec.files {
        if let OnHost::File { known, .. } = layout.directory.look(&file.path, None)? {
            applied.known.insert(file.path.clone(), known);
        }
    }
    applied.before.clear();
    Ok(job.store.save_applied(&applied)?)
}

struct Layout<'a> {
    job: &'a Job,
    directory: ProjectDir,
    noted: Replaced,
    conflicts: Conflicts<'a>,
}

impl Layout<'_> {
    fn bring(
        &self,
        path: &RelPath,
        laid: &[&ShippedFile],
        wanted: Option<&ShippedFile>,
    ) -> Result<(), Stopped> {
        let host = self.directory.look(path, None)?;
        let ownership = match &host {
            OnHost::File { ownership, .. } => Some(*ownership),
            _ => None,
        };
        match (file_step(laid, &host, wanted), wanted) {
            (FileStep::Remove, _) => self.directory.remove(path)?,
            (FileStep::LeaveBehind, _) => self.job.warn(format!(
                "{path} left the stack but was changed on the host; it stays"
            )),
            (FileStep::SetMode, Some(file)) => self.directory.set_mode(path, file.mode)?,
            (FileStep::Write | FileStep::MakeAgain, Some(file)) => {
                self.write(file, laid, ownership)?;
            }
            // After a crash in the middle of it, what is wanted counts as laid out already.
            (FileStep::Conflict | FileStep::KeepHosts, Some(file))
                if self.may_replace(path, &host) =>
            {
                if host == OnHost::Other {
                    self.directory.remove(path)?;
                }
                self.write(file, laid, ownership)?;
            }
            (FileStep::Conflict, _) => match self.conflicts {
                Conflicts::Stay | Conflicts::Replaced => self
                    .job
                    .warn(format!("{path} was changed on the host; it stays as it is")),
                Conflicts::Refused(_) => {
                    return Err(written_since_the_plan(&[path]).into());
                }
            },
            _ => {}
        }
        Ok(())
    }

    /// Only what was noted is replaced: what somebody wrote a moment ago is in no record.
    fn may_replace(&self, path: &RelPath, host: &OnHost) -> bool {
        let agreed = match self.conflicts {
            Conflicts::Refused(overwrite) => overwrite.covers(path),
            Conflicts::Replaced => true,
            Conflicts::Stay => false,
        };
        let noted = self.noted.before.get(path);
        let same = match noted {
            Some(Some(before)) => host.blob() == Some(before.blob),
            Some(None) => matches!(host, OnHost::Folder | OnHost::Other),
            None => false,
        };
        agreed && same
    }

    /// Whoever had the file has it still, and may do with it what he could.
    fn write(
        &self,
        file: &ShippedFile,
        laid: &[&ShippedFile],
        ownership: Option<Ownership>,
    ) -> Result<(), Fault> {
        let new_mode = laid.iter().all(|laid| laid.mode != file.mode);
        let ownership = ownership.map(|it| Ownership {
            mode: if new_mode { file.mode } else { it.mode },
            ..it
        });
        if self.directory.look(&file.path, None)? == OnHost::Folder {
            // A folder that Docker has made for a file that was missing, or one whose files have left.
            self.directory.remove_empty(&file.path)?;
        }
        self.directory
            .write_as(file, ownership, self.job.store.blobs())
    }
}

/// Puts back what a deploy has replaced, except where somebody has written since. What it has made is removed, except
/// where one of the files that the stack goes `to` is to lie. A stack that goes back to nothing keeps its files, and has
/// put back only what was not its own.
pub(super) fn put_back(
    job: &Job,
    mut applied: Applied,
    to: Option<&[ShippedFile]>,
    directory: &Path,
) -> Result<(), Stopped> {
    let Some(mut replaced) = Replaced::load(&job.folder())? else {
        return Ok(());
    };
    if to.is_none() {
        let own = |before: &Before| !before.ours;
        replaced
            .before
            .retain(|_, before| before.as_ref().is_some_and(own));
    }
    let stays = to.unwrap_or_default();
    // The record comes first here, too: either version may lie there from now on.
    let missing = stays.iter().filter(|file| !applied.before.contains(file));
    let missing: Vec<ShippedFile> = missing.cloned().collect();
    applied.before.extend(missing);
    job.store.save_applied(&applied)?;
    let directory = ProjectDir::open(directory)?;
    let wrote: BTreeMap<&RelPath, &ShippedFile> = applied
        .spec
        .files
        .iter()
        .map(|file| (&file.path, file))
        .collect();
    // What the deploy has made goes first: it may lie in a folder's place.
    for (path, before) in &replaced.before {
        let stays = stays.iter().any(|file| file.path == *path);
        if before.is_none() && !stays {
            let host = directory.look(path, None)?;
            let own = wrote.get(path).map(|file| file.blob);
            if host.blob().is_some() && host.blob() == own {
                directory.remove(path)?;
            } else if host.blob().is_some() {
                written_since_it_was_deployed(job, path);
            }
        }
    }
    for (path, before) in &replaced.before {
        let Some(before) = before else { continue };
        let host = directory.look(path, None)?;
        let own = wrote.get(path).map(|file| file.blob);
        match host {
            OnHost::Nothing | OnHost::BelowFile => {}
            OnHost::File {
                known, ownership, ..
            } if known.blob == before.blob => {
                if ownership.mode != before.ownership.mode {
                    directory.set_mode(path, before.ownership.mode)?;
                }
                continue;
            }
            OnHost::File { known, .. } if Some(known.blob) == own => {}
            _ => {
                written_since_it_was_deployed(job, path);
                continue;
            }
        }
        let file = ShippedFile {
            path: path.clone(),
            mode: before.ownership.mode,
            size: before.size,
            blob: before.blob,
        };
        directory.write_as(&file, Some(before.ownership), job.store.blobs())?;
    }
    Ok(directory.settle()?)
}

fn written_since_it_was_deployed(job: &Job, path: &RelPath) {
    job.warn(format!(
        "{path} was written on the host after this deploy had replaced it; it stays"
    ));
}

/// What is known of the files of a stack, so that what was not written since need not be read.
pub(crate) fn known(applied: Option<&Applied>) -> BTreeMap<RelPath, Known> {
    applied.map(|it| it.known.clone()).unwrap_or_default()
}
