//! `import`: a root file system becomes an image.

use super::Engine;
use crate::settings::Settings;
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_image::{ImageRef, Loaded};
use std::io::Read;

impl Engine {
    /// Makes an image of one layer of the root file system whose tar `input` delivers, and its rootfs image. Errors
    /// call the tar `thing`. The image names no command to run. `created` is its date, in RFC 3339.
    ///
    /// # Errors
    /// `Corrupt` and `Unsupported` where the input is no such tar; nothing of it stays then.
    pub fn import(
        &self,
        thing: &str,
        input: impl Read,
        name: Option<&ImageRef>,
        created: String,
    ) -> Result<Loaded> {
        let loaded = self.ready(|store| Ok(vec![store.import_root(thing, input, name, created)?]))?;
        self.keep_bounds(&Settings::read(&self.home)?)?;
        loaded.into_iter().next().ok_or_else(|| BoxError::new(ErrorKind::Internal, "no image was made"))
    }
}
