//! `images`: the images there are.

use crate::{failure, stream, table};
use a3s_box_core::{BoxError, Bytes, Result};
use a3s_box_image::{Digest, Image};
use a3s_box_runtime::{Engine, ImageFilter};
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(crate) struct Images {
    /// Print image ids alone
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    no_trunc: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Show only some: dangling=true, label=KEY[=VALUE] or reference=PATTERN
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<ImageFilter>,
    /// `json` prints a JSON object an image
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "table"], default_value = "table")]
    format: String,
}

impl Images {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let mut rows = Vec::new();
        for image in engine.images(&self.filter)? {
            // One damaged image must not hide the others.
            let image = match image {
                Ok(image) => image,
                Err(error) => {
                    failure::report(&error);
                    continue;
                }
            };
            if self.quiet {
                stream::line(&self.id(image.id()))?;
            } else if self.format == "json" {
                stream::line(&self.object(&image).to_string())?;
            } else {
                rows.push(self.row(&image));
            }
        }
        if !self.quiet && self.format == "table" {
            let mut head = vec!["REPOSITORY", "TAG"];
            head.extend(self.digests.then_some("DIGEST"));
            head.extend(["IMAGE ID", "CREATED", "SIZE"]);
            table::print(&head, &rows).map_err(|e| BoxError::io("cannot print", e))?;
        }
        Ok(0)
    }

    fn id(&self, id: Digest) -> String {
        if self.no_trunc { id.to_string() } else { id.short() }
    }

    fn row(&self, image: &Image) -> Vec<String> {
        let (name, tag) = names(image);
        let created = image.config.created.as_deref().and_then(|c| c.get(..10)).unwrap_or("").to_owned();
        let mut row = vec![name, tag];
        row.extend(self.digests.then(|| image.digest.to_string()));
        row.extend([self.id(image.id()), created, Bytes(image.size()).to_string()]);
        row
    }

    fn object(&self, image: &Image) -> serde_json::Value {
        let (name, tag) = names(image);
        json!({"Repository": name, "Tag": tag, "Digest": image.digest, "ID": self.id(image.id()),
            "CreatedAt": image.config.created, "Size": Bytes(image.size()).to_string()})
    }
}

/// Repository and tag.
fn names(image: &Image) -> (String, String) {
    let none = || "<none>".to_owned();
    image.reference.as_ref().map_or_else(
        || (none(), none()),
        |reference| (reference.familiar_name(), reference.tag().map_or_else(none, str::to_owned)),
    )
}
