//! Fetches the images of a plan, a few at a time, and pins what every name stands for.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use proto::event::{EventKind, Outcome};
use proto::fault::{Fault, FaultKind};
use proto::plan::{ImagePlan, Plan};
use proto::registry::{RegistryAuth, registry_of};
use tokio::sync::mpsc;

use super::{Job, Stopped};
use crate::engine::{EngineError, LayerProgress, LocalImage, Pull};
use crate::store::{ImagePin, Stage};

/// Images fetched at once: the engine itself fetches three layers of each.
const AT_ONCE: usize = 3;
/// Progress under way to the journal; the engine drops what does not fit.
const PROGRESS_QUEUE: usize = 64;
/// One image may take this long.
const DEADLINE: Duration = Duration::from_secs(60 * 60);
/// What a registry that limits how often it is asked is left alone for, one after the other. It says itself how long
/// (`Retry-After`), but the engine does not hand that on, and to ask past the engine would be to ask once more.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
    Duration::from_secs(30),
];

pub(super) async fn pull(
    job: &Job,
    stage: &Stage,
    plan: &Plan,
) -> Result<BTreeMap<String, ImagePin>, Stopped> {
    let facts = job.engine.facts().await?;
    let platform = format!("{}/{}", facts.os, facts.architecture);
    let pins = stream::iter(plan.images.clone())
        .map(|image| pin(job, image, &platform))
        .buffer_unordered(AT_ONCE)
        .try_collect::<BTreeMap<_, _>>()
        .await?;
    let missing = stage
        .resolved
        .services
        .iter()
        .find(|service| plan.covers(&service.name) && !pins.contains_key(&service.image));
    match missing {
        None => Ok(pins),
        Some(service) => Err(Fault::new(
            FaultKind::Internal,
            format!("image {} is not part of the plan", service.image),
        )
        .into()),
    }
}

async fn pin(job: &Job, image: ImagePlan, platform: &str) -> Result<(String, ImagePin), Stopped> {
    let local = if image.pull {
        let pulled = job.store.pulled();
        // A name that was on the host before is its owner's, whatever it stands for.
        let noted = pulled.all().unwrap_or_default();
        let ours = noted.contains_key(&image.reference)
            || job.engine.image(&image.reference).await?.is_none();
        let local = fetch(job, &image, platform).await?;
        if ours && let Err(error) = pulled.note(&image.reference, &local.id) {
            tracing::warn!(%error, "an image's name will stay on the host");
        }
        local
    } else {
        present(job, &image).await?
    };
    // What was pulled by its name alone has its digest now.
    let digest = image.digest.or_else(|| {
        let named = local.digests.iter().filter_map(|name| name.split_once('@'));
        named.map(|(_, digest)| digest.to_owned()).next()
    });
    let pin = ImagePin {
        id: local.id,
        digest,
    };
    Ok((image.reference, pin))
}

/// An image that the plan found on the host; since then somebody may have removed it, or given its name to another.
async fn present(job: &Job, image: &ImagePlan) -> Result<LocalImage, Stopped> {
    let name = &image.reference;
    let stale = |what: String| {
        let fault = Fault::new(FaultKind::Stale, what);
        Stopped::from(fault.hint("run the same command again to plan anew"))
    };
    let found = job.engine.image(name).await?;
    let found =
        found.ok_or_else(|| stale(format!("image {name} has left the host since the plan")))?;
    match &image.digest {
        Some(digest) if !found.has_digest(digest) => Err(stale(format!(
            "the name {name} has moved to another image on the host since the plan, which was made with {digest}"
        ))),
        _ => Ok(found),
    }
}

/// Pulls, and again where the registry only wants to be asked less often: nothing else that fails here goes well
/// by being repeated, and a refused login that is repeated gets locked.
pub(super) async fn patiently(
    job: &Job,
    pull: &Pull,
    progress: mpsc::Sender<LayerProgress>,
) -> Result<LocalImage, EngineError> {
    for pause in PAUSES {
        let pulled = job
            .engine
            .pull(pull, progress.clone(), job.cancel.clone())
            .await;
        match pulled {
            Err(error) if error.is_limited() => {
                let seconds = pause.as_secs();
                job.warn(format!("{error}; it is asked for again in {seconds} s"));
            }
            other => return other,
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = job.cancel.cancelled() => return Err(EngineError::Cancelled),
        }
    }
    job.engine.pull(pull, progress, job.cancel.clone()).await
}

/// The login for an image's registry, if one came with the deploy.
pub(super) fn login(job: &Job, image: &str) -> Option<RegistryAuth> {
    let registry = registry_of(image);
    job.auths
        .iter()
        .find(|auth| auth.registry == registry)
        .cloned()
}

async fn fetch(job: &Job, image: &ImagePlan, platform: &str) -> Result<LocalImage, Stopped> {
    let name = &image.reference;
    job.journal.push(EventKind::PullStarted {
        image: name.clone(),
    });
    let pull = Pull {
        reference: name.clone(),
        digest: image.digest.clone(),
        platform: image.platform.as_deref().unwrap_or(platform).to_owned(),
        auth: login(job, name),
    };
    let (progress, mut received) = mpsc::channel::<LayerProgress>(PROGRESS_QUEUE);
    let copy = async {
        while let Some(layer) = received.recv().await {
            job.journal.push(EventKind::LayerProgress {
                image: name.clone(),
                layer: layer.layer,
                phase: layer.phase,
                current: layer.current,
                total: layer.total,
            });
        }
    };
    let fetch = tokio::time::timeout(DEADLINE, patiently(job, &pull, progress));
    let (result, ()) = tokio::join!(fetch, copy);
    let result = match result {
        Ok(result) => result.map_err(Stopped::from),
        Err(_) => {
            let what = format!("image {name} was not pulled within an hour");
            let fault = Fault::new(FaultKind::Failed, what);
            Err(Stopped::new(Outcome::TimedOut, fault))
        }
    };
    let outcome = result
        .as_ref()
        .map_or_else(|stopped| stopped.outcome, |_| Outcome::Succeeded);
    let digest = image.digest.clone().unwrap_or_default();
    job.journal.push(EventKind::PullFinished {
        image: name.clone(),
        digest,
        outcome,
    });
    result
}
