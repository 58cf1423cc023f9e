//! Containers that are not what the current revision says: somebody changed them, or the record is an older one.

use std::collections::BTreeSet;

use proto::fault::{Fault, FaultKind};

use super::Inputs;
use super::scope::WHOLE;
use crate::engine::Container;
use crate::resolved::ResolvedService;
use crate::store::Revision;

/// What of a container is another than in the revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Compose's hash of its settings.
    Settings,
    /// The image that it was made from.
    Image,
}

/// Whether the revision has made a container of this service as it is.
#[must_use]
pub fn foreign(
    revision: &Revision,
    service: &ResolvedService,
    container: &Container,
) -> Option<Foreign> {
    let hash = revision.config_hashes.get(&service.name);
    if hash.is_some_and(|hash| *hash != container.config_hash) {
        return Some(Foreign::Settings);
    }
    // What an older revision made may run an image that a tag has left since.
    let pin = revision.images.get(&service.image);
    let pin = pin.filter(|_| !revision.older.contains_key(&service.name));
    pin.is_some_and(|pin| pin.id != container.image_id)
        .then_some(Foreign::Image)
}

/// Every container of the revision's services that it has not made as it is.
pub fn foreigners<'a>(
    revision: &'a Revision,
    containers: &'a [Container],
) -> impl Iterator<Item = &'a Container> {
    // What a killed Compose has left half made is no work of somebody's hand.
    let own = containers.iter();
    let own = own.filter(|it| !it.one_off && it.half_made().is_none());
    own.filter(|container| {
        let service = revision.resolved.service(&container.service);
        service.is_some_and(|service| foreign(revision, service, container).is_some())
    })
}

/// What that means, in a sentence.
#[must_use]
pub fn older(revision: &Revision) -> String {
    format!(
        "the records here are older than what runs: after revision {} somebody has changed it by hand, or the \
         agent's state was put back from a backup",
        revision.id.short()
    )
}

/// What the operator should know before; nothing where the record and the engine agree.
pub(super) fn warning(inputs: &Inputs<'_>) -> Option<String> {
    let base = inputs.base?;
    let names: BTreeSet<&str> = foreigners(base, inputs.containers)
        .map(|it| it.service.as_str())
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} not as recorded: {}; a deploy that fails goes back to the recorded revision",
            names.join(", "),
            older(base)
        )
    })
}

/// A deploy of a part would record the others as they are not.
///
/// # Errors
/// When a service that is to be left alone is not as recorded.
pub(super) fn check_others(inputs: &Inputs<'_>) -> Result<(), Fault> {
    let (Some(_), Some(base)) = (inputs.part, inputs.base) else {
        return Ok(());
    };
    let others = foreigners(base, inputs.containers).filter(|it| !inputs.covers(&it.service));
    let causes: Vec<String> = others
        .map(|it| format!("container {} of {}", it.name, it.service))
        .collect();
    if causes.is_empty() {
        return Ok(());
    }
    let what =
        "what is to be left alone is not as recorded, so a part cannot be deployed beside it";
    let mut fault = Fault::new(FaultKind::Refused, what)
        .cause(older(base))
        .hint(WHOLE);
    fault.causes.extend(causes);
    Err(fault)
}
