//! `load`: images from files.

use super::Engine;
use crate::settings::Settings;
use a3s_box_core::Result;
use a3s_box_image::{ImageRef, Loaded};
use std::io::Read;
use std::path::Path;

impl Engine {
    /// Loads every image of an OCI layout (a folder, or a tar of one) or of what `docker save` wrote, and builds
    /// their rootfs images, so that they are ready to run. `name` names a single image.
    ///
    /// # Errors
    /// Those of reading the input; nothing of it stays in the store then.
    pub fn load(&self, path: &Path, name: Option<&ImageRef>) -> Result<Vec<Loaded>> {
        let loaded = self.store()?.load(path, name)?;
        self.ready(&loaded)?;
        self.keep_bounds(&Settings::read(&self.home)?)?;
        Ok(loaded)
    }

    /// As [`Engine::load`], from an archive that `input` delivers.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_stream(&self, input: impl Read + Send, name: Option<&ImageRef>) -> Result<Vec<Loaded>> {
        let loaded = self.store()?.load_archive("standard input", input, name)?;
        self.ready(&loaded)?;
        self.keep_bounds(&Settings::read(&self.home)?)?;
        Ok(loaded)
    }

    pub(super) fn ready(&self, loaded: &[Loaded]) -> Result<()> {
        let (store, rootfs) = (self.store()?, self.rootfs()?);
        for image in loaded {
            rootfs.ensure(&store, &store.resolve(&image.digest.to_string())?)?;
        }
        Ok(())
    }
}
