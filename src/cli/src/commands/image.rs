//! `image inspect|prune|fsck`: one image in full, and the care of all of them.

use crate::stream;
use a3s_box_core::{BoxError, Bytes, ErrorKind, Result};
use a3s_box_runtime::Engine;
use clap::{Args, Subcommand};
use rustix::termios::isatty;

#[derive(Args)]
pub(crate) struct Image {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show everything known about images, as JSON
    Inspect {
        /// Images, by name or id
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Remove images without a name, and what interrupted pulls left
    Prune {
        /// Remove every image that no box uses
        #[arg(short, long)]
        all: bool,
    },
    /// Read every byte of the image store and mend what is damaged
    Fsck,
}

impl Image {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        match self.what {
            What::Inspect { images } => inspect(engine, &images),
            What::Prune { all } => prune(engine, all),
            What::Fsck => fsck(engine),
        }
    }
}

fn inspect(engine: &Engine, images: &[String]) -> Result<u8> {
    let views = images.iter().map(|name| engine.inspect_image(name)).collect::<Result<Vec<_>>>()?;
    let json = serde_json::to_string_pretty(&views).map_err(|e| BoxError::io("cannot print", e.into()))?;
    stream::line(&json)?;
    Ok(0)
}

fn prune(engine: &Engine, all: bool) -> Result<u8> {
    let pruned = engine.prune_images(all)?;
    for name in pruned.untagged {
        stream::line(&format!("Untagged: {name}"))?;
    }
    for digest in pruned.deleted {
        stream::line(&format!("Deleted: {digest}"))?;
    }
    stream::line(&format!("Total reclaimed space: {}", Bytes(pruned.freed)))?;
    Ok(0)
}

fn fsck(engine: &Engine) -> Result<u8> {
    let shown = isatty(rustix::stdio::stderr());
    let damage = engine.fsck_images(&mut |thing| {
        if shown {
            eprintln!("{thing}");
        }
    })?;
    for blob in &damage.blobs {
        stream::line(&format!("Damaged, removed: blob {blob}"))?;
    }
    for chain in &damage.rootfs {
        stream::line(&format!("Damaged or unknown, mended: rootfs image {chain}"))?;
    }
    for image in &damage.images {
        stream::line(&format!("Incomplete: image {image}"))?;
    }
    if damage.images.is_empty() {
        return Ok(0);
    }
    let count = damage.images.len();
    Err(BoxError::new(ErrorKind::Corrupt, format!("{count} images are incomplete"))
        .with_hint("pull or load them again; what they still have is not fetched again"))
}
