//! Files that appear whole or not at all, and locks that die with their holder.
//!
//! Everything under the state directory is written through [`Scratch`] and guarded by [`Lock`], so that a
//! process killed at any instruction leaves the old file or the new one, a stray temporary file that
//! [`sweep`] tells from a live one, and no lock. It also tells whether a process that wrote one still lives, and
//! keeps descriptors from those that are started. Knows nothing of what the files hold. Used by the image store, the runtime and the shim.
#![deny(unsafe_code)]

mod boot;
mod descriptors;
mod lock;
mod process;
mod scratch;
#[cfg(target_os = "linux")]
#[path = "sys/linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "sys/macos.rs"]
mod sys;

pub use boot::boot_id;
pub use descriptors::close_on_exec_from;
pub use lock::Lock;
pub use process::Process;
pub use scratch::{Scratch, abandoned, sweep, sync_dir};
