//! Folders, read entry by entry.

use crate::handles::{Entry, Place};
use crate::reply::Reply;
use crate::share::Share;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;
use std::collections::VecDeque;
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
        let mut place = handle.place.lock().unwrap_or_else(PoisonError::into_inner);
        // Only to where the guest is not already: some file systems count entries, and miss some after a seek if others
        // were removed meanwhile (tmpfs before Linux 6.6).
        if place.offset != offset {
            rustix::fs::seek(&handle.fd, SeekFrom::Start(offset))?;
            *place = Place { offset, ahead: VecDeque::new() };
        }
        let most = if plus { BUFFERS.1 } else { BUFFERS.0 };
        loop {
            if place.ahead.is_empty() {
                match more(&handle.fd, most, &mut place.ahead) {
                    Ok(()) => {}
                    Err(_) if reply.len() > 0 => break,
                    Err(errno) => return Err(errno),
                }
            }
            let Some(entry) = place.ahead.pop_front() else { break };
            let bytes = entry.name.to_bytes();
            let needed = (ENTRY + bytes.len()).next_multiple_of(8) + if plus { ATTRIBUTES } else { 0 };
            let before = reply.len();
            if before + needed > size {
                place.ahead.push_front(entry);
                break;
            }
            if plus {
                let found = match bytes {
                    b"." | b".." => Err(Errno::INVAL),
                    _ => self.enter(folder, &handle.fd, &entry.name, reply),
                };
                if found.is_err() {
                    // It is there, and that is all that is said.
                    reply.truncate(before);
                    reply.zeros(ATTRIBUTES);
                }
            }
            reply.u64(entry.inode);
            reply.u64(entry.next);
            reply.u32(u32::try_from(bytes.len()).map_err(|_| Errno::IO)?);
            reply.u32(kind(entry.kind));
            reply.bytes(bytes);
            reply.zeros(needed - (reply.len() - before));
            place.offset = entry.next;
        }
        Ok(())
    }
}

/// Reads as many entries as fit into `most` bytes; none at the end.
fn more(folder: &OwnedFd, most: usize, ahead: &mut VecDeque<Entry>) -> Result<(), Errno> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFERS.0];
    let mut entries = RawDir::new(folder, &mut buffer[..most]);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        ahead.push_back(Entry {
            inode: entry.ino(),
            next: entry.next_entry_cookie(),
            kind: entry.file_type(),
            name: entry.file_name().to_owned(),
        });
        if entries.is_buffer_empty() {
            break;
        }
    }
    Ok(())
}

/// `DT_*`, which are the upper bits of a mode.
fn kind(of: FileType) -> u32 {
    match of {
        FileType::Unknown => 0,
        known => (known.as_raw_mode() >> 12) & 0o17,
    }
}
