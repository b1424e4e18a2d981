//! `images`: the images there are.

use crate::table::Fit;
use crate::template::{self, Format};
use crate::{failure, stream, time};
use a3s_box_core::{Bytes, Result, parse_moment};
use a3s_box_image::{Digest, Image};
use a3s_box_runtime::{Engine, ImageFilter};
use clap::Args;
use serde_json::{Value, json};

const HEADS: &[(&str, &str)] = &[
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("ID", "IMAGE ID"),
    ("CreatedOn", "CREATED"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
];

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
    /// `table`, `json`, a template such as '{{.Repository}}:{{.Tag}}', or `table` and the template of its columns
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
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
            } else {
                rows.push(self.row(&image));
            }
        }
        if !self.quiet {
            let digest = if self.digests { "{{.Digest}}\t" } else { "" };
            let usual = format!(
                "{{{{.Repository}}}}\t{{{{.Tag}}}}\t{digest}{{{{.ID}}}}\t{{{{.CreatedOn}}}}\t{{{{.Size}}}}"
            );
            let fit = Fit::unless(self.no_trunc);
            template::print(&self.format, &usual, HEADS, &rows, fit)?;
        }
        Ok(0)
    }

    fn id(&self, id: Digest) -> String {
        if self.no_trunc { id.to_string() } else { id.short() }
    }

    fn row(&self, image: &Image) -> Value {
        let (name, tag) = names(image);
        let created = image.config.created.as_deref();
        let moment = created.and_then(|created| parse_moment(created, 0).ok());
        let since = moment.map(|at| format!("{} ago", time::since(at))).unwrap_or_default();
        json!({"Repository": name, "Tag": tag, "Digest": image.digest.to_string(), "ID": self.id(image.id()),
            "CreatedAt": created, "CreatedSince": since, "CreatedOn": created.and_then(|c| c.get(..10)).unwrap_or(""),
            "Size": Bytes(image.size()).to_string()})
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
