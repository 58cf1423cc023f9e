//! One image on its way to a host, folded from progress events.

use proto::event::{EventKind, LayerPhase, Outcome};

/// One layer, as last reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Short digest.
    pub name: String,
    /// What is happening to it.
    pub phase: LayerPhase,
    /// Bytes so far.
    pub current: u64,
    /// Bytes in all; 0 when unknown.
    pub total: u64,
    /// The size learnt while downloading; extraction counts from zero again.
    size: u64,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// As the Compose file names it.
    pub name: String,
    /// Layers by first mention.
    pub layers: Vec<Layer>,
    /// What it turned out to be, and how that ended.
    pub end: Option<(String, Outcome)>,
}

/// More layers than an image can have.
const MOST_LAYERS: usize = 512;

impl Image {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            layers: Vec::new(),
            end: None,
        }
    }

    pub(super) fn apply(&mut self, progress: &EventKind) {
        let EventKind::LayerProgress {
            layer,
            phase,
            current,
            total,
            ..
        } = progress
        else {
            return;
        };
        let at = self.layers.iter().position(|known| known.name == *layer);
        let room = self.layers.len() < MOST_LAYERS;
        let known = at.and_then(|at| self.layers.get_mut(at));
        let size = if *phase == LayerPhase::Downloading {
            *total
        } else {
            0
        };
        match known {
            Some(known) => {
                known.phase = *phase;
                known.current = *current;
                known.total = *total;
                known.size = known.size.max(size);
            }
            None if room => self.layers.push(Layer {
                name: layer.clone(),
                phase: *phase,
                current: *current,
                total: *total,
                size,
            }),
            None => {}
        }
    }

    pub(super) fn finish(&mut self, digest: &str, outcome: Outcome) {
        self.end = Some((digest.to_owned(), outcome));
        self.layers.clear();
    }

    /// Bytes downloaded and bytes to download, as far as sizes are known.
    #[must_use]
    pub fn downloaded(&self) -> (u64, u64) {
        let got = |layer: &Layer| match layer.phase {
            LayerPhase::Waiting => 0,
            LayerPhase::Downloading => layer.current.min(layer.size),
            LayerPhase::Extracting | LayerPhase::Done => layer.size,
        };
        let sum = |count: fn(&Layer) -> u64, layers: &[Layer]| {
            layers.iter().map(count).fold(0, u64::saturating_add)
        };
        (
            sum(got, &self.layers),
            sum(|layer| layer.size, &self.layers),
        )
    }

    /// Layers that are present, and layers in all.
    #[must_use]
    pub fn layers_done(&self) -> (usize, usize) {
        let done = |layer: &&Layer| layer.phase == LayerPhase::Done;
        (self.layers.iter().filter(done).count(), self.layers.len())
    }
}
