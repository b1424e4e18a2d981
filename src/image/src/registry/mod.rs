//! `pull`: images from OCI distribution registries (OCI distribution spec v1.1; Docker's are the same).
//!
//! A registry counts as hostile: answers are bounded, and what comes is stored only if it has the digest and size
//! that lead to it. `client` asks, `transfer` brings a blob, `pull` puts an image together and builds its rootfs
//! image meanwhile, `keychain` knows who we are, `settings` what the user says of registries.

mod auth;
mod client;
mod feed;
mod keychain;
mod pull;
mod retry;
mod settings;
mod signature;
mod stop;
mod transfer;
mod wire;

pub use auth::Credentials;
pub use keychain::Keychain;
pub use pull::{Pull, PullEvent};
pub use settings::{Registries, RegistrySettings};
pub use signature::{PublicKey, VerifyPolicy};

use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::{ImageError, ImageRef, Result};
use client::Client;

/// Asks `registry` whether it knows `credentials`; nothing is kept.
pub fn log_in(registries: &Registries, registry: &str, credentials: &Credentials) -> Result<()> {
    // Held to what an image's name may begin with.
    let known: ImageRef = format!("{registry}/x").parse()?;
    if known.registry() != registry {
        return Err(ImageError::Settings { what: format!("{registry:?} is not a registry's host") });
    }
    let endpoint = registries.endpoint(registry, String::new())?;
    Client::new(endpoint, Some(credentials.clone())).ping()
}
