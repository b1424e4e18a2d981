//! Files as macOS has them: no openat2(2), so what must stay beneath a folder is found name by name.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, Stat, openat};
use rustix::io::{Errno, Result};
use std::ops::BitOr;

/// How a path is followed. Where it may not leave the folder, no link in it is followed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResolveFlags(u8);

impl ResolveFlags {
    /// Nothing outside of the folder is found.
    pub const BENEATH: Self = Self(1);
    /// The path has no links.
    pub const NO_SYMLINKS: Self = Self(2);
    /// Links that only a kernel makes are not followed; macOS has none.
    pub const NO_MAGICLINKS: Self = Self(4);

    /// As open(2) does it.
    pub const fn empty() -> Self {
        Self(0)
    }
}

impl BitOr for ResolveFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is opened is only looked at (open(2), `O_EVTONLY`, which here means nothing but this).
pub(crate) const LOOK: OFlags = OFlags::from_bits_retain(0x8000);
/// open(2), `O_SYMLINK`: a link itself is opened.
const SYMLINK: OFlags = OFlags::from_bits_retain(0x0020_0000);
/// There is no such extended attribute.
pub(crate) const NO_XATTR: Errno = Errno::NOATTR;

/// Opens what `path` names, beginning at `folder`, as openat2(2) does.
pub(crate) fn openat2(
    folder: impl AsFd,
    path: impl AsRef<[u8]>,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let path = path.as_ref();
    let mut flags = flags;
    if flags.contains(LOOK) {
        // Nobody is waited for at the other end of a pipe.
        flags = flags.difference(LOOK) | OFlags::NONBLOCK | OFlags::NOCTTY;
        if flags.contains(OFlags::NOFOLLOW) {
            flags = flags.difference(OFlags::NOFOLLOW) | SYMLINK;
        }
    }
    if resolve.0 & (ResolveFlags::BENEATH.0 | ResolveFlags::NO_SYMLINKS.0) == 0 {
        return openat(folder, path, flags, mode);
    }
    if path.starts_with(b"/") {
        return Err(Errno::XDEV);
    }
    let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    if names.contains(&&b".."[..]) {
        return Err(Errno::XDEV);
    }
    let last = names.pop().ok_or(Errno::NOENT)?;
    let way = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at: Option<OwnedFd> = None;
    for name in names {
        let from = at.as_ref().map_or_else(|| folder.as_fd(), AsFd::as_fd);
        at = Some(openat(from, name, way, Mode::empty())?);
    }
    let from = at.as_ref().map_or_else(|| folder.as_fd(), AsFd::as_fd);
    let follow = if flags.contains(SYMLINK) { OFlags::empty() } else { OFlags::NOFOLLOW };
    openat(from, last, flags | follow, mode)
}

/// The permissions of what `stat` describes.
pub(crate) fn mode(stat: &Stat) -> u16 {
    stat.st_mode & 0o7777
}

/// As [`mode`], for calls that set them.
pub(crate) fn raw_mode(mode: u16) -> Mode {
    Mode::from_raw_mode(mode)
}

/// Devices and pipes of a Linux guest mean nothing here.
pub(crate) fn make_node(_: BorrowedFd<'_>, _: &[u8], _: FileType, _: (u32, u32)) -> Result<()> {
    Err(Errno::OPNOTSUPP)
}
