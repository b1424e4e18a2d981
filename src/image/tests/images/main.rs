//! The image crate against real tools: what umoci, skopeo, tar and the kernel's own EROFS make of the same
//! bytes.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod again;
mod bad;
mod bounds;
mod crowd;
mod fsck;
mod hostile;
mod load;
mod login;
mod registry;
mod rootfs;
mod save;
mod signed;
mod tools;
mod tree;
