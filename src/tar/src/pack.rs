//! A file or folder becomes entries of an archive. Links below it are never followed.

use crate::read::{Entry, EntryKind, MAX_PATH, Mtime, Xattr};
use crate::sparse::{MAX_PARTS, SparseMap};
use crate::sys::{LOOK, NO_XATTR, mode, openat2};
use crate::{CopyError, ResolveFlags, TarWriter};
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dev, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::{self, Write};
use std::rc::Rc;

/// How much of a file is read at once.
const CHUNK: usize = 256 << 10;
/// How many folders are kept open on the way down; others are opened again.
const KEPT: usize = 64;
/// The largest attribute that Linux knows (xattr(7)).
const MAX_XATTR: usize = 64 << 10;

/// What is put into an archive, and what is left out.
#[derive(Debug, Clone, Default)]
pub struct Packing {
    /// The names of extended attributes that are kept begin with one of these.
    pub xattrs: &'static [&'static str],
    /// Whether folders on other file systems stay empty.
    pub one_file_system: bool,
    /// Paths below the top that are left out.
    pub omit: Vec<Vec<u8>>,
    /// The top is the upper folder of an overlay that is seen as a whole here: what it holds is packed as an OCI layer.
    pub overlay: Option<Rc<OwnedFd>>,
}

/// What overlayfs notes of a folder in the upper layer (Documentation/filesystems/overlayfs.rst).
const OPAQUE: &str = "trusted.overlay.opaque";
const REDIRECT: &str = "trusted.overlay.redirect";
/// How an OCI layer says that something is gone, and that all below a folder is.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE_WHITEOUT: &[u8] = b"/.wh..wh..opq";

/// How a folder in an overlay's upper layer stands to the layers below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It adds to what they have there.
    Merged,
    /// It hides what they have there.
    Opaque,
    /// What they have elsewhere, renamed, is seen in it, too.
    Moved,
}

impl Standing {
    /// That of an open folder.
    ///
    /// # Errors
    /// Those of fgetxattr(2).
    pub fn of(folder: BorrowedFd<'_>) -> io::Result<Self> {
        let has = |name: &str| {
            let mut value = Vec::with_capacity(MAX_XATTR);
            match rustix::fs::fgetxattr(folder, name, spare_capacity(&mut value)) {
                // `x` only says that there may be whiteouts of another kind.
                Ok(_) => Ok(value != b"x"),
                Err(NO_XATTR | Errno::NOTSUP) => Ok(false),
                Err(e) => Err(e),
            }
        };
        Ok(match () {
            () if has(REDIRECT)? => Self::Moved,
            () if has(OPAQUE)? => Self::Opaque,
            () => Self::Merged,
        })
    }

    /// Whether what `stat` describes in an upper layer says that something below is gone.
    pub fn is_whiteout(stat: &Stat) -> bool {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
    }
}

/// A file or folder to be packed: what is called `name` in `folder`, or that folder itself.
#[derive(Debug)]
pub struct Source {
    folder: OwnedFd,
    name: Option<Vec<u8>>,
    follow: bool,
    /// What the top entry is called in the archive.
    called: Vec<u8>,
}

impl Source {
    /// The folder `folder`, whose content alone is packed: its entry is `.`.
    pub fn content(folder: OwnedFd) -> Self {
        Self { folder, name: None, follow: false, called: b".".to_vec() }
    }

