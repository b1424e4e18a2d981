//! `rmi`: removes images.

use crate::stream;
use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Rmi {
    /// Take all names of an id; an image that boxes use loses its name and stays for them
    #[arg(short, long)]
    force: bool,
    /// Images, by name or id
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

impl Rmi {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        for name in &self.images {
            let removed = engine.rmi(name, self.force)?;
            for name in removed.untagged {
                stream::line(&format!("Untagged: {name}"))?;
            }
            if let Some(digest) = removed.deleted {
                stream::line(&format!("Deleted: {digest}"))?;
            }
        }
        Ok(0)
    }
}
