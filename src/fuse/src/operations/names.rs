//! Names in folders: found, made, moved, removed.

use super::attributes::MODE;
use crate::nodes::{self, Key};
use crate::reply::Reply;
use crate::share::Share;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::CStr;

/// The kernel's limit for what a link says.
const MAX_TARGET: usize = 4095;

impl Share {
    pub(crate) fn lookup(&self, folder: u64, name: &CStr, reply: &mut Reply) -> Result<(), Errno> {
        let at = self.nodes.folder(folder)?;
        self.enter(folder, &at, name, reply).map(drop)
    }

    /// Finds `name` in the folder of this number, which is `at`, tells the guest of it, and gives its number.
    pub(crate) fn enter(
        &self,
        folder: u64,
        at: impl AsFd,
        name: &CStr,
        reply: &mut Reply,
    ) -> Result<u64, Errno> {
        let (fd, stat) = self.find(at, name)?;
        let node = self.nodes.tell(folder, name, fd, &stat)?;
        reply.entry_out(node, &stat, self.ids(&stat));
        Ok(node)
    }

    pub(crate) fn read_link(&self, node: u64, reply: &mut Reply) -> Result<(), Errno> {
        let inode = self.nodes.get(node)?;
        if inode.kind != FileType::Symlink {
            return Err(Errno::INVAL);
        }
        let target = rustix::fs::readlinkat(&*inode.fd, c"", Vec::new())?;
        reply.bytes(target.to_bytes());
        Ok(())
    }

    pub(crate) fn symlink(
        &self,
        folder: u64,
        name: &CStr,
        target: &CStr,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        self.writable()?;
        if target.is_empty() || target.to_bytes().len() > MAX_TARGET {
            return Err(Errno::INVAL);
        }
        let at = self.nodes.folder(folder)?;
        rustix::fs::symlinkat(target, &at, name)?;
        self.enter(folder, &at, name, reply).map(drop)
    }

    pub(crate) fn make_node(
        &self,
        folder: u64,
        name: &CStr,
        mode: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        self.writable()?;
        // Devices, pipes and sockets of a guest have no business on the host.
        if !matches!(FileType::from_raw_mode(mode), FileType::RegularFile) && mode & !0o7777 != 0 {
            return Err(Errno::PERM);
        }
        let at = self.nodes.folder(folder)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        drop(rustix::fs::openat(&at, name, flags, Mode::from_raw_mode(mode & MODE))?);
        self.enter(folder, &at, name, reply).map(drop)
    }

    pub(crate) fn make_folder(
        &self,
        folder: u64,
        name: &CStr,
        mode: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        self.writable()?;
        let at = self.nodes.folder(folder)?;
        rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(mode & MODE))?;
        self.enter(folder, &at, name, reply).map(drop)
    }

    pub(crate) fn unlink(&self, folder: u64, name: &CStr, is_folder: bool) -> Result<(), Errno> {
        self.writable()?;
        let at = self.nodes.folder(folder)?;
        self.keep(&at, name);
        let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(&at, name, flags)
    }

    /// The guest may have open what is about to lose its name.
    fn keep(&self, at: impl AsFd, name: &CStr) {
        if self.nodes.some_are_closed()
            && let Ok(fd) = nodes::find(at, name)
            && let Ok(stat) = nodes::stat(&fd)
        {
            self.nodes.keep(fd, Key::of(&stat));
        }
    }

    pub(crate) fn rename(
        &self,
        (folder, name): (u64, &CStr),
        (to_folder, to): (u64, &CStr),
        flags: u32,
    ) -> Result<(), Errno> {
        self.writable()?;
        let known = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE;
        let flags =
            RenameFlags::from_bits(flags).filter(|flags| known.contains(*flags)).ok_or(Errno::INVAL)?;
        let (from_at, to_at) = (self.nodes.folder(folder)?, self.nodes.folder(to_folder)?);
        // What stays out of reach cannot be moved into reach either.
        let (moved, stat) = self.find(&from_at, name)?;
        drop(moved);
        let other = if flags.contains(RenameFlags::EXCHANGE) { Some(self.find(&to_at, to)?.1) } else { None };
        self.keep(&to_at, to);
        rustix::fs::renameat_with(&from_at, name, &to_at, to, flags)?;
        self.nodes.renamed(Key::of(&stat), to_folder, to);
        if let Some(other) = other {
            self.nodes.renamed(Key::of(&other), folder, name);
        }
        Ok(())
    }

    pub(crate) fn link(&self, node: u64, folder: u64, name: &CStr, reply: &mut Reply) -> Result<(), Errno> {
        self.writable()?;
        let (inode, at) = (self.nodes.get(node)?, self.nodes.folder(folder)?);
        if inode.kind == FileType::Directory {
            return Err(Errno::PERM);
        }
        let (links, link) = self.by_link(&inode);
        rustix::fs::linkat(links, link, &at, name, AtFlags::SYMLINK_FOLLOW)?;
        self.enter(folder, &at, name, reply).map(drop)
    }
}
