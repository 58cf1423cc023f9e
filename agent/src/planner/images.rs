//! The images of a plan: what is here, what the registry says, what must be fetched.

use proto::fault::{Fault, FaultKind};
use proto::plan::ImagePlan;

use super::{Inputs, LocalImage, RemoteImage};

/// What is known of one image name.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// In the engine's store.
    pub local: Option<LocalImage>,
    /// In its registry, or why that is not known.
    pub remote: Result<RemoteImage, Fault>,
}

pub(super) fn plan(
    inputs: &Inputs<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<ImagePlan>, Fault> {
    let mut plans = Vec::new();
    for (reference, services) in inputs.stage.resolved.images_of(|name| inputs.covers(name)) {
        let Some(facts) = inputs.images.get(reference) else {
            continue;
        };
        let users = services
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let (digest, pull) = match (&facts.local, &facts.remote) {
            (local, Ok(remote)) => {
                check_platform(reference, remote, inputs.platform)?;
                let here = local
                    .as_ref()
                    .is_some_and(|local| has_digest(local, &remote.digest));
                (Some(remote.digest.clone()), !here)
            }
            (Some(local), Err(fault)) => {
                warnings.push(format!(
                    "{reference}: {fault}; the image on the host is used"
                ));
                (
                    local.digests.first().and_then(|name| digest_of(name)),
                    false,
                )
            }
            (None, Err(fault)) => {
                return Err(fault.clone().cause(format!("it is the image of {users}")));
            }
        };
        plans.push(ImagePlan {
            reference: reference.to_owned(),
            digest,
            pull,
            services,
        });
    }
    Ok(plans)
}

fn digest_of(name: &str) -> Option<String> {
    name.split_once('@').map(|(_, digest)| digest.to_owned())
}

fn has_digest(local: &LocalImage, digest: &str) -> bool {
    local.id == digest
        || local
            .digests
            .iter()
            .any(|name| digest_of(name).as_deref() == Some(digest))
}

/// Proves that there is a variant for this host before anything is stopped.
fn check_platform(reference: &str, remote: &RemoteImage, platform: &str) -> Result<(), Fault> {
    let fits = |offered: &String| {
        offered == platform
            || offered
                .strip_prefix(platform)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    // Single-platform images of some registries say nothing; the pull proves them by inspect.
    if remote.platforms.is_empty() || remote.platforms.iter().any(fits) {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::Failed,
        format!("image {reference} has no {platform} variant"),
    )
    .hint(format!("it is offered for {}", remote.platforms.join(", "))))
}
