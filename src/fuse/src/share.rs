//! One folder or file that is served: who owns what, and which operation answers which request.

use crate::handles::Handles;
use crate::nodes::{self, Key, Nodes};
use crate::reply::Reply;
use crate::request::{self, Header, Request};
use crate::wire::{MAJOR, MAX_DATA, MAX_PAGES, MINOR, OLDEST, flag};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, Statx};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the two ends do, as far as the guest's kernel can.
const FLAGS: u32 = flag::ASYNC_READ
    | flag::ATOMIC_O_TRUNC
    | flag::BIG_WRITES
    | flag::AUTO_INVAL_DATA
    | flag::DO_READDIRPLUS
    | flag::ASYNC_DIO
    | flag::PARALLEL_DIROPS
    | flag::MAX_PAGES
    | flag::CACHE_SYMLINKS
    | flag::HANDLE_KILLPRIV_V2;
/// How many requests that nobody waits for may be under way.
const BACKGROUND: u16 = 16;

/// An inode of the host: device and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The device.
    pub device: (u32, u32),
    /// The number.
    pub inode: u64,
}

/// What is to be served.
#[derive(Debug)]
pub struct Export {
    /// The folder or regular file, opened with `O_PATH`.
    pub root: OwnedFd,
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// A folder that stays out of reach, wherever it lies.
    pub hidden: Option<Identity>,
    /// How many descriptors it may take.
    pub descriptors: usize,
}

/// Who owns in the guest what belongs to this process's user on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Something that is served.
pub struct Share {
    pub(crate) nodes: Nodes,
    pub(crate) handles: Handles,
    pub(crate) read_only: bool,
    hidden: Option<Identity>,
    /// `/proc/self/fd`: the way from a descriptor that leads nowhere to one that can be read.
    proc: OwnedFd,
    owner: OnceLock<Owner>,
    us: Owner,
    begun: AtomicBool,
}

