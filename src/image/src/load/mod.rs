//! `load`: images from OCI layouts (a folder, or a tar of one) and from what `docker save` writes.
//!
//! An archive may come through a pipe, so it is read once, front to back: blobs go straight into the store,
//! and what they mean is known at its end. Nothing is unpacked to a path that the input names.

mod archive;
mod commit;
mod docker;
mod layout;
mod root;

use crate::compression::Compression;
use crate::{Digest, ImageError, ImageRef, ImageStore, Result};
use archive::Archive;
pub use commit::{Commit, check_instruction};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

const BUFFER: usize = 256 << 10;

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it is called now; an archive may leave its images without names.
    pub reference: Option<ImageRef>,
    /// The digest by which it can be named in any case.
    pub digest: Digest,
}

impl ImageStore {
    /// Loads every image in the OCI layout folder or archive file at `path`.
    ///
    /// The images get the names that the input gives them, or `name` where there is only one image.
    pub fn load(&self, path: &Path, name: Option<&ImageRef>) -> Result<Vec<Loaded>> {
        if path.is_dir() {
            return self.load_with(|| layout::load_folder(self, path, name));
        }
        let file = File::open(path).map_err(ImageError::io("open", path))?;
        self.load_archive(&path.display().to_string(), file, name)
    }

    /// Loads every image in the archive that `input` delivers, plain or compressed with gzip or zstd; errors
    /// call it `thing`. Names are given as by [`ImageStore::load`].
    pub fn load_archive(
        &self,
        thing: &str,
        input: impl Read + Send,
        name: Option<&ImageRef>,
    ) -> Result<Vec<Loaded>> {
        self.load_with(|| {
            let failed = |e| ImageError::read(thing, e);
            let mut input = BufReader::with_capacity(BUFFER, input);
            let compression = Compression::detect(input.fill_buf().map_err(failed)?);
            let tar = BufReader::with_capacity(BUFFER, compression.decode(input).map_err(failed)?);
            let archive = Archive::read(self, thing, tar)?;
            if archive.is_layout() {
                layout::load_archive(self, &archive, name)
            } else {
                docker::load(self, &archive, name)
            }
        })
    }

    /// Blobs that no image needs, because of a failure or of files that mean nothing, do not stay.
    fn load_with<T>(&self, load: impl FnOnce() -> Result<T>) -> Result<T> {
        let lease = self.lease()?;
        let loaded = load();
        drop(lease);
        let collected = self.collect_garbage(None);
        let loaded = loaded?;
        collected.map(|()| loaded)
    }
}

/// The name of one of `count` images that the input itself calls `own`.
fn name_for(
    thing: &str,
    count: usize,
    own: Option<ImageRef>,
    name: Option<&ImageRef>,
) -> Result<Option<ImageRef>> {
    match name {
        Some(_) if count > 1 => Err(ImageError::unsupported(thing, format!("one name for {count} images"))),
        Some(name) => Ok(Some(name.clone())),
        None => Ok(own),
    }
}
