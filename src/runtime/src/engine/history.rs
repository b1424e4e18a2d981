//! `history`: how an image was made.

use super::Engine;
use a3s_box_core::Result;
use a3s_box_image::{Digest, Step};

/// A step of an image's making, and the layer that it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerStep {
    /// The step; all of it empty where the image does not say how the layer was made.
    pub step: Step,
    /// The layer's digest and size as it is stored.
    pub layer: Option<(Digest, u64)>,
}

impl Engine {
    /// How the image that `name` means was made, the newest step first.
    ///
    /// # Errors
    /// `NotFound` for no such image.
    pub fn history(&self, name: &str) -> Result<Vec<LayerStep>> {
        let image = self.store()?.resolve(name)?;
        let mut layers = image.manifest.layers.iter().map(|layer| (layer.digest, layer.size));
        let mut steps: Vec<LayerStep> = image
            .config
            .history
            .iter()
            .map(|step| LayerStep {
                step: step.clone(),
                layer: if step.empty_layer { None } else { layers.next() },
            })
            .collect();
        // Not every tool writes a history, or a whole one.
        steps.extend(layers.map(|layer| LayerStep { step: Step::default(), layer: Some(layer) }));
        steps.reverse();
        Ok(steps)
    }
}
