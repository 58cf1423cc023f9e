//! The images of a plan: what is here, what the registry says, what must be fetched.

use std::collections::{BTreeMap, BTreeSet};

use proto::fault::{Fault, FaultKind};
use proto::id::ServiceName;
use proto::limits::RESOLVE_TIMEOUT;
use proto::plan::ImagePlan;

use super::{Inputs, LocalImage, RemoteImage, of_service};
use crate::engine::Layer;
use crate::resolved::PullPolicy;

/// What is known of one image name.
#[derive(Debug, Clone)]
pub struct ImageFacts {
    /// In the engine's store; of another platform than is wanted, it does not count.
    pub local: Option<LocalImage>,
    /// In its registry.
    pub remote: Remote,
    /// What it is made of, where it must be fetched and its registry said so.
    pub layers: Option<Vec<Layer>>,
}

/// What a registry said of an image.
#[derive(Debug, Clone)]
pub enum Remote {
    /// What the name means now.
    Said(RemoteImage),
    /// That it does not have it, or does not give it; or nobody was there.
    Failed(Fault),
    /// Nothing in the time that a plan has.
    Slow {
        /// The registry.
        registry: String,
    },
    /// It was not asked: [`PullPolicy`] says why.
    Unasked,
}

impl ImageFacts {
    /// What has to be fetched; `None` when it is here, or cannot be had.
    #[must_use]
    pub fn wanted(&self) -> Option<&RemoteImage> {
        let Remote::Said(remote) = &self.remote else {
            return None;
        };
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
    let mut missing = Vec::new();
    let mut unsure = BTreeMap::<String, Vec<&str>>::new();
    let stack = &inputs.stage.resolved;
    for (reference, services) in stack.images_of(|name| inputs.covers(name)) {
        let Some(facts) = inputs.images.get(reference) else {
            continue;
        };
        let platform = stack.platform_of(reference, &services, inputs.platform)?;
        let policy = stack.pull_policy_of(&services);
        let users = services
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        let local_digest = || {
            let name = facts.local.as_ref()?.digests.first()?;
            digest_of(name)
        };
        let mut unasked = None;
        let (digest, pull) = match (&facts.local, &facts.remote) {
            (_, Remote::Said(remote)) => {
                check_platform(reference, remote, platform.unwrap_or(inputs.platform))?;
                (Some(remote.digest.clone()), facts.wanted().is_some())
            }
            (Some(_), Remote::Failed(fault)) => {
                let why = without_name(reference, fault).to_string();
                unsure.entry(why).or_default().push(reference);
                (local_digest(), false)
            }
            (Some(_), Remote::Slow { registry }) => {
                unsure.entry(silent(registry)).or_default().push(reference);
                (local_digest(), false)
            }
            (Some(_), Remote::Unasked) => {
                unasked = Some(policy.told());
                (local_digest(), false)
            }
            (None, Remote::Slow { registry }) => {
                warnings.push(format!(
                    "{reference}: {}; the deploy waits for it before anything is changed",
                    silent(registry)
                ));
                (None, true)
            }
            (None, Remote::Failed(fault)) => {
                missing.push((reference, users, fault.clone()));
                continue;
            }
            (None, Remote::Unasked) => {
                missing.push((reference, users, never_pulled(policy)));
                continue;
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
            platform: platform.map(str::to_owned),
            unasked,
        });
    }
    refuse_missing(missing)?;
    warnings.extend(
        unsure
            .into_iter()
            .map(|(why, images)| match images.as_slice() {
                [one] => format!("{one}: {why}; the image on the host is used"),
                many => format!(
                    "{} images: {why}; what is on the host is used: {}",
                    many.len(),
                    many.join(", ")
                ),
            }),
    );
    Ok(plans)
}

/// What is said beside the image's name need not name it again.
fn without_name(reference: &str, fault: &Fault) -> Fault {
    let named = format!("image {reference}: ");
    let what = fault.what.strip_prefix(&named).unwrap_or(&fault.what);
    Fault {
        what: what.to_owned(),
        ..fault.clone()
    }
}

fn silent(registry: &str) -> String {
    format!(
        "registry {registry} did not answer within {} s",
        RESOLVE_TIMEOUT.as_secs()
    )
}

fn never_pulled(policy: PullPolicy) -> Fault {
    let fault = Fault::new(
        FaultKind::Failed,
        format!(
            "it is not on the host, and {} keeps it from being pulled",
            policy.told()
        ),
    );
    match policy {
        PullPolicy::Build => {
            fault.hint("nothing is built here: build and push it, and let it be pulled")
        }
        _ => fault.hint("load or build it on the host under this name, or let it be pulled"),
    }
}

/// All images that cannot be had are told at once, each with its reason.
fn refuse_missing(mut missing: Vec<(&str, String, Fault)>) -> Result<(), Fault> {
    if missing.len() < 2 {
        let Some((reference, users, fault)) = missing.pop() else {
            return Ok(());
        };
        // Some reasons name it already.
        let what = match fault.what.contains(reference) {
            true => fault.what.clone(),
            false => format!("image {reference}: {}", fault.what),
        };
        let fault = Fault { what, ..fault };
        return Err(fault.cause(format!("it is the image of {users}")));
    }
    let what = format!("{} images cannot be had", missing.len());
    let mut all = Fault::new(FaultKind::Failed, what);
    for (reference, users, fault) in missing {
        let fault = without_name(reference, &fault);
        let why = [vec![fault.what], fault.causes].concat().join(": ");
        all = all.cause(format!("{reference} of {users}: {why}"));
        for hint in fault.hints {
            if !all.hints.contains(&hint) {
                all = all.hint(hint);
            }
        }
    }
    Err(all)
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
