//! Makes what somebody started by hand the stack's first revision, so that there is something to go back to.

use std::collections::BTreeMap;

use proto::fault::{Fault, FaultKind};

use super::commit::config_hashes;
use super::{Job, Stopped, keep};
use crate::clock;
use crate::deployer::still_there;
use crate::engine::Container;
use crate::store::{Applied, Revision};

/// Commits what was found, if it is still there. Touches neither a container nor a file of the project.
pub(super) async fn adopt(
    job: &Job,
    found: &Revision,
    containers: &[Container],
) -> Result<(), Stopped> {
    if config_hashes(containers) != found.config_hashes {
        let what = "other containers run than when this plan was made";
        return Err(Fault::new(FaultKind::Stale, what)
            .hint("run the same command again to plan anew")
            .into());
    }
    still_there(&found.directory, found)?;
    keep::keep(job, &found.spec.stack, found.images.values()).await?;
    let revision = Revision {
        operator: job.operator.clone(),
        committed_at_millis: clock::unix_millis(),
        number: super::commit::next_number(job, &found.spec.stack)?,
        ..found.clone()
    };
    job.store.commit(&revision)?;
    // Files that lay there and that the stack does not ship are not on this list: they are not ours to remove.
    Ok(job.store.save_applied(&Applied {
        deploy: job.deploy,
        spec: revision.spec,
        before: Vec::new(),
        known: BTreeMap::new(),
    })?)
}
