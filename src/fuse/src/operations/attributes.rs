//! What is known of an inode, and what of it can be changed.

use crate::nodes::{self, Inode};
use crate::reply::Reply;
use crate::request::{Change, Time};
use crate::share::Share;
use crate::wire::{ROOT, fattr};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

/// What a guest may set of a mode: nothing that gives others on the host the rights of whoever owns the file.
pub(crate) const MODE: u32 = 0o1777;

impl Share {
    pub(crate) fn get_attr(&self, node: u64, handle: Option<u64>, reply: &mut Reply) -> Result<(), Errno> {
        let stat = match handle.and_then(|handle| self.handles.get(handle).ok()) {
            Some(handle) => nodes::stat(&handle.fd)?,
            None => nodes::stat(&self.nodes.get(node)?.fd)?,
        };
        reply.attr_out(&stat, self.ids(&stat));
        Ok(())
    }

    pub(crate) fn set_attr(&self, node: u64, change: &Change, reply: &mut Reply) -> Result<(), Errno> {
        self.writable()?;
        let inode = self.nodes.get(node)?;
        let wants = |what: u32| change.valid & what != 0;
        let (uid, gid) = self.ids(&nodes::stat(&inode.fd)?);
        // Nobody on the host becomes somebody else; whoever asks for what is has it.
        if (wants(fattr::UID) && change.uid != uid) || (wants(fattr::GID) && change.gid != gid) {
            return Err(Errno::PERM);
        }
        if wants(fattr::MODE) {
            if inode.kind == FileType::Symlink {
                return Err(Errno::OPNOTSUPP);
            }
            self.change_mode(&inode, change.mode)?;
        }
        if wants(fattr::SIZE) {
            let handle = if wants(fattr::FH) { self.handles.get(change.handle).ok() } else { None };
            match handle {
                Some(handle) => rustix::fs::ftruncate(&handle.fd, change.size)?,
                None if inode.kind == FileType::Directory => return Err(Errno::ISDIR),
                None => rustix::fs::ftruncate(self.reopen(&inode, OFlags::WRONLY)?, change.size)?,
            }
        }
        if wants(fattr::ATIME | fattr::MTIME) {
            let time = |set: u32, now: u32, time: &Time| match (wants(set), wants(now)) {
                (false, _) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
                (true, true) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
                (true, false) if time.nanoseconds > 999_999_999 => Err(Errno::INVAL),
                (true, false) => {
                    Ok(Timespec { tv_sec: time.seconds.cast_signed(), tv_nsec: time.nanoseconds.into() })
                }
            };
            let times = Timestamps {
                last_access: time(fattr::ATIME, fattr::ATIME_NOW, &change.accessed)?,
                last_modification: time(fattr::MTIME, fattr::MTIME_NOW, &change.modified)?,
            };
            let flags = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(&*inode.fd, c"", &times, flags)?;
        }
        let stat = nodes::stat(&inode.fd)?;
        reply.attr_out(&stat, self.ids(&stat));
        Ok(())
    }

    fn change_mode(&self, inode: &Inode, mode: u32) -> Result<(), Errno> {
        let (links, name) = self.by_link(inode);
        rustix::fs::chmodat(links, name, Mode::from_raw_mode(mode & MODE), AtFlags::empty())
    }

    pub(crate) fn stat_fs(&self, reply: &mut Reply) -> Result<(), Errno> {
        let stat = rustix::fs::fstatvfs(&self.nodes.get(ROOT)?.fd)?;
        for number in [stat.f_blocks, stat.f_bfree, stat.f_bavail, stat.f_files, stat.f_ffree] {
            reply.u64(number);
        }
        for number in [stat.f_bsize, stat.f_namemax, stat.f_frsize] {
            reply.u32(u32::try_from(number).unwrap_or(u32::MAX));
        }
        reply.zeros(28);
        Ok(())
    }
}
