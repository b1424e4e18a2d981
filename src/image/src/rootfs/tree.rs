//! The file system of an image in memory, without the files' content, and how layers change it.
//!
//! Paths are resolved inside the tree as a container runtime would inside the root: symbolic links are
//! followed in parents, and nothing is above the root. Whiteouts of a layer hide what lower layers put there,
//! in whatever order the layer's entries come (OCI image spec, layer).

use a3s_box_tar::{MAX_PATH, Mtime, Xattr};
use std::collections::BTreeMap;

/// The deepest directory: as deep as a path of `PATH_MAX` bytes can reach.
const MAX_DEPTH: usize = MAX_PATH / 2 + 1;
/// As many symbolic links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// An index into the tree's inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InodeId(u32);

impl InodeId {
    pub(super) const ROOT: Self = Self(0);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a file is, apart from what it is called and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meta {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Mtime,
    pub xattrs: Box<[Xattr]>,
}

impl Meta {
    /// A directory that a layer implies but does not describe.
    fn implied() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, mtime: Mtime::default(), xattrs: Box::default() }
    }
}

/// A file of any type.
#[derive(Debug)]
pub(super) struct Inode {
    pub meta: Meta,
    pub kind: Kind,
}

/// A file's type and what is particular to it.
#[derive(Debug)]
pub(super) enum Kind {
    Directory(Directory),
    /// Content of `size` bytes, in the image from block `block` on.
    File {
        block: u32,
        size: u64,
    },
    Symlink(Box<[u8]>),
    CharDevice(u32),
    BlockDevice(u32),
    Fifo,
}

/// A directory's entries in the order of their bytes, which is EROFS's too.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub entries: BTreeMap<Box<[u8]>, Link>,
    /// The last layer that hid everything below: what is here now, that layer or a later one put here.
    pruned: u32,
}

/// A name's inode and the layer that last placed it there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub inode: InodeId,
    layer: u32,
}

/// Why a change was refused.
pub(super) type Refused = &'static str;

/// The tree. The root is a directory and always there.
#[derive(Debug)]
pub(super) struct Tree {
    inodes: Vec<Inode>,
    /// The layer that is being applied, counted from 1.
    layer: u32,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = Inode { meta: Meta::implied(), kind: Kind::Directory(Directory::default()) };
        Self { inodes: vec![root], layer: 0 }
    }

    /// From here on changes belong to the next layer up.
    pub(super) fn next_layer(&mut self) {
        self.layer += 1;
    }

    /// Every inode that ever was in the tree, reachable or not.
    pub(super) fn inodes(&self) -> &[Inode] {
        &self.inodes
    }

    pub(super) fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id.index()]
    }

    /// The directory at `path`, in which symbolic links are followed and missing directories are made.
    pub(super) fn make_dir(&mut self, path: &[&[u8]]) -> Result<InodeId, Refused> {
        self.walk(path, true)?.ok_or("its folder is missing")
    }

    /// The directory at `path`, in which symbolic links are followed.
    pub(super) fn find_dir(&mut self, path: &[&[u8]]) -> Result<Option<InodeId>, Refused> {
        self.walk(path, false)
    }

    fn walk(&mut self, path: &[&[u8]], make: bool) -> Result<Option<InodeId>, Refused> {
        let mut above = vec![InodeId::ROOT];
        let mut todo: Vec<Box<[u8]>> = path.iter().rev().map(|name| Box::from(*name)).collect();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if above.len() > MAX_DEPTH {
                return Err("it is too deep in the tree");
            }
            let dir = above.last().copied().unwrap_or(InodeId::ROOT);
            if *name == *b".." {
                if above.len() > 1 {
                    above.pop();
                }
                continue;
            }
            let Some(child) = self.child(dir, &name) else {
                if !make {
                    return Ok(None);
                }
                above.push(self.insert(
                    dir,
                    &name,
                    Meta::implied(),
                    Kind::Directory(Directory::default()),
                )?);
                continue;
            };
            match &self.inode(child).kind {
                Kind::Directory(_) => above.push(child),
                Kind::Symlink(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err("its path runs through too many symbolic links");
                    }
                    if target.starts_with(b"/") {
                        above.truncate(1);
                    }
                    let names = target.split(|byte| *byte == b'/');
                    todo.extend(names.rev().filter(|name| !matches!(*name, b"" | b".")).map(Box::from));
                }
                _ => return Err("its folder is not a directory"),
            }
        }
        Ok(above.last().copied())
    }

    /// What `name` in `dir` is.
    pub(super) fn child(&self, dir: InodeId, name: &[u8]) -> Option<InodeId> {
        match &self.inode(dir).kind {
            Kind::Directory(directory) => directory.entries.get(name).map(|link| link.inode),
            _ => None,
        }
    }

    /// Puts a new file at `name` in `dir`. It replaces what was there, except that a directory over a
    /// directory only changes what the directory is.
    pub(super) fn insert(
        &mut self,
        dir: InodeId,
        name: &[u8],
        meta: Meta,
        kind: Kind,
    ) -> Result<InodeId, Refused> {
        if let (Kind::Directory(_), Some(child)) = (&kind, self.child(dir, name))
            && let Kind::Directory(_) = self.inode(child).kind
        {
            self.inodes[child.index()].meta = meta;
            self.link(dir, name, child);
            return Ok(child);
        }
        let id = InodeId(u32::try_from(self.inodes.len()).map_err(|_| "the tree has too many files")?);
        self.inodes.push(Inode { meta, kind });
        self.link(dir, name, id);
        Ok(id)
    }

    /// Gives `inode` the name `name` in `dir`.
    pub(super) fn link(&mut self, dir: InodeId, name: &[u8], inode: InodeId) {
        let layer = self.layer;
        if let Some(directory) = self.directory(dir) {
            directory.entries.insert(name.into(), Link { inode, layer });
        }
    }

    /// Changes what the root is.
    pub(super) fn set_root(&mut self, meta: Meta) {
        self.inodes[InodeId::ROOT.index()].meta = meta;
    }

    /// Hides what lower layers put at `name` in `dir`.
    pub(super) fn hide(&mut self, dir: InodeId, name: &[u8]) {
        let layer = self.layer;
        let Some(link) = self.directory(dir).and_then(|directory| directory.entries.get(name).copied())
        else {
            return;
        };
        self.hide_below(link.inode);
        if link.layer == layer {
            return;
        }
        let keeps_new = self.directory(link.inode).is_some_and(|directory| !directory.entries.is_empty());
        if keeps_new {
            // This layer put something into the hidden directory, and so implies a new one of that name.
            self.inodes[link.inode.index()].meta = Meta::implied();
            self.link(dir, name, link.inode);
        } else if let Some(directory) = self.directory(dir) {
            directory.entries.remove(name);
        }
    }

    /// Hides everything that lower layers put below `dir`.
    pub(super) fn hide_below(&mut self, dir: InodeId) {
        let layer = self.layer;
        let Some(directory) = self.directory(dir).filter(|directory| directory.pruned != layer) else {
            return;
        };
        // Once a layer is enough, and keeps a hostile layer's cost linear.
        directory.pruned = layer;
        let names: Vec<_> = directory.entries.keys().cloned().collect();
        for name in names {
            self.hide(dir, &name);
        }
    }

    fn directory(&mut self, id: InodeId) -> Option<&mut Directory> {
        match &mut self.inodes[id.index()].kind {
            Kind::Directory(directory) => Some(directory),
            _ => None,
        }
    }
}
