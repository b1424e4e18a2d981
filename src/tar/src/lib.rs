//! Tar archives: read strictly, written plainly, and folders packed into them and unpacked from them.
//!
//! The image crate reads layers with it; the runtime and the guest init copy files between host and box. Archives
//! count as hostile: everything is checked and bounded, and what is unpacked stays beneath the folder that it was
//! meant for, whatever links it brings or finds there. This crate decides nothing about boxes or images.
#![forbid(unsafe_code)]

mod copy;
mod error;
mod header;
mod pack;
mod pax;
mod read;
mod sparse;
#[cfg(target_os = "linux")]
#[path = "sys/linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "sys/macos.rs"]
mod sys;
#[cfg(any(test, feature = "testing"))]
#[allow(missing_docs, reason = "for tests")]
pub mod testing;
mod unpack;
mod write;

pub use copy::{copy_to, extract_to};
pub use error::{CopyError, Result, TarError};
pub use pack::{Packing, Source, Standing, pack};
pub use read::{Entry, EntryKind, MAX_PATH, Mtime, TarReader, Xattr};
pub use sparse::SparseMap;
pub use sys::ResolveFlags;
pub use unpack::Unpacking;
pub use write::TarWriter;

/// The longest name in a folder, in bytes (Linux's `NAME_MAX`).
const MAX_NAME: usize = 255;

/// The names along an entry's path, from the top; none for the top itself. A leading slash means the top.
///
/// # Errors
/// What is wrong with it: it is too long, or leads upwards.
pub fn names(path: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if path.len() > MAX_PATH {
        return Err("its path is longer than 4095 bytes");
    }
    let names: Vec<_> =
        path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.contains(&&b".."[..]) {
        return Err("its path holds '..'");
    }
    if names.iter().any(|name| name.len() > MAX_NAME) {
        return Err("a name in its path is longer than 255 bytes");
    }
    Ok(names)
}
