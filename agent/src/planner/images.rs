//! The images of a plan: what is here, what the registry says, what must be fetched.

use std::collections::BTreeSet;

use proto::fault::{Fault, FaultKind};
use proto::id::ServiceName;
use proto::plan::ImagePlan;

use super::{Inputs, LocalImage, RemoteImage, of_service};
use crate::engine::Layer;

/// What is known of one image name.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// In the engine's store.
    pub local: Option<LocalImage>,
    /// In its registry, or why that is not known.
    pub remote: Result<RemoteImage, Fault>,
    /// What it is made of, where it must be fetched and its registry said so.
    pub layers: Option<Vec<Layer>>,
}

impl ImageFacts {
    /// What has to be fetched; `None` when it is here, or cannot be had.
    #[must_use]
    pub fn wanted(&self) -> Option<&RemoteImage> {
        let remote = self.remote.as_ref().ok()?;
        let local = self.local.as_ref();
        let here = local.is_some_and(|local| local.has_digest(&remote.digest));
        (!here).then_some(remote)
    }
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
            (_, Ok(remote)) => {
                check_platform(reference, remote, inputs.platform)?;
                (Some(remote.digest.clone()), facts.wanted().is_some())
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
        let layers = facts.layers.as_ref().filter(|_| pull);
        plans.push(ImagePlan {
            reference: reference.to_owned(),
            digest,
            pull,
            before: runs_now(inputs, &services),
            bytes: layers.map(|layers| super::missing_bytes([layers.as_slice()], &BTreeSet::new())),
            services,
        });
    }
    Ok(plans)
}

/// The image that the first of these services that runs was made from: by its digest in the registry where the
/// committed revision knows that, else by its id.
fn runs_now(inputs: &Inputs<'_>, services: &[ServiceName]) -> Option<String> {
    let mut running = services
        .iter()
        .flat_map(|name| of_service(inputs.containers, name));
    let id = &running.next()?.image_id;
    let pins = inputs
        .base
        .into_iter()
        .flat_map(|base| base.images.values());
    let known = pins
        .filter(|pin| pin.id == *id)
        .find_map(|pin| pin.digest.clone());
    Some(known.unwrap_or_else(|| id.clone()))
}

fn digest_of(name: &str) -> Option<String> {
    name.split_once('@').map(|(_, digest)| digest.to_owned())
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
