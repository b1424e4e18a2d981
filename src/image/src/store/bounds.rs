//! How much the store holds, which images were used last, and which go when it holds too much.

use super::names::PULLED;
use super::{ImageStore, MAX_NESTING};
use crate::manifest::{Descriptor, REF_NAME};
use crate::rootfs::RootfsCache;
use crate::{Digest, ImageError, Result};
use a3s_box_core::Bytes;
use std::collections::{HashMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

/// What was removed to make room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The names that are no more.
    pub untagged: Vec<String>,
    /// The images that are no more.
    pub deleted: Vec<Digest>,
    /// Bytes that are free now.
    pub freed: u64,
}

/// Whether the entry is one that a user would miss.
fn is_owned(entry: &Descriptor) -> bool {
    entry.annotation(REF_NAME).is_some() && entry.annotation(PULLED).is_none()
}

impl ImageStore {
    fn used(&self) -> PathBuf {
        self.dir.join("used")
    }

    /// Notes that the image `digest` is used now.
    pub fn touch(&self, digest: Digest) -> Result<()> {
        let dir = self.used();
        fs::create_dir_all(&dir).map_err(ImageError::io("create", &dir))?;
        let path = dir.join(digest.hex());
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .map_err(ImageError::io("write", &path))
    }

    /// When the image `digest` was used last, as far as is known.
    pub fn last_used(&self, digest: Digest) -> SystemTime {
        let path = self.used().join(digest.hex());
        fs::metadata(path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Forgets when images outside of `kept` were used.
    pub(super) fn forget_use(&self, kept: &HashSet<Digest>) -> Result<()> {
        let dir = self.used();
        let files = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(ImageError::io("read", &dir))?,
        };
        for file in files {
            let file = file.map_err(ImageError::io("read", &dir))?;
            let digest =
                file.file_name().to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            if !digest.is_some_and(|digest| kept.contains(&digest)) {
                // Another process may be quicker.
                let _ = fs::remove_file(file.path());
            }
        }
        Ok(())
    }

    /// Bytes of all blobs, whole ones and beginnings.
    pub fn size(&self) -> Result<u64> {
        Ok(self.sizes("blobs/sha256")?.values().sum::<u64>() + self.sizes("partial")?.values().sum::<u64>())
    }

    /// The sizes of the blobs in one of the store's folders.
    fn sizes(&self, folder: &str) -> Result<HashMap<Digest, u64>> {
        let dir = self.dir.join(folder);
        let files = match fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
            other => other.map_err(ImageError::io("read", &dir))?,
        };
        let mut sizes = HashMap::new();
        for file in files {
            let file = file.map_err(ImageError::io("read", &dir))?;
            let digest =
                file.file_name().to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            if let (Some(digest), Ok(data)) = (digest, file.metadata()) {
                sizes.insert(digest, data.len());
            }
        }
        Ok(sizes)
    }

