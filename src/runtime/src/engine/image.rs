//! `image inspect|prune|fsck`: one image in full, and the care of all of them: bounds, and damage.

use super::Engine;
use crate::settings::Settings;
use crate::state::State;
use a3s_box_core::Result;
use a3s_box_image::{Damage, Digest, Image, ImageError, ProcessConfig, Pruned};
use serde::Serialize;
use std::collections::HashSet;

/// An image in full, in the words of `docker image inspect`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageView {
    /// The digest of its configuration.
    pub id: String,
    /// The digest of its manifest, or of the index that leads to it.
    pub digest: String,
    /// Its names.
    pub repo_tags: Vec<String>,
    /// By what it is pinned.
    pub repo_digests: Vec<String>,
    /// When it was made, as its maker wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The processor that it is for.
    pub architecture: String,
    /// And its variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The system that it is for.
    pub os: String,
    /// Bytes of its blobs.
    pub size: u64,
    /// What to run, and how.
    pub config: ProcessConfig,
    /// The digests of its unpacked layers, bottom first.
    #[serde(rename = "RootFS")]
    pub rootfs: LayersView,
}

/// The layers of an image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LayersView {
    /// Always `layers`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// Digests of the unpacked layers.
    pub layers: Vec<Digest>,
}

/// What boxes, even stopped ones, need.
pub(crate) struct InUse {
    /// Images.
    pub(crate) images: HashSet<Digest>,
    /// Files of rootfs images.
    pub(crate) rootfs: HashSet<String>,
}

pub(crate) fn in_use(state: &State) -> InUse {
    let records = || state.records().values();
    InUse {
        images: records().filter_map(|record| record.image.digest.parse().ok()).collect(),
        rootfs: records().map(|record| record.image.rootfs.clone()).collect(),
    }
}

impl Engine {
    /// The image that `name` means, in full.
    ///
    /// # Errors
    /// `NotFound` for no such image.
    pub fn inspect_image(&self, name: &str) -> Result<ImageView> {
        let store = self.store()?;
        let image = store.resolve(name)?;
        let mut names = store.references(image.digest)?;
        names.sort();
        let mut pins: Vec<String> =
            names.iter().map(|name| format!("{}@{}", name.familiar_name(), image.digest)).collect();
        pins.dedup();
        let Image { digest, manifest, config, .. } = image;
        let size = manifest.layers.iter().map(|layer| layer.size).sum::<u64>() + manifest.config.size;
        Ok(ImageView {
            id: manifest.config.digest.to_string(),
            digest: digest.to_string(),
            repo_tags: names
                .iter()
                .filter(|name| name.tag().is_some())
                .map(|name| name.by_tag().familiar())
                .collect(),
            repo_digests: pins,
            created: config.created.clone(),
            architecture: config.platform.architecture.clone(),
            variant: config.platform.variant.clone(),
            os: config.platform.os.clone(),
            size,
            rootfs: LayersView { kind: "layers", layers: config.diff_ids().to_vec() },
            config: config.config,
        })
    }

    /// Removes the images that have no name, or with `all` every image, but none that a box uses; rootfs images that
    /// no image and no box needs; and what interrupted pulls left.
    ///
    /// # Errors
    /// Those of changing the store.
    pub fn prune_images(&self, all: bool) -> Result<Pruned> {
        // Held while images go: no box can be made of one in between.
        let state = State::write(&self.home)?;
        Ok(self.store()?.prune(all, &in_use(&state).images, &self.rootfs()?)?)
    }

    /// Reads all of the store and compares every rootfs image with its layers. What is damaged is removed or built
    /// anew, so that the next pull or start mends it. `progress` hears what is looked at.
    ///
    /// # Errors
    /// Those of reading the store. Damage is what it returns.
    pub fn fsck_images(&self, progress: &mut dyn FnMut(&str)) -> Result<Damage> {
        Ok(self.store()?.fsck(&self.rootfs()?, progress)?)
    }

    /// Lets images go so that `coming` more bytes fit into the store.
    pub(super) fn make_room(&self, settings: &Settings, coming: u64) -> Result<(), ImageError> {
        let open = || Ok((State::write(&self.home)?, self.store()?, self.rootfs()?));
        let (state, store, rootfs) = open().map_err(ImageError::Caller)?;
        let pruned = store.make_room(settings.image.max_size, coming, &in_use(&state).images, &rootfs)?;
        for name in pruned.untagged {
            tracing::info!(image = name, "removed to make room");
        }
        Ok(())
    }

    /// Lets rootfs images go that `config.toml` gives no room or no time.
    pub(super) fn prune_rootfs(&self, settings: &Settings) -> Result<()> {
        let state = State::write(&self.home)?;
        let bounds = &settings.rootfs;
        self.rootfs()?.prune(Some(bounds.ttl), Some(bounds.max_size), &in_use(&state).rootfs)?;
        Ok(())
    }

    /// After something came that is a user's own and is not refused: others go in its place, if they can.
    pub(super) fn keep_bounds(&self, settings: &Settings) -> Result<()> {
        match self.make_room(settings, 0) {
            Err(ImageError::NoRoom { .. }) => {
                tracing::warn!("the image store holds more than image.max-size");
            }
            other => other?,
        }
        self.prune_rootfs(settings)
    }
}
