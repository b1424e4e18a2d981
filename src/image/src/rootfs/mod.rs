//! Rootfs images: the flattened, read-only file system of an image as one EROFS file, named by content.
//!
//! Built straight from the layers' tars, so that no host path is ever made from what they say. Owns
//! `<A3S_HOME>/rootfs`. The runtime calls [`RootfsCache::ensure`] before it starts a box.

mod apply;
mod erofs;
mod layers;
#[cfg(test)]
mod tests;
mod tree;

use crate::{Digest, Image, ImageError, ImageStore, Result};
use a3s_box_files::{Lock, Scratch, sweep};
use apply::Applier;
pub use layers::Layer;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The end of a rootfs image's name. The number goes up when the same layers would give other bytes.
const SUFFIX: &str = "-v1.erofs";
/// How long another process may take to build the same image.
const BUILD_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What layers may unpack to before they count as hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all unpacked layers together, and of the rootfs image.
    pub size: u64,
    /// Entries of all layers together.
    pub entries: u64,
    /// Bytes of names, link targets and extended attributes, which are kept in memory while building.
    pub metadata: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 64 << 30, entries: 4_000_000, metadata: 512 << 20 }
    }
}

/// The rootfs images of a host.
#[derive(Debug, Clone)]
pub struct RootfsCache {
    dir: PathBuf,
    limits: Limits,
}

impl RootfsCache {
    /// The cache in `dir`, made if missing. Removes what killed builds left there.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(ImageError::io("create", &dir))?;
        sweep(&dir).map_err(ImageError::io("sweep", &dir))?;
        Ok(Self { dir, limits: Limits::default() })
    }

    /// The same cache with other limits for what it builds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where `image`'s rootfs image is, or will be.
    pub fn path(&self, image: &Image) -> PathBuf {
        self.dir.join(file_name(image.config.chain_id()))
    }

    /// The rootfs image of `image`, built if it is missing. The file is shared and must not be written.
    ///
    /// Images with the same layers share a file; processes that want the same file build it once. Damaged
    /// layers are [`ImageError::Corrupt`], layers over a limit [`ImageError::TooLarge`]; neither leaves a
    /// file behind.
    pub fn ensure(&self, store: &ImageStore, image: &Image) -> Result<PathBuf> {
        let path = self.path(image);
        if is_whole(&path)? {
            return Ok(path);
        }
        let chain = image.config.chain_id();
        // Lock files are never removed, which would be a race; so there are at most 256 of them.
        let lock = self.dir.join(format!(".lock-{}", &chain.hex()[..2]));
        let _building = Lock::exclusive(&lock, BUILD_PATIENCE).map_err(ImageError::lock(&lock))?;
        if is_whole(&path)? {
            return Ok(path);
        }
        let _blobs = store.lease()?;
        let scratch = Scratch::new(&self.dir).map_err(ImageError::io("create a file in", &self.dir))?;
        build(&store.layers(image), scratch.file(), scratch.path(), self.limits)?;
        scratch.publish(&path).map_err(ImageError::io("write", &path))?;
        Ok(path)
    }

    /// Removes the rootfs images of all chain IDs but those in `keep`.
    pub(crate) fn retain(&self, keep: &HashSet<Digest>) -> Result<()> {
        let keep: HashSet<String> = keep.iter().map(|chain| file_name(*chain)).collect();
        let failed = |e| ImageError::io("read", &self.dir)(e);
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| name.ends_with(SUFFIX)) else { continue };
            if !keep.contains(name) {
                fs::remove_file(entry.path()).map_err(ImageError::io("remove", &entry.path()))?;
            }
        }
        Ok(())
    }
}

fn file_name(chain: Digest) -> String {
    format!("{}{SUFFIX}", chain.hex())
}

/// Whether a whole rootfs image is at `path`: a power cut can leave anything under a name.
fn is_whole(path: &Path) -> Result<bool> {
    match File::open(path).and_then(|file| erofs::is_whole(&file)) {
        Ok(whole) => Ok(whole),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(ImageError::io("read", path)(e)),
    }
}

/// Builds the rootfs image of `layers`, bottom first, into the empty `file`; errors call it `path`.
///
/// The same layers give the same bytes. The file is not synced. On an error its content is undefined.
pub fn build(layers: &[Layer], file: &File, path: &Path, limits: Limits) -> Result<()> {
    let mut applier = Applier::new(erofs::Output::new(file, path), limits);
    layers::stream(layers, limits.size, |layer, tar| applier.layer(&layer.name(), tar))?;
    let (tree, out) = applier.finish();
    let identity = layers.iter().flat_map(|layer| layer.diff_id.bytes()).copied().collect::<Vec<_>>();
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&Digest::of(&identity).bytes()[..16]);
    erofs::finish(&tree, out, uuid)
}
