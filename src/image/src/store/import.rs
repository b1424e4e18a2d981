//! Taking an image into the store: from its top down, every blob verified, its name last.

use super::{ImageStore, MAX_NESTING, Source, check};
use crate::manifest::{Descriptor, Index, Manifest, NodeKind, Platform};
use crate::{ImageConfig, ImageError, ImageRef, Result};

impl ImageStore {
    /// Imports the image that `top` describes, for this host's platform, and calls it `reference`. Blobs that
    /// the store lacks come from `source`. The caller holds a lease.
    pub(crate) fn import(
        &self,
        top: Descriptor,
        reference: Option<&ImageRef>,
        source: &mut Source<'_>,
    ) -> Result<()> {
        let thing = format!("image {}", top.digest);
        let platform = Platform::host();
        let mut node = top.clone();
        for _ in 0..MAX_NESTING {
            let kind = NodeKind::of(&node)?;
            self.get(&node, source)?;
            let json = self.read_blob(&node)?;
            if kind == NodeKind::Index {
                node = Index::parse(&thing, &json)?.choose(&thing, &platform)?.clone();
                continue;
            }
            let manifest = Manifest::parse(&thing, &json)?;
            self.get(&manifest.config, source)?;
            let config = ImageConfig::parse(&thing, &self.read_blob(&manifest.config)?)?;
            // Before the layers, so that a wrong image costs no download.
            check(&thing, &platform, &manifest, &config)?;
            for layer in &manifest.layers {
                self.get(layer, source)?;
            }
            return self.name(top, reference);
        }
        Err(ImageError::TooLarge { thing, limit: format!("{MAX_NESTING} nested indexes") })
    }

    fn get(&self, blob: &Descriptor, source: &mut Source<'_>) -> Result<()> {
        if self.has_blob(blob) {
            return Ok(());
        }
        self.write_blob(blob, source(blob)?)
    }
}