impl Share {
    /// Serves `export`.
    ///
    /// # Errors
    /// Those of statx(2), and of opening `/proc/self/fd`.
    pub fn new(export: Export) -> rustix::io::Result<Self> {
        let Export { root, read_only, hidden, descriptors } = export;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            nodes: Nodes::below(root, descriptors / 2)?,
            handles: Handles::new(descriptors / 4),
            read_only,
            hidden,
            proc: rustix::fs::openat(rustix::fs::CWD, "/proc/self/fd", flags, Mode::empty())?,
            owner: OnceLock::new(),
            us: Owner { uid: geteuid().as_raw(), gid: getegid().as_raw() },
            begun: AtomicBool::new(false),
        })
    }

    /// Says whom the box runs as. Only the first time counts.
    pub fn set_owner(&self, owner: Owner) {
        let _ = self.owner.set(owner);
    }

    /// Answers a message; nothing where it wants no answer.
    ///
    /// # Errors
    /// `EPROTO` for what is no message: nothing that follows can be one either.
    pub(crate) fn answer<'r>(&self, message: &[u8], reply: &'r mut Reply) -> Result<Option<&'r [u8]>, Errno> {
        let header = request::header(message).ok_or(Errno::PROTO)?;
        reply.clear();
        let result = match request::parse(&header, message) {
            Ok(Request::Forget { count }) => {
                self.nodes.forget(header.node, count);
                return Ok(None);
            }
            Ok(Request::ForgetMany { each }) => {
                each.into_iter().for_each(|(node, count)| self.nodes.forget(node, count));
                return Ok(None);
            }
            // Nothing takes so long that it were worth it, and what is under way is answered.
            Ok(Request::Interrupt) => return Ok(None),
            Ok(request) => self.operate(&header, request, reply),
            Err(errno) => Err(errno),
        };
        Ok(Some(reply.finish(header.unique, result)))
    }

    fn operate(&self, header: &Header, request: Request<'_>, reply: &mut Reply) -> Result<(), Errno> {
        if let Request::Init { major, minor, readahead, flags } = request {
            return self.begin((major, minor), readahead, flags, reply);
        }
        if !self.begun.load(Ordering::Relaxed) {
            return Err(Errno::IO);
        }
        let node = header.node;
        match request {
            Request::Lookup { name } => self.lookup(node, name, reply),
            Request::GetAttr { handle } => self.get_attr(node, handle, reply),
            Request::SetAttr(change) => self.set_attr(node, &change, reply),
            Request::ReadLink => self.read_link(node, reply),
            Request::Symlink { name, target } => self.symlink(node, name, target, reply),
            Request::MakeNode { name, mode } => self.make_node(node, name, mode, reply),
            Request::MakeFolder { name, mode } => self.make_folder(node, name, mode, reply),
            Request::Unlink { name } => self.unlink(node, name, false),
            Request::RemoveFolder { name } => self.unlink(node, name, true),
            Request::Rename { from, folder, to, flags } => self.rename((node, from), (folder, to), flags),
            Request::Link { node: of, name } => self.link(of, node, name, reply),
            Request::Open { flags } => self.open(node, flags, reply),
            Request::Create { name, flags, mode } => self.create(node, name, flags, mode, reply),
            Request::Read { handle, offset, size } => self.read(handle, offset, size, reply),
            Request::Write { handle, offset, how, flags, data } => {
                self.write(handle, offset, (how, flags), data, reply)
            }
            Request::Stat => self.stat_fs(reply),
            Request::Release { handle } => {
                self.handles.remove(handle);
                Ok(())
            }
            Request::Sync { handle, how } => self.sync(handle, how),
            Request::SetXattr { name, value, flags } => self.set_xattr(node, name, value, flags),
            Request::GetXattr { name, size } => self.get_xattr(node, name, size, reply),
            Request::ListXattr { size } => self.list_xattr(node, size, reply),
            Request::RemoveXattr { name } => self.remove_xattr(node, name),
            Request::OpenFolder => self.open_folder(node, reply),
            Request::ReadFolder { handle, offset, size, plus } => {
                self.read_folder(node, handle, (offset, size, plus), reply)
            }
            Request::Allocate { handle, offset, length, mode } => self.allocate(handle, offset, length, mode),
            Request::Seek { handle, offset, whence } => self.seek(handle, offset, whence, reply),
            Request::Destroy => Ok(()),
            Request::Init { .. }
            | Request::Interrupt
            | Request::Forget { .. }
            | Request::ForgetMany { .. } => Err(Errno::INVAL),
        }
    }

    /// Settles what is spoken (`INIT`).
    fn begin(
        &self,
        (major, minor): (u32, u32),
        readahead: u32,
        flags: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        if major < MAJOR || (major == MAJOR && minor < OLDEST) {
            return Err(Errno::PROTO);
        }
        self.begun.store(true, Ordering::Relaxed);
        let most = u32::try_from(MAX_DATA).unwrap_or(u32::MAX);
        // The guest has its own limit, which it may have raised since.
        let _ = readahead;
        for number in [MAJOR, MINOR.min(minor), most, FLAGS & flags] {
            reply.u32(number);
        }
        reply.u16(BACKGROUND);
        reply.u16(BACKGROUND / 4 * 3);
        reply.u32(most);
        // Times are as exact as they can be.
        reply.u32(1);
        reply.u16(MAX_PAGES);
        reply.u16(0);
        reply.zeros(32);
        Ok(())
    }

    /// Who owns in the guest what `stat` describes.
    pub(crate) fn ids(&self, stat: &Statx) -> (u32, u32) {
        let owner = self.owner.get().copied().unwrap_or(Owner { uid: 0, gid: 0 });
        let uid = if stat.stx_uid == self.us.uid { owner.uid } else { stat.stx_uid };
        let gid = if stat.stx_gid == self.us.gid { owner.gid } else { stat.stx_gid };
        (uid, gid)
    }

    /// Refuses where nothing may be changed.
    pub(crate) fn writable(&self) -> Result<(), Errno> {
        if self.read_only { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// What is called `name` in the folder `of`, unless it is to stay out of reach.
    pub(crate) fn find(&self, folder: impl AsFd, name: &std::ffi::CStr) -> Result<(OwnedFd, Statx), Errno> {
        let fd = nodes::find(folder, name)?;
        let stat = nodes::stat(&fd)?;
        let hidden = self.hidden.is_some_and(|Identity { device: (major, minor), inode }| {
            Key::of(&stat).is((major, minor, inode))
        });
        if hidden { Err(Errno::ACCESS) } else { Ok((fd, stat)) }
    }

    /// A descriptor with which the inode can be worked on as `flags` say. It must be a folder or a regular file: nothing
    /// else is ever opened.
    pub(crate) fn reopen(&self, inode: &nodes::Inode, flags: OFlags) -> Result<OwnedFd, Errno> {
        match inode.kind {
            FileType::RegularFile => {}
            FileType::Directory => {}
            FileType::Symlink => return Err(Errno::LOOP),
            _ => return Err(Errno::ACCESS),
        }
        let always = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        rustix::fs::openat(&self.proc, self.link_name(inode), flags | always, Mode::empty())
    }

    /// The folder of links to descriptors, and the name in it of the one for `inode`.
    pub(crate) fn by_link(&self, inode: &nodes::Inode) -> (&OwnedFd, String) {
        (&self.proc, self.link_name(inode))
    }

    fn link_name(&self, inode: &nodes::Inode) -> String {
        inode.fd.as_raw_fd().to_string()
    }
}
