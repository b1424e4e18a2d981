//! `images`: the images there are.

use crate::{failure, stream, table};
use a3s_box_core::{BoxError, Bytes, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Images {
    /// Print image ids alone
    #[arg(short, long)]
    quiet: bool,
}

impl Images {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let mut rows = Vec::new();
        for image in engine.images()? {
            // One damaged image must not hide the others.
            let image = match image {
                Ok(image) => image,
                Err(error) => {
                    failure::report(&error);
                    continue;
                }
            };
            if self.quiet {
                stream::line(&image.id().short())?;
                continue;
            }
            let none = || "<none>".to_owned();
            let (name, tag) = image.reference.as_ref().map_or_else(
                || (none(), none()),
                |reference| {
                    let name = reference.familiar();
                    let tag = reference.tag().map_or_else(none, str::to_owned);
                    (name.strip_suffix(&format!(":{tag}")).unwrap_or(&name).to_owned(), tag)
                },
            );
            let created = image.config.created.as_deref().and_then(|c| c.get(..10)).unwrap_or("").to_owned();
            rows.push(vec![name, tag, image.id().short(), created, Bytes(image.size()).to_string()]);
        }
        if !self.quiet {
            table::print(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], &rows)
                .map_err(|e| BoxError::io("cannot print", e))?;
        }
        Ok(0)
    }
}
