//! `import`: a root file system becomes an image.

use crate::{stream, time};
use a3s_box_core::{BoxError, Result};
use a3s_box_image::ImageRef;
use a3s_box_runtime::Engine;
use clap::Args;
use std::fs::File;
use std::path::Path;

#[derive(Args)]
pub(crate) struct Import {
    /// Tar of a root file system, plain, gzip or zstd; `-` is standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Name for the image
    #[arg(value_name = "NAME")]
    name: Option<ImageRef>,
}

impl Import {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let (name, created) = (self.name.as_ref(), time::rfc3339(time::now()));
        let imported = if self.file == "-" {
            engine.import("standard input", std::io::stdin(), name, created)?
        } else {
            let file = File::open(Path::new(&self.file))
                .map_err(|e| BoxError::io(format!("cannot open {}", self.file), e))?;
            engine.import(&self.file, file, name, created)?
        };
        stream::line(&imported.digest.to_string())?;
        Ok(0)
    }
}
