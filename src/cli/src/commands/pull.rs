//! `pull`: images from registries.

use crate::box_args::BoxArgs;
use crate::progress::Progress;
use crate::stream;
use a3s_box_core::{BoxConfig, BoxName, Result};
use a3s_box_image::{Image, ImageRef, Platform};
use a3s_box_runtime::{Engine, PullOptions};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Pull {
    /// Print the image's name alone
    #[arg(short, long)]
    quiet: bool,
    /// Pull for this platform, such as linux/arm64, in place of this host's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Take the image only if it is signed with this public key (PEM), whatever config.toml says
    #[arg(long, value_name = "KEY")]
    verify: Option<PathBuf>,
    /// `json` prints a JSON object an event
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "text"], default_value = "text")]
    format: String,
    /// Image
    #[arg(value_name = "IMAGE")]
    image: ImageRef,
}

impl Pull {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let json = self.format == "json";
        let progress = match (json, self.quiet) {
            (true, false) => Progress::json(),
            (_, true) => Progress::Quiet,
            (false, false) => Progress::shown(),
        };
        let options = PullOptions { platform: self.platform, verify: self.verify };
        let image = pull(engine, &self.image, &options, &progress)?;
        if json {
            let (name, id) = (self.image.to_string(), image.id());
            let pulled = json!({"event": "pulled", "image": name, "digest": image.digest, "id": id});
            return stream::line(&pulled.to_string()).map(|()| 0);
        }
        if !self.quiet {
            stream::line(&format!("Digest: {}", image.digest))?;
        }
        stream::line(&self.image.to_string())?;
        Ok(0)
    }
}

/// What `run` and `create` are asked for, over what the image asks for, which is pulled where it is missing. What
/// makes no sense is refused before that.
pub(super) fn configure(engine: &Engine, asked: BoxArgs) -> Result<(BoxConfig, Option<BoxName>)> {
    let image = asked.image().to_owned();
    asked.clone().config(BoxConfig::new(image.as_str()))?;
    if !engine.has_image(&image)? {
        fetch(engine, &image)?;
    }
    asked.config(engine.defaults(&image)?)
}

/// Pulls an image that is missing; all that is said goes to standard error.
fn fetch(engine: &Engine, name: &str) -> Result<Image> {
    let reference: ImageRef = name.parse()?;
    eprintln!("image {} is not here, pulling it", reference.familiar());
    pull(engine, &reference, &PullOptions::default(), &Progress::shown())
}

fn pull(engine: &Engine, image: &ImageRef, options: &PullOptions, progress: &Progress) -> Result<Image> {
    let pulled = engine.pull(image, options, &|event| progress.tell(event));
    progress.finish();
    pulled
}
