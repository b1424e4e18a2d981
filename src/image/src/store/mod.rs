//! The image store: an OCI image layout at `<A3S_HOME>/images`, shared by all processes of a user.
//!
//! `index.json` names the images (annotation `org.opencontainers.image.ref.name`, canonical references), and
//! `blobs/sha256` holds everything they consist of. Whoever adds or reads blobs holds a lease; garbage is
//! collected only while nobody does. What is inside layers is `rootfs`'s business.

mod blobs;
mod bounds;
mod fsck;
mod garbage;
mod import;
mod names;
mod partial;

pub(crate) use blobs::Source;
pub use bounds::Pruned;
pub use fsck::Damage;
pub use garbage::Removed;
pub use names::Catalogue;
pub(crate) use partial::Partial;

use crate::manifest::{Descriptor, Index, Manifest, NodeKind, Platform, REF_NAME};
use crate::rootfs::Layer;
use crate::{Digest, ImageConfig, ImageError, ImageRef, Result};
use a3s_box_files::{Lock, Scratch, sweep};
use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// How long others may hold `index.json` or collect garbage; both take milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// How deep indexes may be nested in indexes.
pub(crate) const MAX_NESTING: usize = 4;

/// An image in the store, for this host's platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name that it was found by, where it has one.
    pub reference: Option<ImageRef>,
    /// The digest that it is listed and pinned by: of its index where it has one, else of its manifest.
    pub digest: Digest,
    /// Its blobs.
    pub manifest: Manifest,
    /// Its configuration.
    pub config: ImageConfig,
}

impl Image {
    /// The digest of the configuration, which Docker calls the image id.
    pub fn id(&self) -> Digest {
        self.manifest.config.digest
    }

    /// Bytes of all its blobs as they are stored.
    pub fn size(&self) -> u64 {
        self.manifest.layers.iter().map(|layer| layer.size).sum::<u64>() + self.manifest.config.size
    }
}

/// The images of a host.
#[derive(Debug, Clone)]
pub struct ImageStore {
    dir: PathBuf,
}

/// The right to count on blobs staying where they are.
#[derive(Debug)]
pub struct Lease {
    _lock: Lock,
}

impl ImageStore {
    /// The store in `dir`, made if missing. Removes what killed processes left half-written.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let store = Self { dir: dir.into() };
        let blobs = store.dir.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(ImageError::io("create", &blobs))?;
        let marker = store.dir.join("oci-layout");
        if !marker.exists() {
            let content = br#"{"imageLayoutVersion":"1.0.0"}"#;
            Scratch::write(&marker, content).map_err(ImageError::io("write", &marker))?;
        }
        sweep(&store.dir).map_err(ImageError::io("sweep", &store.dir))?;
        Ok(store)
    }

    /// The store in `dir` as it is: nothing is made there, and nothing removed.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// All images, in the order in which they came. An image whose blobs are damaged is an error in its
    /// place.
    pub fn list(&self) -> Result<Vec<Result<Image>>> {
        let entries = self.names()?;
        // Each is three small files: a few cores halve what a user waits for, and fewer images are not worth a thread.
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let share = entries.len().div_ceil(cores).max(64);
        Ok(thread::scope(|scope| {
            let read = |part: &[Descriptor]| part.iter().map(|entry| self.image(entry)).collect::<Vec<_>>();
            let parts: Vec<_> = entries.chunks(share).map(|part| scope.spawn(move || read(part))).collect();
            let join = |part: thread::ScopedJoinHandle<'_, _>| {
                part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            parts.into_iter().flat_map(join).collect()
        }))
    }

    /// The image that `name` means: a reference, a digest, or a prefix of a digest or image id that only it
    /// has, of six digits or more.
    pub fn resolve(&self, name: &str) -> Result<Image> {
        let entry = self.find(name)?;
        self.image(&entry)
    }

    /// The blob that the image which `name` means begins with, and the platform where it is not this host's.
    pub(crate) fn entry(&self, name: &str) -> Result<Descriptor> {
        self.find(name)
    }

    /// The image of an entry of `index.json`.
    fn image(&self, entry: &Descriptor) -> Result<Image> {
        let reference = entry.annotation(REF_NAME).map(str::parse).transpose()?;
        let (manifest, config) = self.read_image(entry)?;
        Ok(Image { reference, digest: entry.digest, manifest, config })
    }

    /// The manifest and configuration that `top` leads to on this host.
    fn read_image(&self, top: &Descriptor) -> Result<(Manifest, ImageConfig)> {
        let thing = format!("image {}", top.digest);
        // Only an image for another host says for which.
        let platform = top.platform.clone().unwrap_or_else(Platform::host);
        let mut node = top.clone();
        for _ in 0..MAX_NESTING {
            let json = self.read_blob(&node)?;
            if NodeKind::of(&node)? == NodeKind::Index {
                node = Index::parse(&thing, &json)?.choose(&thing, &platform)?.clone();
                continue;
            }
            let manifest = Manifest::parse(&thing, &json)?;
            let config = ImageConfig::parse(&thing, &self.read_blob(&manifest.config)?)?;
            check(&thing, &platform, &manifest, &config)?;
            return Ok((manifest, config));
        }
        Err(ImageError::TooLarge { thing, limit: format!("{MAX_NESTING} nested indexes") })
    }

    /// The layers of `image`, bottom first.
    pub fn layers(&self, image: &Image) -> Vec<Layer> {
        self.layers_of(&image.manifest, &image.config)
    }

    /// The layers of the image that `manifest` and `config` describe, bottom first.
    pub(crate) fn layers_of(&self, manifest: &Manifest, config: &ImageConfig) -> Vec<Layer> {
        let diff_ids = config.diff_ids().iter();
        let layers = manifest.layers.iter().zip(diff_ids).map(|(descriptor, diff_id)| Layer {
            blob: self.blob_path(descriptor.digest),
            descriptor: descriptor.clone(),
            diff_id: *diff_id,
        });
        layers.collect()
    }

    /// Keeps blobs from being collected while it is held.
    pub fn lease(&self) -> Result<Lease> {
        let path = self.dir.join("blobs.lock");
        Ok(Lease { _lock: Lock::shared(&path, PATIENCE).map_err(ImageError::lock(&path))? })
    }
}

/// Refuses an image for another platform, and one whose configuration does not describe its layers.
pub(crate) fn check(
    thing: &str,
    platform: &Platform,
    manifest: &Manifest,
    config: &ImageConfig,
) -> Result<()> {
    if !platform.accepts(&config.platform) {
        return Err(ImageError::NoPlatform {
            thing: thing.to_owned(),
            wanted: platform.to_string(),
            offered: config.platform.to_string(),
        });
    }
    let (layers, diff_ids) = (manifest.layers.len(), config.diff_ids().len());
    if layers != diff_ids {
        return Err(ImageError::corrupt(thing, format!("it has {layers} layers, and digests of {diff_ids}")));
    }
    Ok(())
}