    /// What `path` names, beginning at `base`. A path that ends with `/.` means the folder's content. A link at its
    /// end is packed as one, unless it is to be followed.
    ///
    /// # Errors
    /// Those of openat2(2).
    pub fn find(base: BorrowedFd<'_>, path: &[u8], resolve: ResolveFlags, follow: bool) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let open = |path: &[u8]| {
            let path = if path.is_empty() { &b"."[..] } else { path };
            openat2(base, path, flags, Mode::empty(), resolve)
        };
        let (parent, name) = split(path);
        if matches!(name, b"" | b"." | b"..") {
            return Ok(Self::content(open(path)?));
        }
        // As with cp(1), a slash at the end makes a link's folder be meant.
        let follow = follow || path.ends_with(b"/");
        let source = Self { folder: open(parent)?, name: Some(name.to_vec()), follow, called: name.to_vec() };
        let found = source.open(LOOK)?;
        let stat = rustix::fs::fstat(&found)?;
        if path.ends_with(b"/") && FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        Ok(source)
    }

    fn open(&self, flags: OFlags) -> io::Result<OwnedFd> {
        self.place().map_or_else(|| self.folder.try_clone(), |place| Ok(place.open(flags)?))
    }

    /// Where it is; none where it is the folder itself.
    fn place(&self) -> Option<Place<'_>> {
        Some(Place { folder: self.folder.as_fd(), name: self.name.as_deref()?, follow: self.follow })
    }
}

/// A name in a folder.
#[derive(Clone, Copy)]
struct Place<'a> {
    folder: BorrowedFd<'a>,
    name: &'a [u8],
    follow: bool,
}

impl Place<'_> {
    fn open(self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let follow = if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = flags | follow | OFlags::CLOEXEC;
        openat2(self.folder, self.name, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
    }
}

/// The folder of `path`, and its last name. The name is empty where the path ends in a folder's content.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    if path.ends_with(b"/.") {
        return (path, b"");
    }
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let start = path[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    (&path[..start], &path[start..end])
}

/// Packs `source`.
///
/// # Errors
/// What cannot be read, by its name; and where the archive cannot be written.
pub fn pack(source: &Source, packing: &Packing, out: &mut TarWriter<impl Write>) -> Result<(), CopyError> {
    let mut packer = Packer::new(packing, out);
    let failed = |e: io::Error| CopyError::new("read", &source.called, e);
    let found = source.open(LOOK).map_err(failed)?;
    let stat = rustix::fs::fstat(&found).map_err(|e| failed(e.into()))?;
    packer.device = stat.st_dev;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        let top = source.open(OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        return packer.tree(top, &source.called);
    }
    let place = source.place().ok_or_else(|| failed(Errno::NOTDIR.into()))?;
    packer.single(place, &source.called, &stat)
}

/// A folder that is being packed.
struct Frame {
    /// Open, or to be opened again.
    folder: Option<OwnedFd>,
    /// Its length in the path of what is packed.
    length: usize,
    names: std::vec::IntoIter<Vec<u8>>,
    /// Whether it lies in an overlay's upper layer, rather than in the whole.
    upper: bool,
}

/// Puts entries into an archive.
pub(crate) struct Packer<'a, W> {
    packing: &'a Packing,
    out: &'a mut TarWriter<W>,
    device: Dev,
    /// Files of several names: what they are called in the archive.
    links: HashMap<(Dev, u64), Vec<u8>>,
    buffer: Vec<u8>,
}

impl<'a, W: Write> Packer<'a, W> {
    fn new(packing: &'a Packing, out: &'a mut TarWriter<W>) -> Self {
        Self { packing, out, device: 0, links: HashMap::new(), buffer: Vec::new() }
    }

