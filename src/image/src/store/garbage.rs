//! Removing images, and the blobs and rootfs images that no image needs any more.

use super::{ImageStore, MAX_NESTING};
use crate::manifest::{Descriptor, Index, Manifest, NodeKind, REF_NAME};
use crate::rootfs::RootfsCache;
use crate::store::names::is_called;
use crate::{Digest, ImageError, ImageRef, Result};
use a3s_box_files::Lock;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A lease that lasts longer is a pull or a build. (A shorter one may be a process between fork and exec.)
const MOMENT: Duration = Duration::from_millis(250);

/// What [`ImageStore::remove`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The names that are no more.
    pub untagged: Vec<String>,
    /// The image that is no more, unless another name keeps it.
    pub deleted: Option<Digest>,
}

/// The right to remove blobs: nobody else counts on any.
pub(super) struct Alone {
    _lock: Lock,
}

impl ImageStore {
    /// Removes the name `name`, and with its last name the image, its blobs and its rootfs image.
    ///
    /// `in_use` holds the digests ([`Image::digest`](super::Image)) of the images that boxes use: the last
    /// name of such an image is [`ImageError::InUse`]. A digest in place of a name works where at most one
    /// name is left. With `force` a digest takes all names with it, and an image that boxes use loses its last
    /// name, but stays for them. Blobs stay if another process is using the store; the next removal takes them.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        in_use: &HashSet<Digest>,
        rootfs: &RootfsCache,
    ) -> Result<Removed> {
        let found = self.find(name)?;
        let by_name = name.parse::<ImageRef>().is_ok_and(|reference| is_called(&found, &reference));
        let used = in_use.contains(&found.digest);
        let removed = self.change_names(|entries| {
            let same = entries.iter().filter(|entry| entry.digest == found.digest).count();
            if same > 1 && !by_name && !force {
                return Err(ImageError::SeveralNames { digest: found.digest });
            }
            let last = same <= 1 || !by_name;
            if last && used && (!force || found.annotation(REF_NAME).is_none()) {
                return Err(ImageError::InUse { name: name.to_owned() });
            }
            let gone = |entry: &Descriptor| {
                if by_name { *entry == found } else { entry.digest == found.digest }
            };
            let names =
                entries.iter().filter(|entry| gone(entry)).filter_map(|entry| entry.annotation(REF_NAME));
            let untagged = names.map(str::to_owned).collect();
            entries.retain(|entry| !gone(entry));
            if last && used {
                entries.push(Descriptor { annotations: None, ..found.clone() });
            }
            Ok(Removed { untagged, deleted: (last && !used).then_some(found.digest) })
        })?;
        if removed.deleted.is_some() {
            self.collect_garbage(Some(rootfs))?;
        }
        Ok(removed)
    }

    /// Removes the blobs, and the images in `rootfs`, that no image needs; does nothing while somebody has a
    /// lease.
    pub(crate) fn collect_garbage(&self, rootfs: Option<&RootfsCache>) -> Result<()> {
        match self.alone()? {
            Some(alone) => self.sweep_blobs(&alone, rootfs),
            None => Ok(()),
        }
    }

    /// What the store holds for no image: blobs, and beginnings of blobs that nobody writes. Nothing while somebody has
    /// a lease, who may need any of it.
    pub fn unneeded(&self) -> Result<Vec<PathBuf>> {
        let dir = self.dir.join("blobs/sha256");
        if !dir.exists() {
            return Ok(Vec::new());
        }
        let Some(_alone) = self.alone()? else { return Ok(Vec::new()) };
        let mut needed = HashSet::new();
        for entry in self.names()? {
            self.mark(&entry, MAX_NESTING, &mut needed);
        }
        let mut found = Vec::new();
        for file in fs::read_dir(&dir).map_err(ImageError::io("read", &dir))? {
            let path = file.map_err(ImageError::io("read", &dir))?.path();
            let hex = path.file_name().and_then(|name| name.to_str());
            let digest = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            if !digest.is_some_and(|digest| needed.contains(&digest)) {
                found.push(path);
            }
        }
        found.extend(self.beginnings()?);
        Ok(found)
    }

    /// Removes what [`ImageStore::unneeded`] tells of.
    pub fn remove_unneeded(&self) -> Result<()> {
        let Some(alone) = self.alone()? else { return Ok(()) };
        self.remove_partials(true)?;
        self.sweep_blobs(&alone, None)
    }

    /// The store for this process alone, unless somebody has a lease.
    pub(super) fn alone(&self) -> Result<Option<Alone>> {
        let lock = self.dir.join("blobs.lock");
        match Lock::exclusive(&lock, MOMENT) {
            Err(e) if e.kind() == io::ErrorKind::TimedOut => Ok(None),
            other => Ok(Some(Alone { _lock: other.map_err(ImageError::lock(&lock))? })),
        }
    }

    /// Removes the blobs, the beginnings of blobs, and the images in `rootfs`, that no image needs.
    pub(super) fn sweep_blobs(&self, _alone: &Alone, rootfs: Option<&RootfsCache>) -> Result<()> {
        self.remove_partials(false)?;
        let mut needed = HashSet::new();
        let mut chains = Some(HashSet::new());
        for entry in self.names()? {
            self.mark(&entry, MAX_NESTING, &mut needed);
            // A box may run on the rootfs image of an image whose blobs were damaged since; it cannot be
            // told.
            match (self.read_image(&entry), &mut chains) {
                (Ok((_, config)), Some(chains)) => drop(chains.insert(config.chain_id())),
                _ => chains = None,
            }
        }
        self.forget_use(&needed)?;
        let dir = self.dir.join("blobs/sha256");
        let failed = |e| ImageError::io("read", &dir)(e);
        for file in fs::read_dir(&dir).map_err(failed)? {
            let file = file.map_err(failed)?;
            let digest =
                file.file_name().to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            if !digest.is_some_and(|digest| needed.contains(&digest)) {
                fs::remove_file(file.path()).map_err(ImageError::io("remove", &file.path()))?;
            }
        }
        match (rootfs, chains) {
            (Some(rootfs), Some(chains)) => rootfs.retain(&chains),
            _ => Ok(()),
        }
    }

    /// Notes every blob below `node`. A blob that is missing or damaged leads nowhere.
    pub(super) fn mark(&self, node: &Descriptor, depth: usize, needed: &mut HashSet<Digest>) {
        needed.insert(node.digest);
        let thing = "an image in the store";
        let (Ok(kind), Ok(json)) = (NodeKind::of(node), self.read_blob(node)) else { return };
        match kind {
            NodeKind::Index if depth > 0 => {
                for child in Index::parse(thing, &json).map(|index| index.manifests).unwrap_or_default() {
                    self.mark(&child, depth - 1, needed);
                }
            }
            NodeKind::Index => {}
            NodeKind::Manifest => {
                if let Ok(manifest) = Manifest::parse(thing, &json) {
                    needed.insert(manifest.config.digest);
                    needed.extend(manifest.layers.iter().map(|layer| layer.digest));
                }
            }
        }
    }
}
