//! `load`: images from files.

use super::Engine;
use crate::settings::Settings;
use a3s_box_core::Result;
use a3s_box_image::{ImageError, ImageRef, ImageStore, Loaded};
use std::io::Read;
use std::path::Path;

impl Engine {
    /// Loads every image of an OCI layout (a folder, or a tar of one) or of what `docker save` wrote, and builds
    /// their rootfs images, so that they are ready to run. `name` names a single image.
    ///
    /// # Errors
    /// Those of reading the input; nothing of it stays in the store then.
    pub fn load(&self, path: &Path, name: Option<&ImageRef>) -> Result<Vec<Loaded>> {
        let loaded = self.ready(|store| store.load(path, name))?;
        self.keep_bounds(&Settings::read(&self.home)?)?;
        Ok(loaded)
    }

    /// As [`Engine::load`], from an archive that `input` delivers.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_stream(&self, input: impl Read + Send, name: Option<&ImageRef>) -> Result<Vec<Loaded>> {
        let loaded = self.ready(|store| store.load_archive("standard input", input, name))?;
        self.keep_bounds(&Settings::read(&self.home)?)?;
        Ok(loaded)
    }

    /// The images that `load` puts into the store, with their rootfs images. Where one cannot be made, they do not stay.
    pub(super) fn ready(
        &self,
        load: impl FnOnce(&ImageStore) -> Result<Vec<Loaded>, ImageError>,
    ) -> Result<Vec<Loaded>> {
        let (store, rootfs) = (self.store()?, self.rootfs()?);
        let before = store.catalogue()?;
        let loaded = load(&store)?;
        let make =
            |image: &Loaded| rootfs.ensure(&store, &store.resolve(&image.digest.to_string())?).map(drop);
        match loaded.iter().try_for_each(make) {
            Ok(()) => Ok(loaded),
            Err(error) => {
                if let Err(also) = store.take_back(&loaded, before) {
                    tracing::warn!(error = %also, "an image stays that is not ready to run");
                }
                Err(error.into())
            }
        }
    }
}
