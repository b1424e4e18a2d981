//! `df`: what takes up the disk.

use super::Engine;
use super::image::in_use;
use super::volume::views;
use crate::state::{State, look};
use a3s_box_core::{BoxError, Result};
use serde::Serialize;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// How much of one kind there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// What.
    pub kind: &'static str,
    /// How many.
    pub total: usize,
    /// How many of them are in use: an image by a box, a box by its run.
    pub active: usize,
    /// Bytes on the disk.
    pub size: u64,
    /// Bytes of them that could go without harm to a box that runs, or to an image that a box uses.
    pub reclaimable: u64,
}

impl Engine {
    /// What images, rootfs images, boxes, volumes and templates take up.
    ///
    /// # Errors
    /// Those of reading the state directory.
    pub fn df(&self) -> Result<Vec<Usage>> {
        let (store, rootfs) = (self.store()?, self.rootfs()?);
        let state = State::read(&self.home)?;
        let used = in_use(&state);
        let mut digests: Vec<_> = store.digests()?;
        digests.sort();
        digests.dedup();
        let images = Usage {
            kind: "images",
            total: digests.len(),
            active: digests.iter().filter(|digest| used.images.contains(digest)).count(),
            size: store.size()?,
            reclaimable: store.reclaimable(&used.images)?,
        };
        let [(total, size), (active, kept)] = rootfs.usage(&used.rootfs)?;
        let caches = Usage { kind: "rootfs images", total, active, size, reclaimable: size - kept };
        let mut boxes = Usage { kind: "boxes", total: 0, active: 0, size: 0, reclaimable: 0 };
        for record in state.records().values() {
            let folder = self.home.folder(&record.id);
            let size = disk_usage(folder.path())
                .map_err(|e| BoxError::io(format!("cannot read {}", folder.path().display()), e))?;
            boxes.total += 1;
            boxes.size += size;
            if look(&self.home, record)?.state.is_live() {
                boxes.active += 1;
            } else {
                boxes.reclaimable += size;
            }
        }
        let dir = self.home.templates();
        let (total, size) =
            templates(&dir).map_err(|e| BoxError::io(format!("cannot read {}", dir.display()), e))?;
        // A box that has gone on from one does not need it any more.
        let templates = Usage { kind: "templates", total, active: 0, size, reclaimable: size };
        let mut volumes = Usage { kind: "volumes", total: 0, active: 0, size: 0, reclaimable: 0 };
        for volume in views(&self.home, &state)? {
            volumes.total += 1;
            volumes.size += volume.used;
            if volume.boxes.is_empty() {
                volumes.reclaimable += volume.used;
            } else {
                volumes.active += 1;
            }
        }
        Ok(vec![images, caches, boxes, volumes, templates])
    }
}

/// How many guests are kept that boxes go on from, and their bytes.
fn templates(dir: &Path) -> io::Result<(usize, u64)> {
    let names = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let total = names.iter().filter(|path| path.extension().is_some_and(|e| e == "template")).count();
    Ok((total, disk_usage(dir)?))
}

/// Bytes that the files directly in `folder` take up.
pub(super) fn disk_usage(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        match entry?.metadata() {
            Ok(data) => bytes += data.blocks() * 512,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(bytes)
}
