//! `pull`: images from registries.

use crate::stream;
use a3s_box_core::{Bytes, Result};
use a3s_box_image::{Image, ImageRef, PullEvent};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Pull {
    /// Print the image's name alone
    #[arg(short, long)]
    quiet: bool,
    /// Image
    #[arg(value_name = "IMAGE")]
    image: ImageRef,
}

impl Pull {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let image = engine.pull(&self.image, &mut |event| {
            if !self.quiet {
                say(&event);
            }
        })?;
        if !self.quiet {
            stream::line(&format!("Digest: {}", image.digest))?;
        }
        stream::line(&self.image.to_string())?;
        Ok(0)
    }
}

/// Pulls the image that `run` and `create` find missing; all that is said goes to standard error.
pub(super) fn fetch(engine: &Engine, name: &str) -> Result<Image> {
    let reference: ImageRef = name.parse()?;
    eprintln!("image {} is not here, pulling it", reference.familiar());
    engine.pull(&reference, &mut |event| say(&event))
}

fn say(event: &PullEvent) {
    match event {
        PullEvent::Resolved { digest } => eprintln!("{digest}"),
        PullEvent::Started { digest, size } => eprintln!("{}: pulling {}", digest.short(), Bytes(*size)),
        PullEvent::Received { .. } => {}
    }
}
