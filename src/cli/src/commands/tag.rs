//! `tag`: further names for images.

use a3s_box_core::Result;
use a3s_box_image::ImageRef;
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Tag {
    /// Image, by name or id
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Its further name
    #[arg(value_name = "NAME")]
    name: ImageRef,
}

impl Tag {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        engine.tag(&self.image, &self.name)?;
        Ok(0)
    }
}