    /// Packs the folder `top` and all below it.
    fn tree(&mut self, top: OwnedFd, called: &[u8]) -> Result<(), CopyError> {
        let mut path = called.to_vec();
        let upper = self.packing.overlay.is_some();
        let names = self.folder(&top, &path)?;
        // What is opened again is found from here.
        let root = top.try_clone().map_err(|e| CopyError::new("read", &path, e))?;
        let whole = self.packing.overlay.clone();
        let mut frames =
            vec![Frame { folder: Some(top), length: path.len(), names: names.into_iter(), upper }];
        while let Some(depth) = frames.len().checked_sub(1) {
            let frame = &mut frames[depth];
            path.truncate(frame.length);
            let Some(name) = frame.names.next() else {
                frames.pop();
                continue;
            };
            let below = path.get(called.len() + 1..).unwrap_or_default().to_vec();
            path.push(b'/');
            path.extend_from_slice(&name);
            if path.len() > MAX_PATH {
                return Err(CopyError::new("read", &path[..80], Errno::NAMETOOLONG.into()));
            }
            if self.packing.omit.iter().any(|omit| *omit == path[called.len() + 1..]) {
                continue;
            }
            let failed = |e: Errno| CopyError::new("read", &path, e.into());
            if frame.folder.is_none() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let below = if below.is_empty() { b".".to_vec() } else { below };
                let root = if frame.upper { &root } else { whole.as_deref().unwrap_or(&root) };
                frame.folder = Some(openat2(root, below, flags, Mode::empty(), resolve).map_err(failed)?);
            }
            let Some(folder) = frame.folder.as_ref() else { continue };
            let stat = match rustix::fs::statat(folder, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                // It went away meanwhile.
                Err(Errno::NOENT) => continue,
                other => other.map_err(failed)?,
            };
            let place = Place { folder: folder.as_fd(), name: &name, follow: false };
            if frame.upper && Standing::is_whiteout(&stat) {
                let hidden = [&path[..path.len() - name.len()], WHITEOUT, &name].concat();
                self.nothing(&hidden)?;
                continue;
            }
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                self.single(place, &path, &stat)?;
                continue;
            }
            let mut inner = match place.open(OFlags::RDONLY | OFlags::DIRECTORY) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(failed)?,
            };
            let standing = if frame.upper {
                Standing::of(inner.as_fd()).map_err(|e| CopyError::new("read", &path, e))?
            } else {
                Standing::Merged
            };
            let upper = frame.upper && standing != Standing::Moved;
            if let (Standing::Moved, Some(whole)) = (standing, &whole) {
                // From here on, what is seen is what there is.
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
                let below = &path[called.len() + 1..];
                inner = openat2(whole, below, flags, Mode::empty(), resolve).map_err(failed)?;
            }
            let names = self.folder(&inner, &path)?;
            if standing != Standing::Merged {
                self.nothing(&[&path[..], OPAQUE_WHITEOUT].concat())?;
            }
            if depth + 1 >= KEPT {
                frames[depth + 1 - KEPT].folder = None;
            }
            frames.push(Frame { folder: Some(inner), length: path.len(), names: names.into_iter(), upper });
        }
        Ok(())
    }

    /// Packs the entry of a folder alone; the names in it, in order.
    fn folder(&mut self, folder: &OwnedFd, path: &[u8]) -> Result<Vec<Vec<u8>>, CopyError> {
        let failed = |e: Errno| CopyError::new("read", path, e.into());
        let stat = rustix::fs::fstat(folder).map_err(failed)?;
        let mut entry = entry(path, EntryKind::Directory, &stat);
        entry.xattrs = self.xattrs(folder.as_fd()).map_err(failed)?;
        self.out.entry(&entry).map_err(CopyError::out)?;
        if self.packing.one_file_system && stat.st_dev != self.device {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for found in rustix::fs::Dir::read_from(folder).map_err(failed)? {
            let found = found.map_err(failed)?;
            let name = found.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Packs an empty file, whose name is what it says.
    fn nothing(&mut self, path: &[u8]) -> Result<(), CopyError> {
        let kind = EntryKind::File { size: 0, sparse: None };
        let entry = Entry {
            path: path.to_vec(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Mtime::default(),
            xattrs: Vec::new(),
        };
        self.out.entry(&entry).map_err(CopyError::out)
    }

    /// Packs what is no folder.
    fn single(&mut self, place: Place<'_>, path: &[u8], stat: &Stat) -> Result<(), CopyError> {
        let failed = |e: io::Error| CopyError::new("read", path, e);
        let known = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some(first) = self.links.get(&known)
        {
            let link = entry(path, EntryKind::HardLink(first.clone()), stat);
            return self.out.entry(&link).map_err(CopyError::out);
        }
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                self.file(place, path)?;
                if stat.st_nlink > 1 {
                    self.links.insert(known, path.to_vec());
                }
                return Ok(());
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(place.folder, place.name, Vec::new())
                    .map_err(|e| failed(e.into()))?;
                EntryKind::Symlink(target.into_bytes())
            }
            FileType::CharacterDevice => EntryKind::CharDevice { major, minor },
            FileType::BlockDevice => EntryKind::BlockDevice { major, minor },
            FileType::Fifo => EntryKind::Fifo,
            // Whoever listens on a socket is not copied.
            _ => return Ok(()),
        };
        if stat.st_nlink > 1 {
            self.links.insert(known, path.to_vec());
        }
        self.out.entry(&entry(path, kind, stat)).map_err(CopyError::out)
    }

    fn file(&mut self, place: Place<'_>, path: &[u8]) -> Result<(), CopyError> {
        let failed = |e: io::Error| CopyError::new("read", path, e);
        // Whatever has taken the file's place meanwhile is not waited for.
        let file =
            place.open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).map_err(|e| failed(e.into()))?;
        let stat = rustix::fs::fstat(&file).map_err(|e| failed(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(io::Error::other("it is no file any more")));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let sparse = parts(&file, size, u64::try_from(stat.st_blocks).unwrap_or(0))
            .map_err(|e| failed(e.into()))?
            .and_then(|parts| SparseMap::new(parts, size));
        let ranges = sparse.as_ref().map_or_else(|| vec![(0, size)], |map| map.parts().to_vec());
        let mut entry = entry(path, EntryKind::File { size, sparse }, &stat);
        entry.xattrs = self.xattrs(file.as_fd()).map_err(|e| failed(e.into()))?;
        self.out.entry(&entry).map_err(CopyError::out)?;
        self.buffer.resize(CHUNK, 0);
        for (offset, length) in ranges {
            let (mut at, end) = (offset, offset + length);
            while at < end {
                let most = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
                match rustix::io::pread(&file, &mut self.buffer[..most], at) {
                    Ok(0) => return Err(failed(io::Error::other("it became shorter while it was read"))),
                    Ok(count) => {
                        self.out.write_all(&self.buffer[..count]).map_err(CopyError::out)?;
                        at += count as u64;
                    }
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(failed(e.into())),
                }
            }
        }
        Ok(())
    }

    /// The attributes that are kept of an open file or folder.
    fn xattrs(&self, file: BorrowedFd<'_>) -> Result<Vec<Xattr>, Errno> {
        if self.packing.xattrs.is_empty() {
            return Ok(Vec::new());
        }
        let mut names = Vec::with_capacity(MAX_XATTR);
        match rustix::fs::flistxattr(file, spare_capacity(&mut names)) {
            Err(Errno::NOTSUP | Errno::RANGE) => return Ok(Vec::new()),
            other => other?,
        };
        let mut kept = Vec::new();
        for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            if !self.packing.xattrs.iter().any(|start| name.starts_with(start.as_bytes())) {
                continue;
            }
            let mut value = Vec::with_capacity(MAX_XATTR);
            match rustix::fs::fgetxattr(file, name, spare_capacity(&mut value)) {
                Err(NO_XATTR) => continue,
                other => other?,
            };
            kept.push((name.into(), value.into()));
        }
        Ok(kept)
    }
}

/// An entry called `path` for what `stat` describes.
fn entry(path: &[u8], kind: EntryKind, stat: &Stat) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: mode(stat),
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Mtime { secs: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) },
        xattrs: Vec::new(),
    }
}

/// The parts of a file that hold data; none where it is not sparse, or cannot tell.
fn parts(file: &OwnedFd, size: u64, blocks: u64) -> Result<Option<Vec<(u64, u64)>>, Errno> {
    if blocks.saturating_mul(512) >= size {
        return Ok(None);
    }
    let mut parts: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            // This file system does not know.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(None),
            other => other?.min(size),
        };
        let end = match rustix::fs::seek(file, SeekFrom::Hole(start)) {
            // It became shorter; reading will say so.
            Err(Errno::NXIO) => size,
            other => other?.min(size),
        };
        if end > start {
            if parts.len() == MAX_PARTS - 1 {
                parts.push((start, size - start));
                return Ok(Some(parts));
            }
            parts.push((start, end - start));
        }
        at = end.max(at + 1);
    }
    let whole = parts.first() == Some(&(0, size));
    Ok((!whole).then_some(parts))
}
