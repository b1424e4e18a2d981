//! The file server: folders and files of the host, served to a guest in the kernel's own FUSE messages.
//!
//! Owns the messages (`linux/fuse.h`, version 7.38), what is known of the inodes that the guest has seen, and every
//! operation on the host's files. It does not carry messages, and it does not confine itself: the shim runs it in a
//! process of its own that has nothing but these folders, and the guest init hands the messages to the guest's kernel.
//!
//! The guest is the enemy. An inode is a descriptor that leads nowhere (`O_PATH`); what a request names is one name in
//! such a folder, never a path; links are not followed, mounts are not crossed, and of what is opened only folders and
//! regular files are.
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod fuzz;
mod handles;
mod nodes;
mod operations;
mod reply;
mod request;
mod serve;
mod share;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wire;

pub use serve::{OWNER, serve, whole};
pub use share::{Export, Identity, Owner, Share};
pub use wire::MAX_MESSAGE;
