//! Extended attributes: those of users, and no others.

use crate::nodes::Inode;
use crate::reply::Reply;
use crate::share::Share;
use rustix::fs::{FileType, XattrFlags};
use rustix::io::Errno;
use std::ffi::CStr;

/// The kernel's limits.
const MAX_VALUE: usize = 64 << 10;
const MAX_NAME: usize = 255;
const PREFIX: &[u8] = b"user.";

fn allowed(name: &CStr) -> Result<(), Errno> {
    let bytes = name.to_bytes();
    let is = bytes.starts_with(PREFIX) && bytes.len() > PREFIX.len() && bytes.len() <= MAX_NAME;
    if is { Ok(()) } else { Err(Errno::OPNOTSUPP) }
}

impl Share {
    /// The path by which the inode's attributes are reached: there is no call for a descriptor that leads nowhere.
    fn path_of(&self, node: u64) -> Result<(Inode, String), Errno> {
        let inode = self.nodes.get(node)?;
        if !matches!(inode.kind, FileType::RegularFile | FileType::Directory) {
            return Err(Errno::OPNOTSUPP);
        }
        let (_, name) = self.by_link(&inode);
        Ok((inode, format!("/proc/self/fd/{name}")))
    }

    pub(crate) fn get_xattr(
        &self,
        node: u64,
        name: &CStr,
        size: usize,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        allowed(name)?;
        let (_inode, path) = self.path_of(node)?;
        let mut value = vec![0; MAX_VALUE];
        let length = rustix::fs::getxattr(&*path, name, &mut value[..])?;
        answer(&value[..length], size, reply)
    }

    pub(crate) fn list_xattr(&self, node: u64, size: usize, reply: &mut Reply) -> Result<(), Errno> {
        let (_inode, path) = self.path_of(node)?;
        let mut names = vec![0; MAX_VALUE];
        let length = rustix::fs::listxattr(&*path, &mut names[..])?;
        let mut kept = Vec::new();
        for name in names[..length].split_inclusive(|byte| *byte == 0) {
            if name.starts_with(PREFIX) {
                kept.extend_from_slice(name);
            }
        }
        answer(&kept, size, reply)
    }

    pub(crate) fn set_xattr(&self, node: u64, name: &CStr, value: &[u8], flags: u32) -> Result<(), Errno> {
        self.writable()?;
        allowed(name)?;
        let flags = XattrFlags::from_bits(flags)
            .filter(|flags| (XattrFlags::CREATE | XattrFlags::REPLACE).contains(*flags))
            .ok_or(Errno::INVAL)?;
        if value.len() > MAX_VALUE {
            return Err(Errno::TOOBIG);
        }
        let (_inode, path) = self.path_of(node)?;
        rustix::fs::setxattr(&*path, name, value, flags)
    }

    pub(crate) fn remove_xattr(&self, node: u64, name: &CStr) -> Result<(), Errno> {
        self.writable()?;
        allowed(name)?;
        let (_inode, path) = self.path_of(node)?;
        rustix::fs::removexattr(&*path, name)
    }
}

/// The value, or how long it is where that is asked.
fn answer(value: &[u8], size: usize, reply: &mut Reply) -> Result<(), Errno> {
    if size == 0 {
        reply.u32(u32::try_from(value.len()).map_err(|_| Errno::RANGE)?);
        reply.u32(0);
    } else if value.len() > size {
        return Err(Errno::RANGE);
    } else {
        reply.bytes(value);
    }
    Ok(())
}
