//! Entries of an archive become files beneath a folder.
//!
//! The archive is hostile, and so may be what lies in the folder already: every path is found from the folder's
//! descriptor with openat2(2), which refuses to leave it, and the last name of a path is never followed.

use crate::read::{Entry, EntryKind, Mtime, TarReader};
use crate::sparse::SparseMap;
use crate::sys::{LOOK, make_node, openat2, raw_mode};
use crate::{CopyError, ResolveFlags, names};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::io::{self, BufRead};
use std::rc::Rc;

/// What of an archive is kept, and how much there may be of it.
#[derive(Debug, Clone)]
pub struct Unpacking {
    /// Whether files get the owners that the archive names; otherwise they are this process's own.
    pub owners: bool,
    /// Whether set-user-id and set-group-id bits are kept.
    pub set_id: bool,
    /// Whether devices are made; otherwise they are refused.
    pub devices: bool,
    /// The names of extended attributes that are kept begin with one of these.
    pub xattrs: &'static [&'static str],
    /// How links on the way to a file are followed: they may not lead out of the folder.
    pub resolve: ResolveFlags,
    /// The most bytes of content.
    pub bytes: u64,
    /// The most entries.
    pub entries: u64,
}

/// A folder's own attributes, which it gets when all in it is there.
struct Pending {
    path: Vec<u8>,
    entry: Entry,
}

