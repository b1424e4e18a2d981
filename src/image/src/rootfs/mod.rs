//! Rootfs images: the flattened, read-only file system of an image as one EROFS file, named by content.
//!
//! Built straight from the layers' tars, so that no host path is ever made from what they say. Owns
//! `<A3S_HOME>/rootfs`. The runtime calls [`RootfsCache::ensure`] before it starts a box.

mod apply;
mod durable;
mod erofs;
mod layers;
mod relay;
#[cfg(test)]
mod tests;
mod tree;

use crate::{Digest, Image, ImageError, ImageStore, Platform, Result};
use a3s_box_core::Bytes;
use a3s_box_files::{Lock, Scratch, sweep};
use apply::Applier;
pub use layers::Layer;
use layers::{Open, open_stored, stream};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The end of a rootfs image's name. The number goes up when the same layers would give other bytes.
const SUFFIX: &str = "-v1.erofs";
/// How long another process may take to build the same image, whose layers it may still be pulling. It has
/// deadlines for all that it waits for itself.
const BUILD_PATIENCE: Duration = Duration::from_secs(6 * 60 * 60);

/// What was used more recently than this is not pruned.
const JUST_USED: Duration = Duration::from_secs(60);

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

    /// The cache in `dir` as it is: nothing is made there, and nothing removed.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), limits: Limits::default() }
    }

    /// The rootfs images that are damaged, or of another version, and are not in `needed`, which holds names of files.
    pub fn broken(&self, needed: &HashSet<String>) -> Result<Vec<PathBuf>> {
        let failed = |e| ImageError::io("read", &self.dir)(e);
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !name.ends_with(".erofs") || needed.contains(name) {
                continue;
            }
            let whole = match File::open(&path).and_then(|file| erofs::is_whole(&file)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(ImageError::io("read", &path))?,
            };
            if !whole || !name.ends_with(SUFFIX) {
                found.push(path);
            }
        }
        Ok(found)
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
        let host = Platform::host();
        if !host.accepts(&image.config.platform) {
            return Err(ImageError::NoPlatform {
                thing: format!("image {}", image.digest),
                wanted: host.to_string(),
                offered: image.config.platform.to_string(),
            });
        }
        let _blobs = store.lease()?;
        store.touch(image.digest)?;
        self.ensure_from(image.config.chain_id(), &store.layers(image), &open_stored)
    }

    /// The rootfs image called `chain`, built if it is missing from `layers`, whose blobs `open` gives. The caller
    /// holds a lease.
    pub(crate) fn ensure_from(&self, chain: Digest, layers: &[Layer], open: &Open<'_>) -> Result<PathBuf> {
        let path = self.dir.join(file_name(chain));
        if is_whole(&path)? {
            return Ok(path);
        }
        // Lock files are never removed, which would be a race; so there are at most 256 of them.
        let lock = self.dir.join(format!(".lock-{}", &chain.hex()[..2]));
        let _building = Lock::exclusive(&lock, BUILD_PATIENCE).map_err(ImageError::lock(&lock))?;
        if is_whole(&path)? {
            return Ok(path);
        }
        let scratch = Scratch::new(&self.dir).map_err(ImageError::io("create a file in", &self.dir))?;
        build_from(layers, open, scratch.file(), scratch.path(), self.limits)?;
        let published =
            if durable::mark(scratch.file()) { scratch.keep(&path) } else { scratch.publish(&path) };
        published.map_err(ImageError::io("write", &path))?;
        layers.iter().for_each(Layer::note_known);
        Ok(path)
    }

    /// Bytes of all rootfs images, as they lie on the disk.
    pub fn size(&self) -> Result<u64> {
        Ok(self.files()?.iter().map(|file| file.size).sum())
    }

    /// How many rootfs images there are, and their bytes: of all, and of those that are among the files in `in_use`.
    pub fn usage(&self, in_use: &HashSet<String>) -> Result<[(usize, u64); 2]> {
        let mut usage = [(0, 0); 2];
        for file in self.files()? {
            let used = in_use.contains(&file_name(file.chain));
            for (count, size) in usage.iter_mut().take(1 + usize::from(used)) {
                *count += 1;
                *size += file.size;
            }
        }
        Ok(usage)
    }

    /// The chain IDs of the rootfs images that there are.
    pub(crate) fn chains(&self) -> Result<Vec<Digest>> {
        Ok(self.files()?.into_iter().map(|file| file.chain).collect())
    }

    /// Builds the rootfs image of `image` again and compares every byte. Whether it was sound; if not, the new one is
    /// in its place.
    pub(crate) fn verify(&self, store: &ImageStore, image: &Image) -> Result<bool> {
        let path = self.path(image);
        let scratch = Scratch::new(&self.dir).map_err(ImageError::io("create a file in", &self.dir))?;
        build(&store.layers(image), scratch.file(), scratch.path(), self.limits)?;
        let old = File::open(&path).map_err(ImageError::io("open", &path))?;
        let built = File::open(scratch.path()).map_err(ImageError::io("open", scratch.path()))?;
        if is_same(old, built).map_err(ImageError::io("read", &path))? {
            return Ok(true);
        }
        // Boxes that run on the old one keep it.
        scratch.publish(&path).map_err(ImageError::io("write", &path))?;
        Ok(false)
    }

    /// Removes the rootfs image `chain`. Always false: nothing is left of it.
    pub(crate) fn discard(&self, chain: Digest) -> Result<bool> {
        let path = self.dir.join(file_name(chain));
        fs::remove_file(&path).map_err(ImageError::io("remove", &path))?;
        Ok(false)
    }

    /// Removes the rootfs images that were not used for `ttl`, then those used least recently until the rest is no
    /// more than `limit`; but none of the files in `in_use`, and none that was used a moment ago, which a box may be
    /// about to start on. The bytes that are free now.
    pub fn prune(
        &self,
        ttl: Option<Duration>,
        limit: Option<Bytes>,
        in_use: &HashSet<String>,
    ) -> Result<u64> {
        let mut files = self.files()?;
        files.sort_by_key(|file| (file.used, file.chain));
        let mut total: u64 = files.iter().map(|file| file.size).sum();
        let mut freed = 0;
        for file in files {
            let age = file.used.elapsed().unwrap_or_default();
            let stale = ttl.is_some_and(|ttl| age > ttl) || limit.is_some_and(|limit| total > limit.0);
            let name = file_name(file.chain);
            if stale && age > JUST_USED && !in_use.contains(&name) {
                let path = self.dir.join(name);
                fs::remove_file(&path).map_err(ImageError::io("remove", &path))?;
                total -= file.size;
                freed += file.size;
            }
        }
        Ok(freed)
    }

    fn files(&self) -> Result<Vec<Cached>> {
        let failed = |e| ImageError::io("read", &self.dir)(e);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let hex = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            let Some(chain) = hex.and_then(|hex| format!("sha256:{hex}").parse().ok()) else { continue };
            // Another process may have removed it since.
            if let Ok(data) = entry.metadata() {
                let used = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push(Cached { chain, size: data.blocks() * 512, used });
            }
        }
        Ok(files)
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

