//! `images`: the images there are.

use super::Engine;
use a3s_box_core::Result;
use a3s_box_image::Image;

impl Engine {
    /// The images in the store; one whose blobs are damaged is an error in its place.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn images(&self) -> Result<Vec<Result<Image>>> {
        let images = self.store()?.list()?;
        Ok(images.into_iter().map(|image| image.map_err(Into::into)).collect())
    }
}
