//! `pull`: images from registries.

use super::Engine;
use a3s_box_core::Result;
use a3s_box_image::{Image, ImageRef, PullEvent};

impl Engine {
    /// Pulls `reference` into the store and builds its rootfs image, so that it is ready to run. `progress`
    /// hears what happens.
    ///
    /// # Errors
    /// `Unavailable` where the registry cannot be reached, `NotFound` where it has no such image, `Corrupt`
    /// where what it sends does not match its digest.
    pub fn pull(&self, reference: &ImageRef, progress: &mut dyn FnMut(PullEvent)) -> Result<Image> {
        let store = self.store()?;
        let image = store.pull(reference, None, progress)?;
        self.rootfs()?.ensure(&store, &image)?;
        Ok(image)
    }

    /// Whether the store has the image that `name` means.
    ///
    /// # Errors
    /// Those of reading the store; a missing image is none.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        match self.store()?.resolve(name) {
            Ok(_) => Ok(true),
            Err(a3s_box_image::ImageError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