/// A rootfs image that is there.
struct Cached {
    chain: Digest,
    size: u64,
    used: SystemTime,
}

/// Whether two files hold the same bytes.
fn is_same(left: File, right: File) -> io::Result<bool> {
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) =
        (BufReader::with_capacity(1 << 20, left), BufReader::with_capacity(1 << 20, right));
    loop {
        let (l, r) = (left.fill_buf()?, right.fill_buf()?);
        let count = l.len().min(r.len());
        if count == 0 {
            return Ok(l.len() == r.len());
        }
        if l[..count] != r[..count] {
            return Ok(false);
        }
        left.consume(count);
        right.consume(count);
    }
}

fn file_name(chain: Digest) -> String {
    format!("{}{SUFFIX}", chain.hex())
}

/// Whether a whole rootfs image is at `path`, which is used now: a power cut can leave anything under a name.
fn is_whole(path: &Path) -> Result<bool> {
    let look = |file: File| {
        let whole = erofs::is_whole(&file)? && durable::is_sure(&file)?;
        if whole {
            // The time of the last use, by which the cache is pruned. That it cannot be noted harms no box.
            let _ = file.set_modified(SystemTime::now());
        }
        Ok(whole)
    };
    match File::open(path).and_then(look) {
        Ok(whole) => Ok(whole),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(ImageError::io("read", path)(e)),
    }
}

/// Builds the rootfs image of `layers`, bottom first, into the empty `file`; errors call it `path`.
///
/// The same layers give the same bytes. The file is not synced. On an error its content is undefined.
pub fn build(layers: &[Layer], file: &File, path: &Path, limits: Limits) -> Result<()> {
    build_from(layers, &open_stored, file, path, limits)
}

fn build_from(layers: &[Layer], open: &Open<'_>, file: &File, path: &Path, limits: Limits) -> Result<()> {
    let mut applier = Applier::new(erofs::Output::new(file, path), limits);
    stream(layers, open, limits.size, |layer, tar| applier.layer(&layer.name(), tar))?;
    let (tree, out) = applier.finish();
    let identity = layers.iter().flat_map(|layer| layer.diff_id.bytes()).copied().collect::<Vec<_>>();
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&Digest::of(&identity).bytes()[..16]);
    erofs::finish(&tree, out, uuid)
}
