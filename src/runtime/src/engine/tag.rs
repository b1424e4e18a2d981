//! `tag`: further names for images.

use super::Engine;
use a3s_box_core::Result;
use a3s_box_image::ImageRef;

impl Engine {
    /// Gives the image that `source` means the further name `target`, taking it from whatever had it.
    ///
    /// # Errors
    /// `NotFound` for no such image.
    pub fn tag(&self, source: &str, target: &ImageRef) -> Result<()> {
        Ok(self.store()?.tag(source, target)?)
    }
}
