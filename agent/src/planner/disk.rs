//! Room for what is to be pulled: a pull that cannot fit is refused before anything stops.

use std::collections::{BTreeMap, BTreeSet};

use proto::fault::{Fault, FaultKind};

use super::{ImageFacts, Inputs};
use crate::engine::Layer;

/// Layers are stored unpacked, which takes about this many times what is fetched.
const UNPACKED: u64 = 3;

/// Compressed bytes of images whose layers are not here, each layer once.
pub(crate) fn missing<'a>(
    images: impl IntoIterator<Item = &'a [Layer]>,
    here: &BTreeSet<String>,
) -> u64 {
    let layers = images.into_iter().flatten();
    let missing: BTreeMap<&str, u64> = layers
        .filter(|layer| !here.contains(&layer.digest))
        .map(|layer| (layer.digest.as_str(), layer.bytes))
        .collect();
    missing.into_values().fold(0, u64::saturating_add)
}

/// Refuses what cannot fit, and warns of what may not.
pub(super) fn check(inputs: &Inputs<'_>, warnings: &mut Vec<String>) -> Result<(), Fault> {
    let Some(disk) = &inputs.disk else {
        return Ok(());
    };
    let images = inputs.images.values().filter_map(layers);
    let bytes = missing(images, inputs.layers_here);
    let (wanted, free) = (size(bytes), size(disk.free));
    if bytes > disk.free {
        let what = format!(
            "{wanted} of images are to be pulled, and {} has {free} left",
            disk.path
        );
        return Err(Fault::new(FaultKind::Refused, what)
            .hint("make room on the host: docker system df shows what takes it")
            .hint("images that nothing uses go with docker image prune"));
    }
    if bytes.saturating_mul(UNPACKED) > disk.free {
        warnings.push(format!(
            "{wanted} of images are to be pulled and unpacked, and {} has only {free} left",
            disk.path
        ));
    }
    Ok(())
}

fn layers(facts: &ImageFacts) -> Option<&[Layer]> {
    facts.wanted()?;
    facts.layers.as_deref()
}

/// Bytes as people read them: `1.4 GB`.
fn size(bytes: u64) -> String {
    let mut whole = bytes;
    let mut tenths = 0;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        if whole < 1000 {
            break;
        }
        (whole, tenths, unit) = (whole / 1000, whole % 1000 / 100, next);
    }
    match (whole, unit) {
        (_, "B") => format!("{whole} B"),
        (10.., _) => format!("{whole} {unit}"),
        _ => format!("{whole}.{tenths} {unit}"),
    }
}