    /// Makes the store hold at most `limit` with `coming` more, by removing the images that were used least
    /// recently: pulled ones, and those without a name; but none of those in `in_use`.
    ///
    /// Does nothing while another process has a lease: the last of them makes room. What cannot be made to fit is
    /// [`ImageError::NoRoom`], and then nothing was removed.
    pub fn make_room(
        &self,
        limit: Bytes,
        coming: u64,
        in_use: &HashSet<Digest>,
        rootfs: &RootfsCache,
    ) -> Result<Pruned> {
        if self.size()?.saturating_add(coming) <= limit.0 {
            return Ok(Pruned::default());
        }
        let Some(alone) = self.alone()? else { return Ok(Pruned::default()) };
        self.remove_partials(true)?;
        self.sweep_blobs(&alone, Some(rootfs))?;
        let sizes = self.sizes("blobs/sha256")?;
        let mut total: u64 = sizes.values().sum();
        let before = total;

        let images = self.images_and_blobs()?;
        let mut users: HashMap<Digest, usize> = HashMap::new();
        for blob in images.values().flatten() {
            *users.entry(*blob).or_default() += 1;
        }
        let owned: HashSet<Digest> =
            self.names()?.iter().filter(|entry| is_owned(entry)).map(|e| e.digest).collect();
        let may_go = |digest: &&Digest| !in_use.contains(digest) && !owned.contains(digest);
        let mut candidates: Vec<Digest> = images.keys().filter(may_go).copied().collect();
        candidates.sort_by_key(|digest| (self.last_used(*digest), *digest));
        let mut going = HashSet::new();
        for digest in candidates {
            if total.saturating_add(coming) <= limit.0 {
                break;
            }
            going.insert(digest);
            for blob in &images[&digest] {
                let left = users.entry(*blob).or_default();
                *left -= 1;
                if *left == 0 {
                    total -= sizes.get(blob).copied().unwrap_or_default();
                }
            }
        }
        if total.saturating_add(coming) > limit.0 {
            return Err(ImageError::NoRoom { need: Bytes(coming), used: Bytes(total), limit });
        }
        let mut pruned = self.drop_images(&going)?;
        self.sweep_blobs(&alone, Some(rootfs))?;
        pruned.freed = before - total;
        Ok(pruned)
    }

    /// Removes the images that have no name, or with `all` every image, but none of those in `in_use`; and all
    /// that no image needs, beginnings too.
    pub fn prune(&self, all: bool, in_use: &HashSet<Digest>, rootfs: &RootfsCache) -> Result<Pruned> {
        let before = self.size()? + rootfs.size()?;
        let named: HashSet<Digest> = self
            .names()?
            .iter()
            .filter(|entry| entry.annotation(REF_NAME).is_some())
            .map(|e| e.digest)
            .collect();
        let going = self
            .names()?
            .iter()
            .map(|entry| entry.digest)
            .filter(|digest| !in_use.contains(digest) && (all || !named.contains(digest)))
            .collect();
        let mut pruned = self.drop_images(&going)?;
        if let Some(alone) = self.alone()? {
            self.remove_partials(true)?;
            self.sweep_blobs(&alone, Some(rootfs))?;
        }
        pruned.freed = before.saturating_sub(self.size()? + rootfs.size()?);
        Ok(pruned)
    }

    /// Takes all names from the images in `going`.
    fn drop_images(&self, going: &HashSet<Digest>) -> Result<Pruned> {
        if going.is_empty() {
            return Ok(Pruned::default());
        }
        self.change_names(|entries| {
            let gone: Vec<Descriptor> =
                entries.extract_if(.., |entry| going.contains(&entry.digest)).collect();
            let untagged =
                gone.iter().filter_map(|entry| entry.annotation(REF_NAME)).map(str::to_owned).collect();
            let mut deleted: Vec<Digest> = gone.iter().map(|entry| entry.digest).collect();
            deleted.sort();
            deleted.dedup();
            Ok(Pruned { untagged, deleted, freed: 0 })
        })
    }

    /// The images, and the blobs that each needs.
    fn images_and_blobs(&self) -> Result<HashMap<Digest, HashSet<Digest>>> {
        let mut images: HashMap<Digest, HashSet<Digest>> = HashMap::new();
        for entry in self.names()? {
            // The same for every name of an image.
            self.mark(&entry, MAX_NESTING, images.entry(entry.digest).or_default());
        }
        Ok(images)
    }

    /// Bytes of the blobs that only images outside of `in_use` need.
    pub fn reclaimable(&self, in_use: &HashSet<Digest>) -> Result<u64> {
        let images = self.images_and_blobs()?;
        let kept: HashSet<Digest> = images
            .iter()
            .filter(|(digest, _)| in_use.contains(digest))
            .flat_map(|(_, blobs)| blobs)
            .copied()
            .collect();
        let sizes = self.sizes("blobs/sha256")?;
        Ok(sizes.iter().filter(|(blob, _)| !kept.contains(blob)).map(|(_, size)| size).sum())
    }
}
