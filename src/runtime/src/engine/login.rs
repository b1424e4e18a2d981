//! `login`: credentials for a registry.

use super::Engine;
use crate::settings::Settings;
use a3s_box_core::Result;
use a3s_box_image::{Credentials, Keychain, log_in};

impl Engine {
    /// Asks `registry` whether it knows `credentials`, and keeps them where Docker would. Where that is.
    ///
    /// # Errors
    /// `Permission` where the registry does not know them; nothing is kept then.
    pub fn login(&self, registry: &str, credentials: &Credentials) -> Result<String> {
        log_in(&Settings::read(&self.home)?.registries(), registry, credentials)?;
        Ok(Keychain::from_env().store(registry, credentials)?)
    }
}
