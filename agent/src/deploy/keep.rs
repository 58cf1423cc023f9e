//! Names of our own for the images of revisions, so that a clean-up on the host cannot take what a rollback needs.

use std::collections::BTreeSet;

use proto::id::StackName;

use super::{Job, Stopped};
use crate::store::ImagePin;

/// Where the names live; no registry has it.
pub(crate) const REPOSITORY: &str = "longshore.local/keep";

/// The name that keeps an image, from its id.
pub(crate) fn name(id: &str) -> String {
    let digest = id.strip_prefix("sha256:").unwrap_or(id);
    format!("{REPOSITORY}:{digest}")
}

/// Names every image that the stack's revision has not named already.
pub(super) async fn keep(
    job: &Job,
    stack: &StackName,
    images: impl Iterator<Item = &ImagePin>,
) -> Result<(), Stopped> {
    let current = job.store.current(stack)?.map(|revision| revision.images);
    let named: BTreeSet<String> = current.into_iter().flatten().map(|(_, it)| it.id).collect();
    for pin in images.filter(|pin| !named.contains(&pin.id)) {
        job.engine.tag(&pin.id, &name(&pin.id)).await?;
    }
    Ok(())
}
