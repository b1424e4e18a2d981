//! OCI images: references, the image store, what `load` and `pull` put into it, and rootfs images.
//!
//! The runtime is the caller. This crate decides nothing about boxes: it is told which images they use. All
//! input (archives, layouts, registries, layers) counts as hostile and is verified, bounded and never
//! unpacked onto the host.
#![forbid(unsafe_code)]

mod compression;
mod config;
mod digest;
mod error;
mod load;
mod manifest;
mod reference;
mod registry;
mod rootfs;
mod save;
mod store;

pub use config::{Empty, Healthcheck, ImageConfig, ProcessConfig, Step};
pub use digest::Digest;
pub use error::{ImageError, Result};
pub use load::{Commit, Loaded, check_instruction};
pub use manifest::{Descriptor, Manifest, Platform};
pub use reference::ImageRef;
pub use registry::{
    Credentials, Keychain, PublicKey, Pull, PullEvent, Registries, RegistrySettings, VerifyPolicy, log_in,
};
pub use rootfs::{Layer, Limits, RootfsCache, build};
pub use store::{Catalogue, Damage, Image, ImageStore, Lease, Pruned, Removed};
