//! Replies, as they are written.

use crate::wire::{MAX_DATA, OUT_HEADER};
use rustix::fs::Statx;
use rustix::io::Errno;

/// How long the guest may go by what it was told, in nanoseconds: a change on the host is seen that much later.
const VALID_NS: u32 = 999_000_000;

/// A reply that is being written. The memory is used again for the next one.
pub(crate) struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(4096) }
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        // What a large one took is kept, since the next may be as large.
        self.bytes.clear();
        self.bytes.resize(OUT_HEADER, 0);
    }

    /// The whole message, complete.
    pub(crate) fn finish(&mut self, unique: u64, result: Result<(), Errno>) -> &[u8] {
        let mut error = 0i32;
        if let Err(errno) = result {
            self.bytes.truncate(OUT_HEADER);
            error = -errno.raw_os_error();
        }
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[4..8].copy_from_slice(&error.to_ne_bytes());
        self.bytes[8..16].copy_from_slice(&unique.to_ne_bytes());
        &self.bytes
    }

    /// How much was written after the header.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - OUT_HEADER
    }

    /// Takes back what was written after that much.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(OUT_HEADER + len);
    }

    pub(crate) fn u16(&mut self, number: u16) {
        self.bytes.extend_from_slice(&number.to_ne_bytes());
    }

    pub(crate) fn u32(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_ne_bytes());
    }

    pub(crate) fn u64(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_ne_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    /// Lets `fill` write up to `size` bytes; it says how many it has.
    pub(crate) fn fill(
        &mut self,
        size: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let (begin, size) = (self.bytes.len(), size.min(MAX_DATA));
        self.bytes.resize(begin + size, 0);
        let filled = fill(&mut self.bytes[begin..])?;
        self.bytes.truncate(begin + filled);
        Ok(filled)
    }

    /// `struct fuse_attr`.
    pub(crate) fn attr(&mut self, of: &Statx, (uid, gid): (u32, u32)) {
        for number in [of.stx_ino, of.stx_size, of.stx_blocks] {
            self.u64(number);
        }
        let times = [&of.stx_atime, &of.stx_mtime, &of.stx_ctime];
        times.iter().for_each(|time| self.u64(time.tv_sec.cast_unsigned()));
        times.iter().for_each(|time| self.u32(time.tv_nsec));
        // Devices of the host are none of the guest's.
        for number in [of.stx_mode.into(), of.stx_nlink, uid, gid, 0, of.stx_blksize, 0] {
            self.u32(number);
        }
    }

    /// `struct fuse_attr_out`.
    pub(crate) fn attr_out(&mut self, of: &Statx, ids: (u32, u32)) {
        self.u64(0);
        self.u32(VALID_NS);
        self.u32(0);
        self.attr(of, ids);
    }

    /// `struct fuse_entry_out`.
    pub(crate) fn entry_out(&mut self, node: u64, of: &Statx, ids: (u32, u32)) {
        for number in [node, 0, 0, 0] {
            self.u64(number);
        }
        self.u32(VALID_NS);
        self.u32(VALID_NS);
        self.attr(of, ids);
    }

    /// `struct fuse_open_out`.
    pub(crate) fn open_out(&mut self, handle: u64, flags: u32) {
        self.u64(handle);
        self.u32(flags);
        self.u32(0);
    }
}
