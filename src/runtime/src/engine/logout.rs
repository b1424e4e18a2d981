//! `logout`: forgets the credentials for a registry.

use super::Engine;
use a3s_box_core::Result;
use a3s_box_image::Keychain;

impl Engine {
    /// Forgets who we are at `registry`, for Docker too. Whether there was anything to forget.
    ///
    /// # Errors
    /// Those of changing Docker's `config.json`, or of the credential helper that it names.
    pub fn logout(&self, registry: &str) -> Result<bool> {
        Ok(Keychain::from_env().erase(registry)?)
    }
}
