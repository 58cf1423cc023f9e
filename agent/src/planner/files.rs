//! The files of a plan: what differs, whoever sees it.

use std::collections::{BTreeMap, BTreeSet};

use proto::path::RelPath;
use proto::plan::{Change, FilePlan};
use proto::stack::ShippedFile;

use super::Inputs;

/// What differs from the files on disk, or from those that the committed containers were made with: after a deploy
/// that failed, the two are not the same.
pub(super) fn plan(inputs: &Inputs<'_>) -> Vec<FilePlan> {
    let wanted = &inputs.stage.spec.files;
    let mut files = differing(inputs.on_disk, wanted);
    if let Some(base) = inputs.base {
        let known: BTreeSet<RelPath> = files.iter().map(|file| file.path.clone()).collect();
        let more = differing(&base.spec.files, wanted);
        files.extend(more.into_iter().filter(|file| !known.contains(&file.path)));
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    files
}

/// What differs between the files that are there and those that are wanted.
#[must_use]
pub fn differing(there: &[ShippedFile], wanted: &[ShippedFile]) -> Vec<FilePlan> {
    let before: BTreeMap<&RelPath, &ShippedFile> =
        there.iter().map(|file| (&file.path, file)).collect();
    let after: BTreeMap<&RelPath, &ShippedFile> =
        wanted.iter().map(|file| (&file.path, file)).collect();
    let paths: BTreeSet<&RelPath> = before.keys().chain(after.keys()).copied().collect();
    paths
        .into_iter()
        .filter_map(|path| {
            let change = match (before.get(path), after.get(path)) {
                (None, _) => Change::Added,
                (_, None) => Change::Removed,
                (Some(a), Some(b)) if a.blob != b.blob || a.mode != b.mode => Change::Changed,
                _ => return None,
            };
            Some(FilePlan {
                path: path.clone(),
                change,
            })
        })
        .collect()
}
