//! Files as Linux has them.

pub use rustix::fs::ResolveFlags;

use rustix::fd::BorrowedFd;
pub(crate) use rustix::fs::openat2;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, Result};

/// What is opened is only looked at (open(2), `O_PATH`).
pub(crate) const LOOK: OFlags = OFlags::PATH;
/// There is no such extended attribute.
pub(crate) const NO_XATTR: Errno = Errno::NODATA;

/// The permissions of what `stat` describes.
pub(crate) fn mode(stat: &Stat) -> u16 {
    u16::try_from(stat.st_mode & 0o7777).unwrap_or(0)
}

/// As [`mode`], for calls that set them.
pub(crate) fn raw_mode(mode: u16) -> Mode {
    Mode::from_raw_mode(mode.into())
}

/// Makes a device or a pipe.
pub(crate) fn make_node(
    folder: BorrowedFd<'_>,
    name: &[u8],
    kind: FileType,
    (major, minor): (u32, u32),
) -> Result<()> {
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(folder, name, kind, Mode::from_raw_mode(0o600), device)
}
