//! The image crate against real tools: what umoci, skopeo, tar and the kernel's own EROFS make of the same
//! bytes.
#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod bad;
mod load;
mod registry;
mod rootfs;
mod tools;
mod tree;
