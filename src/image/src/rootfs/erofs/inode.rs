//! Inodes on disk: 32 bytes where everything fits, else 64.

use super::xattr;
use crate::rootfs::tree::{Inode, Kind};
use a3s_box_tar::Mtime;

pub(super) const COMPACT: usize = 32;
const EXTENDED: usize = 64;

/// How an inode's content is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// In blocks of its own (`FLAT_PLAIN`).
    Plain = 0,
    /// Whole blocks of its own, the rest behind the inode (`FLAT_INLINE`).
    Inline = 2,
}

/// What an on-disk inode says beside its metadata.
pub(super) struct Facts {
    pub content: Content,
    pub size: u64,
    /// The first content block, or a device's number.
    pub place: u32,
    /// A number of its own, for 32-bit `stat`.
    pub number: u32,
    pub nlink: u32,
}

/// Whether the compact form can hold the inode; its time is then the image's own `epoch`.
fn is_compact(inode: &Inode, size: u64, nlink: u32, epoch: Mtime) -> bool {
    let meta = &inode.meta;
    let short = |value: u32| u16::try_from(value).is_ok();
    meta.mtime == epoch && short(meta.uid) && short(meta.gid) && short(nlink) && u32::try_from(size).is_ok()
}

/// The bytes of an inode and its attributes.
pub(super) fn head(inode: &Inode, size: u64, nlink: u32, epoch: Mtime) -> usize {
    let fixed = if is_compact(inode, size, nlink, epoch) { COMPACT } else { EXTENDED };
    fixed + xattr::size(&inode.meta.xattrs)
}

/// The kernel's number for the inode's type in a directory (`FT_*`).
pub(super) fn file_type(kind: &Kind) -> u8 {
    match kind {
        Kind::File { .. } => 1,
        Kind::Directory(_) => 2,
        Kind::CharDevice(_) => 3,
        Kind::BlockDevice(_) => 4,
        Kind::Fifo => 5,
        Kind::Symlink(_) => 7,
    }
}

/// The inode's type and permissions as `st_mode` has them.
fn mode(inode: &Inode) -> u16 {
    let kind = match &inode.kind {
        Kind::Fifo => 0o010_000,
        Kind::CharDevice(_) => 0o020_000,
        Kind::Directory(_) => 0o040_000,
        Kind::BlockDevice(_) => 0o060_000,
        Kind::File { .. } => 0o100_000,
        Kind::Symlink(_) => 0o120_000,
    };
    kind | inode.meta.mode
}

/// The bytes of an inode with its attributes; [`head`] tells how many.
pub(super) fn encode(inode: &Inode, facts: &Facts, epoch: Mtime) -> Vec<u8> {
    let meta = &inode.meta;
    let format = (facts.content as u16) << 1;
    let mut bytes = Vec::with_capacity(head(inode, facts.size, facts.nlink, epoch));
    let mut put = |field: &[u8]| bytes.extend_from_slice(field);
    let count = xattr::count(&meta.xattrs).to_le_bytes();
    if is_compact(inode, facts.size, facts.nlink, epoch) {
        // The values fit, as `is_compact` saw; their upper halves are zero.
        put(&format.to_le_bytes());
        put(&count);
        put(&mode(inode).to_le_bytes());
        put(&facts.nlink.to_le_bytes()[..2]);
        put(&facts.size.to_le_bytes()[..4]);
        put(&[0; 4]);
        put(&facts.place.to_le_bytes());
        put(&facts.number.to_le_bytes());
        put(&meta.uid.to_le_bytes()[..2]);
        put(&meta.gid.to_le_bytes()[..2]);
        put(&[0; 4]);
    } else {
        put(&(format | 1).to_le_bytes());
        put(&count);
        put(&mode(inode).to_le_bytes());
        put(&[0; 2]);
        put(&facts.size.to_le_bytes());
        put(&facts.place.to_le_bytes());
        put(&facts.number.to_le_bytes());
        put(&meta.uid.to_le_bytes());
        put(&meta.gid.to_le_bytes());
        put(&meta.mtime.secs.to_le_bytes());
        put(&meta.mtime.nanos.to_le_bytes());
        put(&facts.nlink.to_le_bytes());
        put(&[0; 16]);
    }
    xattr::encode(&meta.xattrs, &mut bytes);
    bytes
}

/// A device number as Linux stores it on disk: 12 bits of major, 20 of minor.
pub(in crate::rootfs) fn device(major: u32, minor: u32) -> Result<u32, &'static str> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return Err("its device number is out of range");
    }
    Ok((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
}
