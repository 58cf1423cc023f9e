//! Brings a project directory to a stack's files, one by one and each at once.

use std::collections::BTreeSet;
use std::path::Path;

use proto::stack::StackSpec;

use super::{Job, Stopped};
use crate::deployer::on_disk;
use crate::projectdir::ProjectDir;
use crate::store::Applied;

/// The record comes first: after a crash it says what may lie there. Files that we did not ship are never touched.
pub(super) fn lay_out(job: &Job, spec: &StackSpec, directory: &Path) -> Result<(), Stopped> {
    let there = on_disk(job.store.applied(&spec.stack)?.as_ref());
    let mut applied = Applied {
        deploy: job.deploy,
        spec: spec.clone(),
        before: there.clone(),
    };
    job.store.save_applied(&applied)?;
    let directory = ProjectDir::open(directory)?;
    for file in &spec.files {
        if !directory.holds(file) {
            directory.write(file, job.store.blobs())?;
        }
    }
    let wanted: BTreeSet<_> = spec.files.iter().map(|file| &file.path).collect();
    for file in there.iter().filter(|file| !wanted.contains(&file.path)) {
        if !directory.remove_if_ours(file)? {
            job.warn(format!(
                "{} left the stack but was changed on the host; it stays",
                file.path
            ));
        }
    }
    directory.settle()?;
    applied.before.clear();
    Ok(job.store.save_applied(&applied)?)
}
