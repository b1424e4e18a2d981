//! A full look at what the store and the rootfs cache hold, byte by byte.

use super::{Image, ImageStore};
use crate::manifest::Descriptor;
use crate::rootfs::RootfsCache;
use crate::{Digest, ImageError, Result};
use std::collections::HashMap;
use std::fs;

/// What was found damaged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// Blobs whose bytes are not those of their digest. They were removed, so that the next pull brings them.
    pub blobs: Vec<Digest>,
    /// What the images are called that lack a blob now: by their names, else by their digests.
    pub images: Vec<String>,
    /// Chain IDs of rootfs images that were not what their layers give, and were built anew, or that no image has,
    /// and were removed.
    pub rootfs: Vec<String>,
}

impl ImageStore {
    /// Reads every blob and builds every rootfs image of an image again, to compare. `progress` hears what is looked
    /// at.
    pub fn fsck(&self, rootfs: &RootfsCache, progress: &mut dyn FnMut(&str)) -> Result<Damage> {
        let _lease = self.lease()?;
        let mut damage = Damage::default();
        let dir = self.dir.join("blobs/sha256");
        for file in fs::read_dir(&dir).map_err(ImageError::io("read", &dir))? {
            let file = file.map_err(ImageError::io("read", &dir))?;
            let name = file.file_name();
            let digest = name.to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            // What is no blob goes with the garbage.
            let (Some(digest), Ok(data)) = (digest, file.metadata()) else { continue };
            progress(&format!("blob {digest}"));
            if self.is_damaged(&Descriptor::new("", digest, data.len()))? {
                self.remove_blob(digest)?;
                damage.blobs.push(digest);
            }
        }
        let mut chains: HashMap<Digest, Image> = HashMap::new();
        for entry in self.names()? {
            let whole = self.image(&entry).and_then(|image| match self.lacks_layers(&image) {
                true => Err(ImageError::corrupt("it", "a layer is missing")),
                false => Ok(image),
            });
            match whole {
                Ok(image) => drop(chains.insert(image.config.chain_id(), image)),
                Err(_) => {
                    let name = entry.annotation(crate::manifest::REF_NAME).map(str::to_owned);
                    damage.images.push(name.unwrap_or_else(|| entry.digest.to_string()));
                }
            }
        }
        for chain in rootfs.chains()? {
            progress(&format!("rootfs image {chain}"));
            let sound = match chains.get(&chain) {
                Some(image) => rootfs.verify(self, image)?,
                None => self.may_need(chain)? || rootfs.discard(chain)?,
            };
            if !sound {
                damage.rootfs.push(chain.to_string());
            }
        }
        damage.blobs.sort();
        Ok(damage)
    }

    fn lacks_layers(&self, image: &Image) -> bool {
        image.manifest.layers.iter().any(|layer| !self.has_blob(layer))
    }

    /// Whether `chain` may be of an image that lacks a blob now. Then it cannot be compared, and is left to the boxes
    /// that run on it until the image was pulled again.
    fn may_need(&self, chain: Digest) -> Result<bool> {
        let mut images = self.names()?.into_iter().map(|entry| self.image(&entry));
        Ok(images.any(|image| image.map_or(true, |image| image.config.chain_id() == chain)))
    }
}
