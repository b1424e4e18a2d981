//! `pull`: images from registries.

use super::Engine;
use crate::settings::Settings;
use a3s_box_core::Result;
use a3s_box_image::{Image, ImageRef, Keychain, Platform, PublicKey, Pull, PullEvent, VerifyPolicy};
use std::path::PathBuf;

/// What may be asked of a pull beyond the image.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The platform in place of this host's. An image for another one can be kept and saved, not run.
    pub platform: Option<Platform>,
    /// The public key, in a PEM file, that must have signed the image, in place of what `config.toml` says.
    pub verify: Option<PathBuf>,
}

impl Engine {
    /// Pulls `reference` into the store and builds its rootfs image meanwhile, so that it is ready to run. `progress`
    /// hears what happens, from several threads.
    ///
    /// Credentials are Docker's. Makes room where the store would come to hold more than `config.toml` says.
    ///
    /// # Errors
    /// `Unavailable` where the registry cannot be reached, `NotFound` where it has no such image, `Corrupt`
    /// where what it sends does not match its digest, `Permission` where the image is private, or not signed as
    /// it should be, `OutOfSpace` where it does not fit.
    pub fn pull(
        &self,
        reference: &ImageRef,
        options: &PullOptions,
        progress: &(dyn Fn(PullEvent) + Sync),
    ) -> Result<Image> {
        let settings = Settings::read(&self.home)?;
        // A key that cannot be read is told before the registry is asked.
        options.verify.as_deref().map(PublicKey::read).transpose()?;
        let (store, rootfs) = (self.store()?, self.rootfs()?);
        let platform = options.platform.clone().unwrap_or_else(Platform::host);
        let verify = match &options.verify {
            Some(key) => vec![VerifyPolicy { prefix: String::new(), keys: vec![key.clone()] }],
            None => settings.verify.clone(),
        };
        let image = store.pull(&Pull {
            reference,
            rootfs: (platform == Platform::host()).then_some(&rootfs),
            platform,
            registries: &settings.registries(),
            keychain: &Keychain::from_env(),
            verify: &verify,
            make_room: &|coming| self.make_room(&settings, coming),
            progress,
        })?;
        self.prune_rootfs(&settings)?;
        Ok(image)
    }

    /// Whether the store has the image that `name` means.
    ///
    /// # Errors
    /// Those of reading the store; a missing image is none.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        match self.store()?.resolve(name) {
            Ok(_) => Ok(true),
            Err(a3s_box_image::ImageError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