/// Unpacks entries beneath `root`.
pub(crate) struct Unpacker<'a> {
    root: BorrowedFd<'a>,
    rules: &'a Unpacking,
    bytes: u64,
    entries: u64,
    /// The folder that the last entry was put into.
    last: Option<(Vec<u8>, Rc<OwnedFd>)>,
    pending: Vec<Pending>,
    /// Missing folders are made for entries that have none of their own before them.
    pub(crate) make_parents: bool,
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>, rules: &'a Unpacking) -> Self {
        Self {
            root,
            rules,
            bytes: rules.bytes,
            entries: rules.entries,
            last: None,
            pending: Vec::new(),
            make_parents: false,
        }
    }

    /// Counts an entry, and the content that it announces.
    pub(crate) fn account(&mut self, entry: &Entry) -> Result<(), CopyError> {
        let too_much = |what| CopyError::refuse(&entry.path, what);
        self.entries = self.entries.checked_sub(1).ok_or_else(|| too_much("there are too many files"))?;
        let stored = match &entry.kind {
            EntryKind::File { sparse: Some(map), .. } => map.stored(),
            EntryKind::File { size, .. } => *size,
            _ => 0,
        };
        self.bytes = self.bytes.checked_sub(stored).ok_or_else(|| too_much("there is too much data"))?;
        Ok(())
    }

    /// Makes what `entry` says at `path`, which is relative to the root; content comes from `tar`.
    pub(crate) fn put(
        &mut self,
        entry: &Entry,
        path: &[u8],
        link: Option<&[u8]>,
        tar: &mut TarReader<impl BufRead>,
    ) -> Result<(), CopyError> {
        let failed = |e: Errno| CopyError::new("write", path, e.into());
        let names = names(path).map_err(|reason| CopyError::refuse(&entry.path, reason))?;
        self.leave(path)?;
        let Some((name, parents)) = names.split_last() else {
            // The folder itself is there; it is the user's, and stays as it is.
            return match entry.kind {
                EntryKind::Directory => Ok(()),
                _ => Err(CopyError::refuse(&entry.path, "it would take the folder's own place")),
            };
        };
        let parent = parents.join(&b'/');
        let folder = self.enter(&parent).map_err(failed)?;
        let folder = folder.as_fd();
        match &entry.kind {
            EntryKind::File { size, sparse } => {
                let file = replace(folder, name, |folder, name| {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                    rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))
                })
                .map_err(|e| CopyError::new("write", path, e))?;
                fill(&file, path, *size, sparse.as_ref(), tar)?;
                self.dress(file.as_fd(), entry, path)
            }
            EntryKind::Directory => self.folder(folder, name, entry, path),
            EntryKind::Symlink(target) => {
                replace(folder, name, |folder, name| rustix::fs::symlinkat(&target[..], folder, name))
                    .map_err(|e| CopyError::new("write", path, e))?;
                self.dress_by_name(folder, name, entry, None).map_err(failed)
            }
            EntryKind::HardLink(_) => {
                let target = link.ok_or_else(|| CopyError::refuse(&entry.path, "it links to nothing"))?;
                self.hard_link(target, folder, name).map_err(|e| CopyError::new("write", path, e))
            }
            EntryKind::Fifo => self.node(folder, name, entry, path, FileType::Fifo, (0, 0)),
            EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
                if !self.rules.devices {
                    return Err(CopyError::refuse(&entry.path, "devices are not made here"));
                }
                let kind = match entry.kind {
                    EntryKind::CharDevice { .. } => FileType::CharacterDevice,
                    _ => FileType::BlockDevice,
                };
                self.node(folder, name, entry, path, kind, (*major, *minor))
            }
        }
    }

    /// Gives the folders that are done their attributes; to be called after the last entry.
    pub(crate) fn finish(&mut self) -> Result<(), CopyError> {
        while let Some(done) = self.pending.pop() {
            self.finish_folder(&done)?;
        }
        Ok(())
    }

    /// Finishes the folders that `path` does not lie in.
    fn leave(&mut self, path: &[u8]) -> Result<(), CopyError> {
        while let Some(done) = self.pending.pop_if(|folder| !lies_in(path, &folder.path)) {
            self.finish_folder(&done)?;
        }
        Ok(())
    }

    fn finish_folder(&self, done: &Pending) -> Result<(), CopyError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat2(self.root, &done.path[..], flags, Mode::empty(), self.rules.resolve)
            .map_err(|e| CopyError::new("write", &done.path, e.into()))?;
        self.dress(folder.as_fd(), &done.entry, &done.path)
    }

    /// Makes `parent` the folder that entries are put into.
    fn enter(&mut self, parent: &[u8]) -> Result<Rc<OwnedFd>, Errno> {
        if let Some((path, folder)) = &self.last
            && path == parent
        {
            return Ok(Rc::clone(folder));
        }
        let folder = match self.open_folder(parent) {
            Err(Errno::NOENT) if self.make_parents => self.make_folders(parent)?,
            other => other?,
        };
        let folder = Rc::new(folder);
        self.last = Some((parent.to_vec(), Rc::clone(&folder)));
        Ok(folder)
    }

    fn open_folder(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { &b"."[..] } else { path };
        let flags = LOOK | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(self.root, path, flags, Mode::empty(), self.rules.resolve)
    }

    fn make_folders(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut folder = self.open_folder(b"")?;
        let mut start = 0;
        for end in ends.chain([path.len()]) {
            match rustix::fs::mkdirat(&folder, &path[start..end], Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) | Ok(()) => {}
                Err(e) => return Err(e),
            }
            folder = self.open_folder(&path[..end])?;
            start = end + 1;
        }
        Ok(folder)
    }

    fn folder(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        path: &[u8],
    ) -> Result<(), CopyError> {
        let failed = |e: Errno| CopyError::new("write", path, e.into());
        match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                match FileType::from_raw_mode(there.st_mode) {
                    FileType::Directory => {}
                    // A link to a folder stays, and its folder as it is.
                    FileType::Symlink if self.open_folder(path).is_ok() => return Ok(()),
                    _ => return Err(CopyError::refuse(path, "a folder cannot take the place of a file")),
                }
            }
            Err(e) => return Err(failed(e)),
        }
        let Entry { mode, uid, gid, mtime, xattrs, .. } = entry.clone();
        let entry = Entry { path: Vec::new(), kind: EntryKind::Directory, mode, uid, gid, mtime, xattrs };
        self.pending.push(Pending { path: path.to_vec(), entry });
        Ok(())
    }

    fn hard_link(&self, target: &[u8], folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        let names = names(target).map_err(io::Error::other)?;
        let (last, parents) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let from = self.open_folder(&parents.join(&b'/'))?;
        // A link to itself would first remove what it links to.
        let there = rustix::fs::statat(&from, *last, AtFlags::SYMLINK_NOFOLLOW)?;
        if let Ok(own) = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            && (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
        {
            return Ok(());
        }
        replace(folder, name, |folder, name| rustix::fs::linkat(&from, *last, folder, name, AtFlags::empty()))
    }

    fn node(
        &self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        path: &[u8],
        kind: FileType,
        device: (u32, u32),
    ) -> Result<(), CopyError> {
        replace(folder, name, |folder, name| make_node(folder, name, kind, device))
            .map_err(|e| CopyError::new("write", path, e))?;
        let mode = Some(self.mode(entry));
        self.dress_by_name(folder, name, entry, mode).map_err(|e| CopyError::new("write", path, e.into()))
    }

    fn mode(&self, entry: &Entry) -> Mode {
        let kept = if self.rules.set_id { 0o7777 } else { 0o1777 };
        raw_mode(entry.mode & kept)
    }

    /// Gives an open file or folder its owner, mode, attributes and time.
    pub(crate) fn dress(&self, file: BorrowedFd<'_>, entry: &Entry, path: &[u8]) -> Result<(), CopyError> {
        let failed = |e: Errno| CopyError::new("set the attributes of", path, e.into());
        if self.rules.owners {
            let owner = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
            allowed(rustix::fs::fchown(file, owner.0, owner.1)).map_err(failed)?;
        }
        // After the owner, whose change takes set-id bits away.
        rustix::fs::fchmod(file, self.mode(entry)).map_err(failed)?;
        for (name, value) in &entry.xattrs {
            if self.rules.xattrs.iter().any(|start| name.starts_with(start.as_bytes())) {
                match rustix::fs::fsetxattr(file, &name[..], value, XattrFlags::empty()) {
                    Err(Errno::NOTSUP) => {}
                    other => allowed(other).map_err(failed)?,
                }
            }
        }
        rustix::fs::futimens(file, &times(entry.mtime)).map_err(failed)
    }

    /// As [`Self::dress`], for what is not opened.
    fn dress_by_name(
        &self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        mode: Option<Mode>,
    ) -> Result<(), Errno> {
        if self.rules.owners {
            let owner = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
            allowed(rustix::fs::chownat(folder, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW))?;
        }
        if let Some(mode) = mode {
            // It was made just now, and is no link.
            rustix::fs::chmodat(folder, name, mode, AtFlags::empty())?;
        }
        rustix::fs::utimensat(folder, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// Writes a file's content.
pub(crate) fn fill(
    file: &OwnedFd,
    path: &[u8],
    size: u64,
    sparse: Option<&SparseMap>,
    tar: &mut TarReader<impl BufRead>,
) -> Result<(), CopyError> {
    let failed = |e: Errno| CopyError::new("write", path, e.into());
    let whole = [(0, size)];
    for (offset, length) in sparse.map_or(&whole[..], SparseMap::parts) {
        let (mut at, end) = (*offset, offset + length);
        while at < end {
            let bytes = tar.fill_buf().map_err(CopyError::input)?;
            let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(bytes.len());
            if most == 0 {
                return Err(CopyError::input(io::ErrorKind::UnexpectedEof.into()));
            }
            match rustix::io::pwrite(file, &bytes[..most], at) {
                Ok(0) => return Err(failed(Errno::NOSPC)),
                Ok(count) => {
                    tar.consume(count);
                    at += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }
    if sparse.is_some() {
        rustix::fs::ftruncate(file, size).map_err(failed)?;
    }
    Ok(())
}

/// Makes something called `name`, in place of what is there, unless that is a folder.
fn replace<T>(
    folder: BorrowedFd<'_>,
    name: &[u8],
    make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
) -> io::Result<T> {
    match make(folder, name) {
        Err(Errno::EXIST) => {}
        other => return Ok(other?),
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => return Err(io::Error::other("a folder is in its place")),
        Err(Errno::NOENT) | Ok(()) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(make(folder, name)?)
}

/// As cp(1) and tar(1) have it: who may not give files away keeps them.
fn allowed(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
        other => other,
    }
}

fn times(mtime: Mtime) -> Timestamps {
    let time = Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Whether `path` is below `folder`.
fn lies_in(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}
