//! `load`: images from files.

use crate::stream;
use a3s_box_core::Result;
use a3s_box_image::ImageRef;
use a3s_box_runtime::Engine;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Load {
    /// OCI layout (folder or archive) or `docker save` archive; standard input when absent
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Name for the image, where there is only one
    #[arg(short, long, value_name = "NAME")]
    tag: Option<ImageRef>,
}

impl Load {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let loaded = match &self.input {
            Some(path) => engine.load(path, self.tag.as_ref())?,
            None => engine.load_stream(std::io::stdin(), self.tag.as_ref())?,
        };
        for image in loaded {
            let name = image.reference.map_or_else(|| image.digest.to_string(), |r| r.familiar());
            stream::line(&format!("Loaded image: {name}"))?;
        }
        Ok(0)
    }
}
