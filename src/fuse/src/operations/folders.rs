//! Folders, read entry by entry.

use crate::reply::Reply;
use crate::share::Share;
use rustix::fs::{FileType, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::sync::PoisonError;

/// `struct fuse_dirent` without its name.
const ENTRY: usize = 24;
/// `struct fuse_entry_out`.
const ATTRIBUTES: usize = 128;
/// The kernel's entries are longer than ours without attributes, and a fifth of ours with them; one of the longest name
/// has to fit in.
const BUFFERS: (usize, usize) = (4096, 1024);

impl Share {
    pub(crate) fn open_folder(&self, node: u64, reply: &mut Reply) -> Result<(), Errno> {
        let inode = self.nodes.get(node)?;
        if inode.kind != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        let fd = self.reopen(&inode, OFlags::RDONLY | OFlags::DIRECTORY)?;
        reply.open_out(self.handles.add(fd)?, 0);
        Ok(())
    }

    /// Entries from `offset` on, at most `size` bytes of them; with all that is known of them where `plus`.
    pub(crate) fn read_folder(
        &self,
        folder: u64,
        handle: u64,
        (offset, size, plus): (u64, usize, bool),
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let handle = self.handles.get(handle)?;
        let _turn = handle.turn.lock().unwrap_or_else(PoisonError::into_inner);
        rustix::fs::seek(&handle.fd, SeekFrom::Start(offset))?;
        let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFERS.0];
        let buffer = if plus { &mut buffer[..BUFFERS.1] } else { &mut buffer[..] };
        let mut entries = RawDir::new(&handle.fd, buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(_) if reply.len() > 0 => break,
                Err(errno) => return Err(errno),
            };
            let name = entry.file_name();
            let bytes = name.to_bytes();
            let needed = (ENTRY + bytes.len()).next_multiple_of(8) + if plus { ATTRIBUTES } else { 0 };
            let before = reply.len();
            if before + needed > size {
                break;
            }
            if plus {
                let found = match bytes {
                    b"." | b".." => Err(Errno::INVAL),
                    _ => self.enter(folder, &handle.fd, name, reply),
                };
                if found.is_err() {
                    // It is there, and that is all that is said.
                    reply.truncate(before);
                    reply.zeros(ATTRIBUTES);
                }
            }
            reply.u64(entry.ino());
            reply.u64(entry.next_entry_cookie());
            reply.u32(u32::try_from(bytes.len()).map_err(|_| Errno::IO)?);
            reply.u32(kind(entry.file_type()));
            reply.bytes(bytes);
            reply.zeros(needed - (reply.len() - before));
        }
        Ok(())
    }
}

/// `DT_*`, which are the upper bits of a mode.
fn kind(of: FileType) -> u32 {
    match of {
        FileType::Unknown => 0,
        known => (known.as_raw_mode() >> 12) & 0o17,
    }
}
