//! Regular files: opened, read, written.

use super::attributes::MODE;
use crate::nodes::{self, Inode};
use crate::reply::Reply;
use crate::share::Share;
use crate::wire::{FOPEN_KEEP_CACHE, FSYNC_DATA, WRITE_CACHE};
use rustix::fs::{FallocateFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};
use std::ffi::CStr;
use std::io::IoSlice;

/// How often a name that comes and goes is tried.
const TRIES: usize = 4;
const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;

/// What of the guest's flags is the host's to do. Where a write goes that appends is said with each.
fn kept(flags: u32) -> OFlags {
    let known = OFlags::ACCMODE | OFlags::TRUNC | OFlags::SYNC | OFlags::DSYNC;
    OFlags::from_bits_retain(flags) & known
}

impl Share {
    /// Refuses what would write where nothing may be written.
    fn may_open(&self, flags: OFlags) -> Result<(), Errno> {
        let access = flags & OFlags::ACCMODE;
        if access == OFlags::ACCMODE {
            return Err(Errno::INVAL);
        }
        if access != OFlags::RDONLY || flags.contains(OFlags::TRUNC) { self.writable() } else { Ok(()) }
    }

    pub(crate) fn open(&self, node: u64, flags: u32, reply: &mut Reply) -> Result<(), Errno> {
        let flags = kept(flags);
        self.may_open(flags)?;
        let inode = self.nodes.get(node)?;
        if inode.kind == FileType::Directory {
            return Err(Errno::ISDIR);
        }
        let handle = self.handles.add(self.reopen(&inode, flags)?)?;
        reply.open_out(handle, FOPEN_KEEP_CACHE);
        Ok(())
    }

    pub(crate) fn create(
        &self,
        folder: u64,
        name: &CStr,
        flags: u32,
        mode: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        self.writable()?;
        let exclusive = OFlags::from_bits_retain(flags).contains(OFlags::EXCL);
        let kept = kept(flags);
        self.may_open(kept)?;
        let at = self.nodes.folder(folder)?;
        let new = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        for _ in 0..TRIES {
            // What is there already may be anything, so it is looked at before it is opened.
            let (opened, fd, stat) =
                match rustix::fs::openat(&at, name, new | kept, Mode::from_raw_mode(mode & MODE)) {
                    Ok(opened) => {
                        let (fd, stat) = self.find(&at, name)?;
                        let ours = nodes::Key::of(&nodes::stat(&opened)?) == nodes::Key::of(&stat);
                        if !ours {
                            return Err(Errno::STALE);
                        }
                        (opened, fd, stat)
                    }
                    Err(Errno::EXIST) if !exclusive => match self.find(&at, name) {
                        Err(Errno::NOENT) => continue,
                        Err(errno) => return Err(errno),
                        Ok((fd, stat)) => {
                            let inode = Inode { fd: fd.into(), kind: nodes::kind(&stat) };
                            if inode.kind == FileType::Directory {
                                return Err(Errno::ISDIR);
                            }
                            let opened = self.reopen(&inode, kept)?;
                            // It may have been cut short just now.
                            let stat = nodes::stat(&opened)?;
                            let fd = rustix::io::fcntl_dupfd_cloexec(&*inode.fd, 0)?;
                            (opened, fd, stat)
                        }
                    },
                    Err(errno) => return Err(errno),
                };
            let node = self.nodes.tell(folder, name, fd, &stat)?;
            let handle = match self.handles.add(opened) {
                Ok(handle) => handle,
                Err(errno) => {
                    self.nodes.forget(node, 1);
                    return Err(errno);
                }
            };
            reply.entry_out(node, &stat, self.ids(&stat));
            reply.open_out(handle, FOPEN_KEEP_CACHE);
            return Ok(());
        }
        Err(Errno::BUSY)
    }

    pub(crate) fn read(&self, handle: u64, offset: u64, size: usize, reply: &mut Reply) -> Result<(), Errno> {
        let handle = self.handles.get(handle)?;
        reply.fill(size, |buffer| {
            let mut filled = 0;
            while filled < buffer.len() {
                let at = offset.saturating_add(u64::try_from(filled).unwrap_or(0));
                match rustix::io::pread(&handle.fd, &mut buffer[filled..], at) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(Errno::INTR) => {}
                    Err(_) if filled > 0 => break,
                    Err(errno) => return Err(errno),
                }
            }
            Ok(filled)
        })?;
        Ok(())
    }

    pub(crate) fn write(
        &self,
        handle: u64,
        offset: u64,
        (how, flags): (u32, u32),
        data: &[u8],
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        self.writable()?;
        let handle = self.handles.get(handle)?;
        // What was mapped goes where it was mapped from, whatever the file was opened for.
        let appends = OFlags::from_bits_retain(flags).contains(OFlags::APPEND) && how & WRITE_CACHE == 0;
        let at_end = if appends { ReadWriteFlags::APPEND } else { ReadWriteFlags::empty() };
        let mut written = 0;
        while written < data.len() {
            let at = offset.checked_add(u64::try_from(written).unwrap_or(0)).ok_or(Errno::FBIG)?;
            let result = if appends {
                rustix::io::pwritev2(&handle.fd, &[IoSlice::new(&data[written..])], at, at_end)
            } else {
                rustix::io::pwrite(&handle.fd, &data[written..], at)
            };
            match result {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(_) if written > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        reply.u32(u32::try_from(written).map_err(|_| Errno::IO)?);
        reply.u32(0);
        Ok(())
    }

    pub(crate) fn sync(&self, handle: u64, how: u32) -> Result<(), Errno> {
        let handle = self.handles.get(handle)?;
        if how & FSYNC_DATA != 0 { rustix::fs::fdatasync(&handle.fd) } else { rustix::fs::fsync(&handle.fd) }
    }

    pub(crate) fn allocate(&self, handle: u64, offset: u64, length: u64, mode: u32) -> Result<(), Errno> {
        self.writable()?;
        let known = FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE;
        let mode = FallocateFlags::from_bits(mode).filter(|m| known.contains(*m)).ok_or(Errno::OPNOTSUPP)?;
        rustix::fs::fallocate(&self.handles.get(handle)?.fd, mode, offset, length)
    }

    pub(crate) fn seek(&self, handle: u64, offset: u64, whence: u32, reply: &mut Reply) -> Result<(), Errno> {
        // Data and holes alone are the file system's to find.
        let to = match whence {
            SEEK_DATA => SeekFrom::Data(offset),
            SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        // Nothing goes by the position that this leaves behind.
        reply.u64(rustix::fs::seek(&self.handles.get(handle)?.fd, to)?);
        Ok(())
    }
}
